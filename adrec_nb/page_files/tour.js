// Five states that tell a story, and a line about what each shows; the numbers are this run's own.

function tourSteps(app) {
  const last = app.run.spectra.records.length - 1;
  const live = !noDenoising(app);
  const own = live ? app.run.model.noise_weight : 0;
  const steps = [
    ["It begins as noise", { view: "spectrum", at: 0 },
      `Before training, every item is a random vector. Its singular values follow the dashed curve,
       which pure noise of this shape gives.`],
    ["Training leaves the curve", { view: "spectrum", at: last },
      `Directions that mean something rise above the dashed curve. The word below says what became
       of this run's table, and why.`],
    ["What collapse would look like", { view: "spectrum", at: last, beside: "merged", kind: "raw" },
      `A made-up table whose items have merged: one direction, the vector common to all, carries
       nearly everything. The squared error alone can do this to a table that it may move.`],
  ];
  if (!live) {
    return [...steps,
      ["What noise leaves of a sequence", { view: "noise", drawn: "sequence" },
        `The solid line is what the schedule leaves, the broken one what is left in vectors of this
         size. The verdict says how many tokens can still be told.`],
      ["The same with larger vectors", { view: "noise", drawn: "sequence", scale: 1 },
        "With entries of size 1, like those of the noise, both lines are one."]];
  }
  return [...steps,
    ["The noise the model was trained with", { view: "denoise" },
      `Here λ = ${own} weighs the noisy token. Read the verdict: does the list depend on the steps,
       or on the noise that the walk starts from?`],
    ["Noise that counts", { view: "denoise", lambda: 1 },
      `The same weights with λ = 1, which they ${own === 1 ? "were" : "were not"} trained with. Compare the
       verdict: a walk is worth something only where its noise is let in.`]];
}

// The panel above the explorers; the tour's step is in the address.
function tourPanel(app) {
  const title = make("h2", { tabindex: -1 });
  const text = make("p");
  const back = make("button", { type: "button", onclick: () => go(here() - 1) }, "Back");
  const next = make("button", { type: "button", class: "strong", onclick: () => go(here() + 1) }, "Next");
  const end = make("button", { type: "button", onclick: () => go(0) }, "End the tour");
  const panel = make("section", { class: "tour", "aria-label": "Guided tour", hidden: true },
    title, text, make("div", { class: "buttons" }, back, next, end));
  const here = () => Math.round(state.number("tour", 0, 0, 5));

  function go(step) {
    const steps = tourSteps(app);
    if (step < 1 || step > steps.length) {
      state.jump({ tour: null });
      return document.querySelector("#tour-start")?.focus();
    }
    state.jump({ ...steps[step - 1][1], tour: step }, true);
    title.focus();
  }
  function follow() {
    const step = here();
    panel.hidden = !step;
    if (!step) return;
    const steps = tourSteps(app);
    title.textContent = `${step} of ${steps.length}: ${steps[step - 1][0]}`;
    text.textContent = steps[step - 1][2].replace(/\s+/g, " ");
    back.disabled = step === 1;
    next.textContent = step === steps.length ? "Finish" : "Next";
  }
  return { panel, follow, start: () => go(1) };
}

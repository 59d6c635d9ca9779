// Five states that tell a story, and a line about what each shows; the numbers are this run's own.

function tourSteps(app) {
  const { runs } = app.data;
  const ended = (run) => run.spectra.records.at(-1).verdict.word;
  const merged = runs.findIndex((run) => ended(run) === "merged");
  const sound = runs.findIndex((run) => ended(run) !== "merged");
  const main = ended(app.run) === "merged" && sound >= 0 ? sound : app.place;  // whose story it is
  const run = runs[main];
  const last = run.spectra.records.length - 1;
  const steps = [
    ["It begins as noise", { run: main, view: "spectrum", at: 0 },
      `Before training, every item is a random vector. Its singular values follow the dashed curve,
       which pure noise of this shape gives.`],
    ["Training leaves the curve", { run: main, view: "spectrum", at: last },
      `Directions that mean something rise above the dashed curve, the others fall below it. The word
       in the box says what became of this table, and why.`],
    merged < 0 || merged === main ? madeUpCollapse(main, last) : realCollapse(runs, merged),
  ];
  if (noDenoising(run)) {
    return [...steps,
      ["What noise leaves of a sequence", { run: main, view: "noise", drawn: "sequence" },
        `The solid line is what the schedule leaves, the broken one what is left in vectors of this
         size. The verdict says how many tokens can still be told.`],
      ["The same with larger vectors", { run: main, view: "noise", drawn: "sequence", scale: 1 },
        "With entries of size 1, like those of the noise, both lines are one."]];
  }
  const own = run.model.noise_weight;
  return [...steps,
    ["The noise the model was trained with", { run: main, view: "denoise" },
      `Here λ = ${own} weighs the noisy token. Read the verdict: does the list depend on the steps,
       or on the noise that the walk starts from?`],
    ["The noise let in", { run: main, view: "denoise", lambda: 1 },
      `The same weights with λ = 1, which they ${own === 1 ? "were" : "were not"} trained with. Compare the
       verdict: steps and draws can matter only where the noise is let in.`]];
}

// Collapse as a run on this page has met it.
function realCollapse(runs, merged) {
  const { spectra, facts } = runs[merged];
  const at = spectra.records.length - 1;
  return [`Collapse: the run “${facts.name}”`, { run: merged, view: "spectrum", at, kind: "raw" },
    `Its items have merged: one direction, the vector common to all, carries nearly everything, and
     the rest is no more than noise. Play the epochs to see it happen.`];
}

// Collapse as it would look for a table of this shape.
function madeUpCollapse(run, at) {
  return ["What collapse would look like", { run, view: "spectrum", at, beside: "merged", kind: "raw" },
    `A made-up table whose items have merged: one direction, the vector common to all, carries
     nearly everything. The squared error alone can do this to a table that it may move.`];
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

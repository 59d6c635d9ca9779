// A history typed by hand, and what the trained model recommends for it, computed in this page.

function recommendExplorer(app) {
  const names = () => app.run.items.names;
  const history = () => historyNow(app);
  const take = (items) => state.set({ history: items.length ? items.join(".") : "empty" });
  const search = titleSearch({
    key: "add", label: "Add a title", names,
    pick: (item) => take([...history(), item]),
  });
  const chosen = make("div", { class: "control whole" });
  const list = {
    key: "history",
    node: chosen,
    follow() {
      const focused = chosen.contains(document.activeElement);
      const items = history().map((item, i) => make("li", {},
        make("span", {}, names()[item]),
        make("button", {
          type: "button", "aria-label": `Take ${names()[item]} out`, title: "Take it out",
          onclick: () => take(history().filter((_, j) => j !== i)),
        }, "×")));
      chosen.replaceChildren(
        make("h3", {}, "History, oldest first"),
        items.length ? make("ol", { class: "chips" }, ...items)
          : make("p", { class: "note" }, "Nothing yet: type words of a title above."),
        buttons([
          ["Reverse", () => take(history().reverse())],
          ["Empty", () => take([])],
        ], "Change the history"));
      if (focused) (chosen.querySelector("li button") ?? search.node.querySelector("input")).focus();
    },
  };
  const most = () => Math.min(20, names().length - 1);
  return {
    id: "recommend",
    title: "Recommender",
    look: `Add a title and watch the list follow; then change λ or the number of steps, and see
      whether it follows them as well.`,
    missing: () => (app.run.problem ? `There is no live model: ${app.run.problem}.` : ""),
    controls: () => [
      search,
      list,
      slider({ key: "k", label: "Recommendations", usual: () => Math.min(10, most()),
        values: () => Array.from({ length: most() }, (_, i) => i + 1) }),
      ...(app.run.model.kind === "adrec" ? walkControls(app) : []),
    ],
    telling: () => {
      const user = (i) => app.run.users[i % app.run.users.length].history.slice(-6).join(".");
      const rows = [
        ["A user's last six", { history: user(0) }],
        ["Another user's", { history: user(1) }],
        ["One title alone", { history: String(app.run.users[0].history.at(-1)) }],
      ];
      if (app.run.model.kind === "adrec") rows.push(["The first again, λ = 1", { history: user(0), lambda: 1 }]);
      return rows;
    },
    draw: (host) => drawRecommendations(app, host),
  };
}

// The history in the address; at first a user's last four items.
function historyNow(app) {
  const given = state.get("history");
  if (given === "empty") return [];
  const items = given.split(".").map(Number)
    .filter((item) => Number.isInteger(item) && item >= 1 && item < app.run.items.names.length);
  return items.length ? items : app.run.users[0].history.slice(-4);
}

function drawRecommendations(app, host) {
  const history = historyNow(app);
  const { names } = app.run.items;
  if (!history.length) {
    host.picture(make("p", { class: "empty" }, "The history is empty: add a title, and the list appears here."));
    host.verdict("look", "An empty history has nothing to go on.");
    return;
  }
  const model = app.model();
  const adrec = app.run.model.kind === "adrec";
  const how = adrec ? { ...howNow(app), seed: 0 } : {};
  const start = performance.now();
  const scores = model.scores(history, how);
  const took = performance.now() - start;
  const k = state.number("k", 10, 1, 20);
  const best = bestOf(scores, k, new Set(history));
  if (!host.again) [app.before, app.lastBest] = [app.lastBest ?? [], best];
  const before = app.before;
  const note = (item, place) => {
    const was = before.indexOf(item);
    if (!before.length || was === place) return "";
    return was < 0 ? "new" : was > place ? `↑ ${was - place}` : `↓ ${place - was}`;
  };
  const { labels } = app.run.items;
  const rows = best.map((item, place) => ({
    label: names[item],
    value: scores[item],
    note: [labels?.[item]?.[0], note(item, place)].filter(Boolean).join(" · "),
  }));
  const alt = `Scores of the ${best.length} best items after ${history.length} in the history; first is ${names[best[0]]}.`;
  host.picture(make("figure", {}, bars(rows, alt), make("figcaption", {},
    "Score of each title; titles of the history are left out. New, ↑ and ↓: compared with the list before.")));
  const stayed = before.length ? best.filter((item) => before.includes(item)).length : null;
  const words = `Computed in this page by the trained ${app.run.facts.result} in ${took.toFixed(0)} ms`;
  const change = stayed === null ? "" : ` ${stayed} of ${best.length} were in the list before.`;
  host.verdict("live", `${words}, from ${history.length} ${history.length === 1 ? "title" : "titles"}.${change}`);
}

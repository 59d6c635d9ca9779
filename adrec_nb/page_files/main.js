// Puts the page together: the header, one explorer at a time, and what follows the address.

const ICONS = {  // of a verdict's word: a sign and the kind of its colour
  "healthy": ["✓", "good"],
  "narrow": ["▲", "bad"],
  "noise": ["≈", "bad"],
  "merged": ["●", "bad"],
  "noise is idle": ["=", "bad"],
  "noise is felt": ["~", "middle"],
  "noise counts": ["≠", "good"],
  "more than chance": ["✓", "good"],
  "like chance": ["≈", "bad"],
  "still there": ["✓", "good"],
  "fading": ["◐", "middle"],
  "gone": ["≈", "bad"],
  "live": ["→", "middle"],
  "look": ["→", "middle"],
};

const app = {
  data: readJson("data"),
  calm: matchMedia("(prefers-reduced-motion: reduce)").matches,
  arrays: new Map(),
  models: new Map(),

  get place() {
    return Math.round(state.number("run", 0, 0, this.data.runs.length - 1));
  },
  get run() {
    return this.data.runs[this.place];
  },
  get dim() {
    return this.run.spectra.shape[1];
  },
  // A packed array, unpacked once.
  array(found) {
    if (!this.arrays.has(found)) this.arrays.set(found, unpack(found));
    return this.arrays.get(found);
  },
  // Whether all that the run needs has arrived: weights stand at the end of the page.
  get arrived() {
    return Boolean(this.run.problem || document.getElementById(`weights-${this.place}`));
  },
  // The trained model of the run; made when it is first asked for.
  model() {
    if (this.run.problem) throw new Error(this.run.problem);
    if (!this.models.has(this.place)) {
      const weights = readJson(`weights-${this.place}`);
      this.models.set(this.place, new Model(this.run.model, weights));
    }
    return this.models.get(this.place);
  },
  // The item table as scores see it, padding first.
  table() {
    return this.run.problem ? this.array(this.run.table) : this.model().table;
  },
};

const EXPLORERS = [spectrumExplorer, mapExplorer, noiseExplorer, denoiseExplorer, recommendExplorer]
  .map((explorer) => explorer(app));
const LIVE = ["noise", "denoise", "recommend"];  // views that need the weights

function viewNow() {
  const ids = EXPLORERS.map((one) => one.id);
  return state.choice("only", state.choice("view", "spectrum", ids), ids);
}

// ---- one explorer ----

class View {
  constructor(explorer) {
    this.explorer = explorer;
    const problem = explorer.missing?.() ?? "";
    const made = typeof explorer.controls === "function" ? !problem && explorer.controls() : explorer.controls;
    this.controls = made || [];
    this.status = make("p", { class: "verdict", role: "status" });
    this.stage = make("div", { class: "picture" });
    this.aside = make("div", { class: "side" });
    this.under = make("div", { class: "below" });
    const form = make("form", { class: "controls", "aria-label": `Controls: ${explorer.title}` },
      ...this.controls.map((control) => control.node));
    form.addEventListener("submit", (event) => event.preventDefault());
    const telling = problem ? [] : explorer.telling().map(([words, patch]) =>
      [words, () => state.jump({ view: explorer.id, ...patch })]);
    this.telling = buttons(telling, "Telling states");
    this.room = make("div", { class: "stage" }, this.status,
      make("div", { class: explorer.id === "map" ? "beside" : "" }, this.stage, this.aside), this.under);
    this.columns = make("div", { class: "columns" }, form, this.room);
    this.form = form;
    const heading = `h-${explorer.id}`;
    this.node = make("section", { class: "explorer", "aria-labelledby": heading },
      make("h2", { id: heading }, explorer.title),
      make("p", { class: "look" }, make("strong", {}, "What to look for: "), explorer.look.replace(/\s+/g, " ")),
      problem ? make("p", { class: "missing", role: "status" }, problem) : this.telling,
      problem ? null : this.columns);
    this.problem = problem;
  }

  // Draw what the state says. `again`: nothing changed but the size or the theme.
  draw(again) {
    if (this.problem) return;
    this.hide();
    for (const control of this.controls) control.follow();
    const beside = this.explorer.id === "map" && this.room.clientWidth > 760;
    const width = Math.floor(this.room.clientWidth - (beside ? 300 : 0));
    const two = this.room.clientWidth > 700;
    const gap = 32;
    const host = {
      again,
      width,
      half: two ? Math.floor((this.room.clientWidth - gap) / 2) : width,
      height: Math.round(Math.min(Math.max(width * 0.52, 270), Math.max(300, innerHeight - 485), 560)),
      picture: (node) => this.stage.replaceChildren(node),
      side: (nodes) => this.aside.replaceChildren(...nodes),
      below: (nodes) => this.under.replaceChildren(...nodes),
      verdict: (word, why) => this.say(word, why),
    };
    this.under.replaceChildren();
    this.explorer.draw(host);
  }

  say(word, why) {
    const [icon, kind] = ICONS[word] ?? ICONS.look;
    const shown = ["look", "live"].includes(word) ? "" : word;
    const text = `${icon}|${shown}|${why}`;
    if (this.status.dataset.text === text) return;  // a screen reader hears changes only
    this.status.dataset.text = text;
    this.status.className = `verdict ${kind}`;
    this.status.replaceChildren(make("span", { class: "icon", "aria-hidden": "true" }, icon),
      make("span", {}, shown ? make("strong", {}, `${shown[0].toUpperCase()}${shown.slice(1)}. `) : "", why.replace(/\s+/g, " ")));
  }

  // A link can leave controls out.
  hide() {
    const hidden = state.get("hide").split(",");
    const all = hidden.includes("all");
    for (const { key, node } of this.controls) node.hidden = all || hidden.includes(key);
    this.telling.hidden = all || hidden.includes("buttons");
    this.form.hidden = this.controls.every(({ node }) => node.hidden);
    this.columns.classList.toggle("bare", this.form.hidden);
  }
}

// ---- the page ----

const tour = tourPanel(app);
const views = new Map();
let shown = "";

// What is known of the run, in one line.
function factsOf({ facts, items, spectra }) {
  const count = (items.names.length - 1).toLocaleString("en");
  const test = facts.test?.["HR@10"] === undefined ? "" : `; HR@10 on test users ${facts.test["HR@10"]} %`;
  const how = [`preset ${facts.preset}`, ...facts.how, `seed ${facts.seed}`].join(", ");
  return `${facts.kind} on ${facts.data}: ${count} items in ${spectra.shape[1]} directions, ${how}${test}`;
}

function header() {
  const tabs = EXPLORERS.map((one) =>
    make("a", { href: `#view=${one.id}`, "data-view": one.id }, one.title));
  for (const tab of tabs) {
    tab.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      state.set({ view: tab.dataset.view }, true);
    });
  }
  document.getElementById("tabs").append(...tabs);
  document.getElementById("tour-start").addEventListener("click", tour.start);
  document.getElementById("theme").addEventListener("click", () =>
    state.set({ theme: themeNow() === "dark" ? "light" : "dark" }));
  document.getElementById("tour").replaceWith(tour.panel);
  if (app.data.runs.length > 1) {
    const names = () => app.data.runs.map((run, i) => [i, run.facts.name]);
    app.which = select({ key: "run", label: "Run", usual: () => 0, options: names });
    document.getElementById("which").append(app.which.node);
  }
}

const dark = matchMedia("(prefers-color-scheme: dark)");

function themeNow() {
  return state.choice("theme", dark.matches ? "dark" : "light", ["dark", "light"]);
}

function render(again = false) {
  const view = viewNow();
  const only = state.get("only") === view;
  document.documentElement.dataset.theme = themeNow();
  document.body.classList.toggle("only", only);
  document.getElementById("theme").textContent = themeNow() === "dark" ? "Light" : "Dark";
  document.getElementById("facts").textContent = factsOf(app.run);
  document.getElementById("notes").replaceChildren(...app.run.notes.map((line) => make("p", {}, line)));
  app.which?.follow();
  for (const tab of document.querySelectorAll("#tabs a")) {
    if (tab.dataset.view === view) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  tour.follow();
  const explorer = EXPLORERS.find((one) => one.id === view);
  document.title = `${explorer.title} · ${app.data.title}`;
  const key = `${app.place} ${view}`;
  if (!app.arrived && LIVE.includes(view)) return;  // drawn when the weights are here
  if (!views.has(key)) views.set(key, new View(explorer));
  const main = document.getElementById("explorer");
  if (shown !== key) {
    main.replaceChildren(views.get(key).node);
    shown = key;
    app.lastBest = null;
  }
  const alone = document.getElementById("alone");
  alone.href = `#${new URLSearchParams({ ...state.values, only: view })}`;
  alone.hidden = only;
  views.get(key).draw(again);
}

// For tests and for the curious: the trained model, from the browser's console.
window.adrec = {
  ready: false,
  scores: (history, how = {}) => app.model().scores(checked(history), how),
  walk: (history, how = {}) => app.model().walk(checked(history), how),
  plan: (steps) => denoisingPlan(app.run.model.betas, steps),
  state,
};

function checked(history) {
  const most = app.run.items.names.length - 1;
  const wrong = history.find((item) => !(Number.isInteger(item) && item >= 1 && item <= most));
  if (!history.length || wrong !== undefined) throw new RangeError(`a history holds items from 1 to ${most}`);
  return history;
}

header();
state.listeners.push(() => render());
state.read();
window.addEventListener("hashchange", () => state.read());
window.addEventListener("popstate", () => state.read());
dark.addEventListener("change", () => render(true));
let waiting = 0;
let width = innerWidth;
window.addEventListener("resize", () => {
  cancelAnimationFrame(waiting);
  if (width === innerWidth) return;  // a phone's bars come and go
  width = innerWidth;
  waiting = requestAnimationFrame(() => render(true));
});
document.addEventListener("DOMContentLoaded", () => {
  if (!shown) render();
  window.adrec.ready = true;
});

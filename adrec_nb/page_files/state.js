// What is shown, in the address: #view=denoise&lambda=1. A link to the page is a link to its state.
// only=map: this explorer alone. hide=lambda,steps: without these controls. theme=dark or light.

const FIXED = ["only", "hide"];  // of a link; controls do not change them

const state = {
  values: {},
  listeners: [],
  waiting: null,  // the timer of a change that is not yet in the address

  read() {
    clearTimeout(this.waiting);
    this.waiting = null;
    const given = new URLSearchParams(location.hash.slice(1));
    this.values = Object.fromEntries(given);
    this.tell();
  },

  // A value as text, or `usual` where the address does not say.
  get(key, usual = "") {
    return this.values[key] ?? usual;
  },

  // A number within its range, however the address was edited.
  number(key, usual, low, high) {
    const text = this.values[key];
    const given = Number(text);
    if (text === undefined || text === "" || !Number.isFinite(given)) return usual;
    return Math.min(Math.max(given, low), high);
  },

  // One of some values, else the usual one.
  choice(key, usual, known) {
    return known.map(String).includes(this.values[key]) ? this.values[key] : String(usual);
  },

  // Change some values; null takes one away. `page`: the browser's Back leads here again.
  set(patch, page = false) {
    for (const [key, value] of Object.entries(patch)) {
      if (value === null) delete this.values[key];
      else this.values[key] = String(value);
    }
    if (page) this.write("pushState");  // what a slider left unwritten goes into the same entry
    else if (!this.waiting) this.waiting = setTimeout(() => this.write(), 250);
    this.tell();
  },

  // Into the address, a few times a second at most: browsers refuse more while a slider is dragged.
  write(how = "replaceState") {
    clearTimeout(this.waiting);
    this.waiting = null;
    history[how](null, "", `#${new URLSearchParams(this.values)}`);
  },

  // Only this view, with these values: what a button or the tour sets.
  jump(patch, page = false) {
    const kept = Object.fromEntries(
      [...FIXED, "run", "view", "tour", "theme"].filter((key) => key in this.values)
        .map((key) => [key, this.values[key]]));
    this.values = kept;
    this.set(patch, page);
  },

  tell() {
    for (const listener of this.listeners) listener();
  },
};

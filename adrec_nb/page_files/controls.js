// Controls: what a reader can change. Each has a key in the address, a label, and follows the state.

let lastId = 0;

// A list to choose from. options: () => [[value, words], …]
function select({ key, label, usual, options }) {
  const id = `c${lastId++}`;
  const choice = make("select", { id, onchange: () => state.set({ [key]: choice.value }) });
  function follow() {
    const known = options();
    const texts = known.map(([value, words]) => `${value}\t${words}`).join("\n");
    if (choice.dataset.texts !== texts) {
      choice.dataset.texts = texts;
      choice.replaceChildren(...known.map(([value, words]) => make("option", { value }, words)));
    }
    choice.value = state.choice(key, usual(), known.map(([value]) => value));
  }
  const node = make("div", { class: "control" }, make("label", { for: id }, label), choice);
  return { key, node, follow };
}

// A slider over values in order. values: () => […]; words: value => text
function slider({ key, label, usual, values, words = String }) {
  const id = `c${lastId++}`;
  const readout = make("output", { for: id });
  const input = make("input", { type: "range", id, min: 0, step: 1 });
  input.addEventListener("input", () => state.set({ [key]: values()[Number(input.value)] }));
  function follow() {
    const known = values();
    const value = state.choice(key, usual(), known);
    const place = Math.max(0, known.map(String).indexOf(value));
    input.max = known.length - 1;
    input.value = place;
    input.disabled = known.length < 2;
    readout.textContent = words(known[place]);
    input.setAttribute("aria-valuetext", readout.textContent);
  }
  const head = make("div", { class: "labelled" }, make("label", { for: id }, label), readout);
  return { key, node: make("div", { class: "control" }, head, input), follow };
}

// Yes or no.
function checkbox({ key, label, usual }) {
  const id = `c${lastId++}`;
  const input = make("input", { type: "checkbox", id });
  input.addEventListener("change", () => state.set({ [key]: input.checked ? 1 : 0 }));
  const node = make("div", { class: "control check" }, input, make("label", { for: id }, label));
  return { key, node, follow: () => (input.checked = state.choice(key, usual(), [0, 1]) === "1") };
}

// An item by words of its title, completed while one types (a combobox, as WAI-ARIA describes it).
function titleSearch({ key, label, names, pick, shown = () => "" }) {
  const id = `c${lastId++}`;
  let found = [];
  let active = -1;
  const list = make("ul", { id: `${id}list`, role: "listbox", "aria-label": label, hidden: true });
  const input = make("input", {
    id, type: "text", role: "combobox", autocomplete: "off", spellcheck: "false",
    "aria-expanded": "false", "aria-controls": `${id}list`, "aria-autocomplete": "list",
    placeholder: "words of a title",
  });
  const none = make("p", { class: "none", role: "status" });

  function close() {
    list.hidden = true;
    active = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }
  function choose(item) {
    close();
    none.textContent = "";
    pick(item);
    input.value = shown();
  }
  function mark(next) {
    active = (next + found.length) % found.length;
    [...list.children].forEach((one, i) => one.setAttribute("aria-selected", i === active));
    input.setAttribute("aria-activedescendant", list.children[active].id);
    list.children[active].scrollIntoView({ block: "nearest" });
  }
  function look() {
    found = findTitles(names(), input.value);
    list.replaceChildren(...found.map((item, i) => {
      const one = make("li", { id: `${id}o${i}`, role: "option", "aria-selected": "false" });
      one.textContent = names()[item];
      one.addEventListener("pointerdown", (event) => event.preventDefault());
      one.addEventListener("click", () => choose(item));
      return one;
    }));
    active = -1;
    list.hidden = !found.length;
    input.setAttribute("aria-expanded", String(found.length > 0));
    const nothing = input.value.trim() && !found.length;
    none.textContent = nothing ? "No title matches: try another word of it." : "";
  }
  input.addEventListener("input", look);
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return close();
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (list.hidden) look();
      const from = active < 0 && event.key === "ArrowUp" ? 0 : active;
      if (found.length) mark(from + (event.key === "ArrowDown" ? 1 : -1));
    } else if (event.key === "Enter" && found.length && !list.hidden) {
      event.preventDefault();
      choose(found[Math.max(active, 0)]);
    }
  });
  const node = make("div", { class: "control search whole" },
    make("label", { for: id }, label), input, list, none);
  const follow = () => {
    if (document.activeElement !== input) input.value = shown();
  };
  return { key, node, follow };
}

// A row of buttons: [[words, what it does], …]
function buttons(rows, name) {
  const made = rows.map(([words, does]) => make("button", { type: "button", onclick: does }, words));
  return make("div", { class: "buttons", role: "group", "aria-label": name }, ...made);
}

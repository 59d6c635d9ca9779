// The items on a plane: hover for titles, search by words, see what is near.

const SIGNS = ["circle", "square", "diamond", "triangle", "wedge", "plus"];

function mapExplorer(app) {
  const tables = () => Object.keys(app.run.maps);
  const result = () => app.run.facts.result;
  const methods = () => Object.keys(app.run.maps[tableNow(app)].points);
  const search = titleSearch({
    key: "item", label: "Find a title", names: () => app.run.items.names,
    pick: (item) => state.set({ item }),
    shown: () => app.run.items.names[pickedItem(app)],
  });
  return {
    id: "map",
    title: "Item map",
    look: `Do items of one kind lie together, and are the nearest titles of a kind you would expect?
      A table of noise has neighbours as well: they mean nothing.`,
    controls: [
      search,
      select({
        key: "table", label: "Item table of", usual: result,
        options: () => tables().map((name) => [name, name === "random" ? "random numbers" : name]),
      }),
      select({
        key: "method", label: "Plane by", usual: () => "PCA",
        options: () => methods().map((name) => [name, name]),
      }),
      select({
        key: "colour", label: "Colour", usual: () => coloursOf(app)[0],
        options: () => coloursOf(app).map((name) => [name, name]),
      }),
      slider({
        key: "near", label: "Nearest items", usual: () => 8,
        values: () => Array.from({ length: nearWidth(app) }, (_, i) => i + 1),
      }),
    ],
    telling: () => [
      ["The trained table", {}],
      ["Random numbers", { table: "random" }],
      ...(tables().includes("stage1") ? [["After stage 1", { table: "stage1" }]] : []),
      ...(methods().includes("t-SNE") ? [["Neighbourhoods by t-SNE", { method: "t-SNE" }]] : []),
    ],
    draw: (host) => drawMap(app, host),
  };
}

function tableNow(app) {
  return state.choice("table", app.run.facts.result, Object.keys(app.run.maps));
}

function pickedItem(app) {
  return Math.round(state.number("item", 1, 1, app.run.items.names.length - 1));
}

function nearWidth(app) {
  return app.run.maps[tableNow(app)].near.items.shape[1];
}

function coloursOf(app) {
  const { labels, counts } = app.run.items;
  return [...(labels ? ["labels"] : []), ...(counts ? ["popularity"] : []), "none"];
}

// The five most frequent first labels.
function mainLabels(labels) {
  const counts = new Map();
  for (const label of labels.slice(1)) {
    if (label.length) counts.set(label[0], (counts.get(label[0]) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1]).slice(0, 5).map(([name]) => name);
}

// The nearest items of one: [{item, cosine}, …]
function nearOf(app, tableName, item, k) {
  const { near } = app.run.maps[tableName];
  const width = near.items.shape[1];
  const items = app.array(near.items);
  const cosines = app.array(near.cosines);
  return Array.from({ length: Math.min(k, width) }, (_, i) => {
    const at = (item - 1) * width + i;
    return { item: items[at], cosine: cosines[at] };
  });
}

// Colour and sign of every item, and what the legend says of them.
function lookOf(app, colour) {
  const { labels, counts } = app.run.items;
  if (colour === "labels") {
    const main = mainLabels(labels);
    const kindOf = (item) => main.indexOf(labels[item][0]);
    return {
      of: (item) => (kindOf(item) < 0 ? ["muted", "circle"] : [`s${kindOf(item) + 1}`, SIGNS[kindOf(item)]]),
      legend: [...main.map((name, i) => [`s${i + 1}`, SIGNS[i], name]), ["muted", "circle", "others"]],
    };
  }
  if (colour === "popularity") {
    const most = Math.log(Math.max(...counts, 2));
    const level = (item) => Math.min(4, Math.floor((5 * Math.log(Math.max(counts[item], 1))) / most));
    const cut = (i) => Math.ceil(Math.exp((i * most) / 5));
    const words = (i) => (i < 4 ? `met ${cut(i)} to ${Math.max(cut(i), cut(i + 1) - 1)} times` : `met ${cut(4)} times or more`);
    return {
      of: (item) => [`v${level(item) + 1}`, "circle"],
      legend: [0, 1, 2, 3, 4].map((i) => [`v${i + 1}`, "circle", words(i)]),
    };
  }
  return { of: () => ["s1", "circle"], legend: [] };
}

function drawMap(app, host) {
  const name = tableNow(app);
  const map = app.run.maps[name];
  const method = state.choice("method", "PCA", Object.keys(map.points));
  const colour = state.choice("colour", coloursOf(app)[0], coloursOf(app));
  const item = pickedItem(app);
  const { names, labels } = app.run.items;
  const k = state.number("near", Math.min(8, nearWidth(app)), 1, nearWidth(app));
  const near = nearOf(app, name, item, k);
  const look = lookOf(app, colour);
  const rows = app.array(map.rows);
  const xy = app.array(map.points[method]);
  const height = Math.min(Math.max(host.height, 340), host.width);
  const alt = `${rows.length} items on a plane by ${method}, table of ${name}, coloured by ${colour}.
    Marked: ${names[item]}; the nearest is ${names[near[0].item]}.`;
  const { canvas, pen } = canvasOf(host.width, height, alt);
  const room = 16;
  const placeOfRow = (i) => [
    room + ((xy[2 * i] + 1) / 2) * (host.width - 2 * room),
    room + ((1 - xy[2 * i + 1]) / 2) * (height - 2 * room),
  ];
  const radius = rows.length > 3000 ? 1.8 : rows.length > 600 ? 2.6 : 4;
  drawItems(pen, { rows, placeOfRow, look, radius });
  drawMarks(pen, { rows, placeOfRow, item, near });
  const box = make("div", { class: "map" }, canvas);
  hoverTitles(box, canvas, { rows, placeOfRow, names, height, width: host.width });
  const samples = make("ul", { class: "legend" }, ...look.legend.map(([series, sign, words]) =>
    make("li", {}, svg("svg", { width: 14, height: 14, "aria-hidden": "true" },
      svg("path", { d: SHAPES[sign](7, 7, 4), style: `fill: var(--${series}); stroke: var(--${series})` })),
    make("span", {}, words))));
  host.picture(make("figure", {}, samples, box,
    make("figcaption", {}, "The ring is the item you picked, dots in rings are nearest to it. Point at an item for its title, click to pick it.")));
  host.side(nearList(app, item, near));
  const share = sharedLabels(labels, item, near);
  if (share) host.verdict(share.word, share.why);
  else host.verdict("look", `Nearest to ${names[item]}: ${names[near[0].item]}, cosine ${short(near[0].cosine)}.`);
}

function drawItems(pen, { rows, placeOfRow, look, radius }) {
  const colours = {};
  for (let i = 0; i < rows.length; i++) {
    const [series, sign] = look.of(rows[i]);
    colours[series] ??= colourOf(series);
    pen.fillStyle = pen.strokeStyle = colours[series];
    const path = new Path2D(SHAPES[sign](...placeOfRow(i), radius));
    pen.globalAlpha = series === "muted" ? 0.6 : 0.85;
    if (sign === "plus") pen.stroke(path);
    else pen.fill(path);
  }
  pen.globalAlpha = 1;
}

function drawMarks(pen, { rows, placeOfRow, item, near }) {
  const ring = (i, radius, width) => {
    const [x, y] = placeOfRow(i);
    pen.lineWidth = width;
    pen.strokeStyle = colourOf("ink");
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.stroke();
  };
  const where = new Map(Array.from(rows, (row, i) => [row, i]));
  for (const one of near) if (where.has(one.item)) ring(where.get(one.item), 7, 1.5);
  if (where.has(item)) ring(where.get(item), 11, 3);
}

// The title of the item under the pointer; a click picks it.
function hoverTitles(box, canvas, { rows, placeOfRow, names, width }) {
  const tip = make("div", { class: "tip", hidden: true });
  box.append(tip);
  function nearest(event) {
    const area = canvas.getBoundingClientRect();
    const [px, py] = [event.clientX - area.left, event.clientY - area.top];
    let best = { distance: 20 ** 2, i: -1 };
    for (let i = 0; i < rows.length; i++) {
      const [x, y] = placeOfRow(i);
      const distance = (x - px) ** 2 + (y - py) ** 2;
      if (distance < best.distance) best = { distance, i, x, y };
    }
    return best;
  }
  canvas.addEventListener("pointermove", (event) => {
    const found = nearest(event);
    tip.hidden = found.i < 0;
    canvas.style.cursor = found.i < 0 ? "default" : "pointer";
    if (found.i < 0) return;
    tip.textContent = names[rows[found.i]];
    const right = found.x > width / 2;
    tip.style.left = right ? "auto" : `${found.x + 12}px`;
    tip.style.right = right ? `${width - found.x + 12}px` : "auto";
    tip.style.top = `${Math.max(0, found.y - 14)}px`;
  });
  canvas.addEventListener("pointerleave", () => (tip.hidden = true));
  canvas.addEventListener("click", (event) => {
    const found = nearest(event);
    if (found.i >= 0) state.set({ item: rows[found.i] });
  });
}

// The nearest items as buttons: from neighbour to neighbour without a mouse.
function nearList(app, item, near) {
  const { names, labels } = app.run.items;
  const words = (one) => (labels?.[one]?.length ? labels[one].join(", ") : "");
  const rows = near.map((one) => make("li", {},
    make("button", { type: "button", onclick: () => state.set({ item: one.item }) }, names[one.item]),
    make("span", { class: "note" }, [short(one.cosine), words(one.item)].filter(Boolean).join(" · "))));
  return [
    make("h3", {}, `Nearest to ${names[item]}`),
    words(item) ? make("p", { class: "note" }, words(item)) : null,
    make("ol", { class: "near" }, ...rows),
  ].filter(Boolean);
}

// How many neighbours share a label with the item, against what chance would give.
function sharedLabels(labels, item, near) {
  if (!labels || !labels[item].length) return null;
  const shares = (other) => labels[other].some((label) => labels[item].includes(label));
  let all = 0;
  for (let other = 1; other < labels.length; other++) if (other !== item && shares(other)) all++;
  const chance = (near.length * all) / (labels.length - 2);
  const count = near.filter((one) => shares(one.item)).length;
  const more = count >= chance + Math.max(1, Math.sqrt(chance));
  const why = `${count} of ${near.length} nearest items share a label with it; by chance it would be ${short(chance)}.`;
  return { word: more ? "more than chance" : "like chance", why };
}

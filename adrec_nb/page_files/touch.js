// Items on a plane to be touched: draw around some, or name them by words or by a label.

const state = { set() {} };  // a click in map.js would tell it; here a click selects

// Eigenvalues of a symmetric matrix (d, d), largest first: Jacobi's rotations until it is diagonal.
function eigenvalues(a, d) {
  const turn = (i, j, step, c, s) => {
    for (let k = 0; k < d; k++) {
      const [x, y] = [a[i + k * step], a[j + k * step]];
      a[i + k * step] = c * x - s * y;
      a[j + k * step] = s * x + c * y;
    }
  };
  for (let sweep = 0; sweep < 30; sweep++) {
    let [off, on] = [0, 0];
    for (let p = 0; p < d; p++) {
      on += a[p * d + p] ** 2;
      for (let q = p + 1; q < d; q++) off += a[p * d + q] ** 2;
    }
    if (off <= 1e-20 * on) break;
    for (let p = 0; p < d; p++) {
      for (let q = p + 1; q < d; q++) {
        const beside = a[p * d + q];
        if (!beside) continue;
        const theta = (a[q * d + q] - a[p * d + p]) / (2 * beside);
        const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
        const c = 1 / Math.sqrt(t * t + 1);
        turn(p, q, d, c, t * c);
        turn(p * d, q * d, 1, c, t * c);
      }
    }
  }
  const found = Array.from({ length: d }, (_, i) => Math.max(a[i * d + i], 0));
  return found.sort((x, y) => y - x);
}

// The vectors (d) of items, which are counted from 1.
function vectorsOf({ table, d }, items) {
  return items.map((item) => table.subarray((item - 1) * d, item * d));
}

// The mean cosine over all pairs.
function meanCosine(world, items) {
  const sum = new Float64Array(world.d);
  let count = 0;
  for (const vector of vectorsOf(world, items)) {
    const length = Math.sqrt(dot(vector, vector));
    if (!length) continue;
    count += 1;
    vector.forEach((value, i) => (sum[i] += value / length));
  }
  return count > 1 ? (dot(sum, sum) - count) / (count * (count - 1)) : NaN;
}

// Singular values of the centred vectors, largest first.
function singularValues(world, items) {
  const { d } = world;
  const mean = new Float64Array(d);
  const vectors = vectorsOf(world, items);
  for (const vector of vectors) vector.forEach((value, i) => (mean[i] += value / items.length));
  const gram = new Float64Array(d * d);
  for (const vector of vectors) {
    const centred = Float64Array.from(vector, (value, i) => value - mean[i]);
    for (let i = 0; i < d; i++) for (let j = 0; j < d; j++) gram[i * d + j] += centred[i] * centred[j];
  }
  return eigenvalues(gram, d).slice(0, Math.min(items.length - 1, d)).map(Math.sqrt);
}

// Over their root mean square in all d directions, as all pictures of spectra have it.
function overMean(values, d) {
  const scale = Math.sqrt(dot(values, values) / d) || 1;
  return values.map((value) => value / scale);
}

// As many items by chance, the same ones each time.
function byChance(n, count) {
  const uniform = uniforms(count);
  const items = Array.from({ length: n }, (_, i) => i + 1);
  for (let i = 0; i < count; i++) {
    const j = i + Math.floor(uniform() * (n - i));
    [items[i], items[j]] = [items[j], items[i]];
  }
  return items.slice(0, count);
}

// Labels of some items with their share, the most frequent first: [[label, share, share of all], …]
function labelShares(labels, items) {
  const count = (some) => {
    const found = new Map();
    for (const item of some) for (const one of labels[item]) found.set(one, (found.get(one) ?? 0) + 1);
    return found;
  };
  const all = count(labels.keys());
  const own = [...count(items)].sort((x, y) => y[1] - x[1] || (x[0] < y[0] ? -1 : 1));
  return own.map(([name, n]) => [name, n / items.length, all.get(name) / (labels.length - 1)]);
}

// Whether a point lies inside a closed line: a ray from it crosses the line an odd number of times.
function inside(x, y, line) {
  let within = false;
  for (let i = 0, j = line.length - 1; i < line.length; j = i++) {
    const [[ax, ay], [bx, by]] = [line[i], line[j]];
    if (ay > y !== by > y && x < ax + ((y - ay) / (by - ay)) * (bx - ax)) within = !within;
  }
  return within;
}

function touchMap(data, host, before) {
  const world = { table: unpack(data.table), d: data.dim };
  const { names, labels } = data.items;
  const n = names.length - 1;
  const [rows, xy] = [unpack(data.rows), unpack(data.points)];
  const everything = Array.from({ length: n }, (_, i) => i + 1);
  const cosineOfAll = meanCosine(world, everything);
  const look = lookOf({ run: { items: { labels, counts: null } } }, labels ? "labels" : "none");
  const wide = window.innerWidth - 44;  // without edges and a scroll bar
  const size = Math.max(240, Math.min(520, wide < 760 ? wide : (wide - 28) / 2));
  const room = 14;
  const placeOfRow = (i) => [
    room + ((xy[2 * i] + 1) / 2) * (size - 2 * room),
    room + ((1 - xy[2 * i + 1]) / 2) * (size - 2 * room),
  ];
  const alt = `${rows.length} items on a plane by PCA, table of ${data.name}. Draw around some with a
    pointer, or select them by words or by a label.`;
  const { canvas, pen } = canvasOf(size, size, alt);
  const box = make("div", { class: "map" }, canvas);
  const said = make("div", { role: "status" });
  const shown = make("div", { class: "shown" });
  let selected = [];
  let line = [];

  function draw() {
    pen.clearRect(0, 0, size, size);
    drawItems(pen, { rows, placeOfRow, look, radius: rows.length > 600 ? 2.6 : 4 });
    const marked = new Set(selected);
    pen.strokeStyle = colourOf("ink");
    pen.lineWidth = 1.5;
    rows.forEach((item, i) => {
      if (!marked.has(item)) return;
      pen.beginPath();
      pen.arc(...placeOfRow(i), 6, 0, 2 * Math.PI);
      pen.stroke();
    });
    pen.beginPath();
    line.forEach((point) => pen.lineTo(...point));
    pen.stroke();
  }

  function measures(items) {
    return {
      count: items.length, cosine: meanCosine(world, items), cosineOfAll,
      labels: labels ? labelShares(labels, items) : [], singular: singularValues(world, items),
    };
  }

  function select(items) {
    selected = items;
    draw();
    shown.replaceChildren();
    const word = items.length === 1 ? "item" : "items";
    if (items.length < 2) {
      const which = items.length ? `: ${names[items[0]]}` : "";
      said.textContent = `${items.length} ${word} selected${which}. Two or more can be measured.`;
      return;
    }
    const now = measures(items);
    said.textContent = `${items.length} ${word} selected. Mean cosine of their pairs
      ${short(now.cosine)}; of all items ${short(cosineOfAll)}.`;
    if (now.labels.length) {
      const percent = (share) => `${Math.round(100 * share)} %`;
      const some = now.labels.slice(0, 6).map(([name, own, all]) => [name, percent(own), percent(all)]);
      shown.append(table("Labels", ["label", "of these", "of all"], some));
    }
    const chance = overMean(singularValues(world, byChance(n, items.length)), world.d);
    const own = overMean(now.singular, world.d);
    const lines = [
      { points: pointsOf(chance), series: "ink", dash: "7 5", label: "as many by chance" },
      { points: pointsOf(own), series: "s1", width: 3, marker: "circle", label: "these items" },
    ];
    const picture = lineChart({
      width: Math.min(420, size), height: 230, lines,
      alt: `Singular values of ${items.length} selected vectors, the first ${short(own[0])};
        of as many by chance ${short(chance[0])}.`,
      x: rangeOf([1, Math.max(2, own.length)], { room: 0 }),
      y: rangeOf([...own, ...chance], { low: 0 }),
      words: { x: "direction k", y: "singular value" },
    });
    const titles = items.slice(0, 60).map((item) => make("li", {}, names[item]));
    const more = items.length > 60 ? make("li", {}, `and ${items.length - 60} more`) : null;
    shown.append(figure(picture, lines), make("details", {}, make("summary", {}, "Their titles"),
      make("ul", {}, ...titles, more)));
  }

  function at(event) {
    const area = canvas.getBoundingClientRect();
    return [event.clientX - area.left, event.clientY - area.top];
  }
  canvas.style.touchAction = "none";  // a finger draws and does not scroll
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    line = [at(event)];
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!line.length) return;
    line.push(at(event));
    draw();
  });
  canvas.addEventListener("pointerup", () => {
    const around = line;
    line = [];
    select([...rows].filter((_, i) => inside(...placeOfRow(i), around)));
  });
  canvas.addEventListener("pointercancel", () => (line = []));

  const words = make("input", { id: "words", type: "text", autocomplete: "off" });
  words.addEventListener("input", () => select(findTitles(names, words.value, n)));
  const labelled = (control, text) =>
    make("div", { class: "control" }, make("label", { for: control.id }, text), control);
  const controls = [labelled(words, "Words of titles")];
  if (labels) {
    const known = labelShares(labels, everything).map(([name]) => name);
    const choice = make("select", { id: "label" }, ...["", ...known].map((name) =>
      make("option", { value: name }, name || "choose one")));
    choice.addEventListener("change", () =>
      select(everything.filter((item) => labels[item].includes(choice.value))));
    controls.push(labelled(choice, "All of a label"));
  }
  hoverTitles(box, canvas, { rows, placeOfRow, names, width: size });
  const legendOf = make("ul", { class: "legend" }, ...look.legend.map(([series, sign, text]) =>
    make("li", {}, svg("svg", { width: 14, height: 14, "aria-hidden": "true" },
      svg("path", { d: SHAPES[sign](7, 7, 4), style: `fill: var(--${series}); stroke: var(--${series})` })),
    make("span", {}, text))));
  const named = make("div", { class: "named" }, ...controls);
  host.append(make("div", {}, named, legendOf, box), make("div", {}, said, shown));
  select(before);
  window.adrec = { select, measures, selected: () => selected };
}

// A frame may get its width late, and a window another one: then everything is made anew.
function touchAtAnyWidth(data, host) {
  let width = 0;
  new ResizeObserver(() => {
    if (!window.innerWidth || window.innerWidth === width) return;
    width = window.innerWidth;
    host.replaceChildren();
    touchMap(data, host, window.adrec?.selected() ?? []);
  }).observe(document.documentElement);
}

touchAtAnyWidth(readJson("data"), document.getElementById("touch"));

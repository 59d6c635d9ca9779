// Pictures, drawn by hand as SVG or on a canvas. Each says in words what it shows.

const SVG = "http://www.w3.org/2000/svg";

// An element with attributes and children; `svg` for SVG's own.
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  return fill(element, attributes, children);
}

function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// A number as a reader wants it: four digits at most.
function short(value) {
  if (!Number.isFinite(value)) return String(value);
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(3)));
}

function scaleOf({ low, high, log }, from, to) {
  const f = log ? Math.log10 : (x) => x;
  const a = f(low);
  const b = f(high);
  return (value) => from + ((f(value) - a) / (b - a || 1)) * (to - from);
}

// Where an axis is labelled: 1, 2 and 5 of every power of ten, or about `count` even steps.
function ticksOf({ low, high, log, whole }, count) {
  const found = [];
  if (log) {
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high) + 1; power++) {
      for (const digit of [1, 2, 5]) found.push(digit * 10 ** power);
    }
    const inside = found.filter((x) => x >= low * 0.999 && x <= high * 1.001);
    const powers = inside.filter((x) => Math.abs(Math.log10(x) % 1) < 1e-9);
    if (inside.length < 3) return ticksOf({ low, high }, Math.min(count, 6));  // a short range
    return inside.length > 1.6 * count && powers.length > 1 ? powers : inside;
  }
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  let step = [1, 2, 5, 10].map((digit) => digit * power).find((one) => one >= rough * 0.999);
  if (whole) step = Math.max(1, Math.round(step));
  const first = Math.ceil(low / step - 1e-9);
  for (let i = first; i * step <= high + step * 1e-9; i++) found.push(i * step);
  return found;
}

// The space between the edges of a picture and its axes.
const MARGIN = { left: 58, right: 14, top: 12, bottom: 44 };

// Both axes with grid, numbers and words.
function axes(picture, x, y, box, words) {
  const { left, right, top, bottom } = box;
  for (const tick of ticksOf(x, (right - left) / 80)) {
    const at = x.at(tick);
    picture.append(
      svg("line", { class: "grid", x1: at, x2: at, y1: top, y2: bottom }),
      svg("text", { x: at, y: bottom + 17, "text-anchor": "middle" }, short(tick)),
    );
  }
  for (const tick of ticksOf(y, (bottom - top) / 46)) {
    const at = y.at(tick);
    picture.append(
      svg("line", { class: "grid", x1: left, x2: right, y1: at, y2: at }),
      svg("text", { x: left - 7, y: at + 4, "text-anchor": "end" }, short(tick)),
    );
  }
  const middle = (top + bottom) / 2;
  const turned = `rotate(-90 14 ${middle})`;
  picture.append(
    svg("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }),
    svg("line", { class: "axis", x1: left, x2: left, y1: top, y2: bottom }),
    svg("text", { class: "word", x: (left + right) / 2, y: bottom + 37, "text-anchor": "middle" },
      words.x),
    svg("text", { class: "word", x: 14, y: middle, "text-anchor": "middle", transform: turned },
      words.y),
  );
}

// The range of an axis that holds these values.
function rangeOf(values, { log = false, low, high, room = 0.05 } = {}) {
  const usable = values.filter((value) => Number.isFinite(value) && (!log || value > 0));
  let a = low ?? Math.min(...usable);
  let b = high ?? Math.max(...usable);
  if (!usable.length) [a, b] = log ? [0.1, 10] : [0, 1];
  if (log) {
    const more = room ? (b / a || 1) ** room : 1;
    return { low: low ?? a / more, high: high ?? Math.max(b * more, a * 1.1), log };
  }
  const more = (b - a || Math.abs(b) || 1) * room;
  return { low: low ?? a - more, high: high ?? b + more, log };
}

// A line as an SVG path; values that an axis cannot show are cut off at its end.
function pathOf(points, x, y) {
  let text = "";
  for (const [px, py] of points) {
    if (!Number.isFinite(py) || (y.log && py <= 0)) continue;
    const within = Math.min(Math.max(py, y.low), y.high);
    text += `${text ? "L" : "M"}${x.at(px).toFixed(1)} ${y.at(within).toFixed(1)}`;
  }
  return text;
}

const SHAPES = {
  circle: (x, y, r) => `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`,
  square: (x, y, r) => `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}Z`,
  diamond: (x, y, r) => `M${x} ${y - 1.3 * r}l${1.3 * r} ${1.3 * r}l${-1.3 * r} ${1.3 * r}l${-1.3 * r} ${-1.3 * r}Z`,
  triangle: (x, y, r) => `M${x} ${y - 1.3 * r}l${1.3 * r} ${2.3 * r}h${-2.6 * r}Z`,
  wedge: (x, y, r) => `M${x} ${y + 1.3 * r}l${1.3 * r} ${-2.3 * r}h${-2.6 * r}Z`,
  plus: (x, y, r) => `M${x - r} ${y}h${2 * r}M${x} ${y - r}v${2 * r}`,
};

// Lines: [{points: [[x, y]…], series, dash, width, marker, label}], series a colour of style.css.
// `marks`: x of dotted lines; `parts`: [[x, words]…] where a part of the picture begins.
function lineChart({ width, height, x, y, words, lines, marks = [], parts = [], alt }) {
  const box = {
    left: MARGIN.left,
    right: width - MARGIN.right,
    top: MARGIN.top,
    bottom: height - MARGIN.bottom,
  };
  x.at = scaleOf(x, box.left, box.right);
  y.at = scaleOf(y, box.bottom, box.top);
  const sizes = { width, height, viewBox: `0 0 ${width} ${height}` };
  const picture = svg("svg", { class: "chart", role: "img", "aria-label": alt, ...sizes });
  axes(picture, x, y, box, words);
  parts.forEach(([at, word], i) => {  // words on two heights, so that short parts have room
    const place = { x1: x.at(at), x2: x.at(at), y1: box.top, y2: box.bottom };
    const late = x.at(at) + 8 * word.length > box.right;
    const where = { x: late ? box.right - 4 : x.at(at) + 5, y: box.bottom - 7 - 15 * (i % 2) };
    picture.append(svg("line", { class: "band", ...place }),
      svg("text", { ...where, "text-anchor": late ? "end" : "start" }, word));
  });
  for (const at of marks) {
    const place = { x1: x.at(at), x2: x.at(at), y1: box.top, y2: box.bottom };
    picture.append(svg("line", { class: "mark", ...place }));
  }
  for (const line of lines) {
    const style = `stroke: var(--${line.series}); stroke-width: ${line.width ?? 2}`;
    const dash = { "stroke-dasharray": line.dash };
    picture.append(svg("path", { class: "line", d: pathOf(line.points, x, y), style, ...dash }));
    if (!line.marker) continue;
    const every = Math.max(1, Math.ceil(line.points.length / 16));
    const shown = line.points.filter((point, i) => i % every === 0 && Number.isFinite(point[1]));
    for (const [px, py] of shown) {
      if (y.log && py <= 0) continue;
      const d = SHAPES[line.marker](x.at(px), y.at(Math.min(Math.max(py, y.low), y.high)), 3.4);
      picture.append(svg("path", { d, style: `fill: var(--${line.series})` }));
    }
  }
  return picture;
}

// What the lines of a picture are, with the same strokes.
function legend(lines) {
  const items = lines.filter((line) => line.label).map((line) => {
    const style = `stroke: var(--${line.series}); fill: none; stroke-width: ${line.width ?? 2}`;
    const sample = svg("svg", { width: 34, height: 12, "aria-hidden": "true" },
      svg("path", { d: "M1 6H33", style, "stroke-dasharray": line.dash }));
    if (line.marker) {
      const d = SHAPES[line.marker](17, 6, 3.4);
      sample.append(svg("path", { d, style: `fill: var(--${line.series})` }));
    }
    return make("li", {}, sample, make("span", {}, line.label));
  });
  return make("ul", { class: "legend" }, ...items);
}

// A picture with its legend and one sentence below.
function figure(picture, lines, caption) {
  return make("figure", {}, lines ? legend(lines) : null, picture,
    caption ? make("figcaption", {}, caption) : null);
}

// Bars with words beside them: [{label, value, note}], largest first.
function bars(rows, alt) {
  const values = rows.map((row) => row.value);
  const low = Math.min(0, ...values);
  const reach = Math.max(...values, 0) - low || 1;
  const list = make("ol", { class: "bars", "aria-label": alt });
  for (const row of rows) {
    const share = Math.max(0.5, (100 * (row.value - low)) / reach);
    const bar = make("span", { class: "bar", "aria-hidden": "true" });
    bar.style.width = `${share}%`;
    list.append(make("li", {},
      make("span", { class: "name" }, row.label),
      make("span", { class: "note" }, row.note ?? ""),
      make("span", { class: "track", "aria-hidden": "true" }, bar),
      make("span", { class: "value" }, short(row.value))));
  }
  return list;
}

// A table with a caption; cells are text or numbers.
function table(caption, head, rows, marked = -1) {
  const cell = (value) => make("td", { class: typeof value === "number" ? "number" : null },
    typeof value === "number" ? short(value) : value);
  const body = rows.map((row, i) =>
    make("tr", { class: i === marked ? "marked" : null }, ...row.map(cell)));
  const scroll = make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption });
  scroll.append(make("table", {}, make("caption", {}, caption),
    make("thead", {}, make("tr", {}, ...head.map((word) => make("th", { scope: "col" }, word)))),
    make("tbody", {}, ...body)));
  return scroll;
}

// The colour that a name stands for in the present theme.
function colourOf(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

// A canvas of a size on the page, sharp on any screen; words for it in `alt`.
function canvasOf(width, height, alt) {
  const sharp = window.devicePixelRatio || 1;
  const canvas = make("canvas", { role: "img", "aria-label": alt });
  canvas.width = Math.round(width * sharp);
  canvas.height = Math.round(height * sharp);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  pen.scale(sharp, sharp);
  return { canvas, pen };
}

// Numbers (rows, columns) as an image from blue (below 0) over paper to orange (above).
function heatmap({ width, height, values, rows, columns, alt }) {
  const { canvas, pen } = canvasOf(width, height, alt);
  let reach = 0;
  for (const value of values) reach = Math.max(reach, Math.abs(value));
  const w = width / columns;
  const h = height / rows;
  pen.fillStyle = colourOf("paper");
  pen.fillRect(0, 0, width, height);
  const [below, above] = [colourOf("below"), colourOf("above")];
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const value = values[row * columns + column] / (reach || 1);
      pen.globalAlpha = Math.min(1, Math.abs(value));
      pen.fillStyle = value < 0 ? below : above;
      pen.fillRect(column * w, row * h, w + 0.5, h + 0.5);
    }
  }
  pen.globalAlpha = 1;
  return canvas;
}

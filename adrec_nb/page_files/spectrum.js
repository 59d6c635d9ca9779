// Singular values of the item table, epoch by epoch, over what pure noise would give.

const EXAMPLES = [
  ["none", "nothing"],
  ["merged", "a merged table"],
  ["narrow", "a narrow table"],
  ["noise", "a table of noise"],
];
const KIND_WORDS = [
  ["centred", "around the mean item"],
  ["raw", "as it is"],
  ["standardised", "every direction scaled to 1"],
];

function spectrumExplorer(app) {
  const records = () => app.run.spectra.records;
  const place = (i) => `${records()[i].stage}, epoch ${records()[i].epoch}`;
  const last = () => records().length - 1;
  let playing = null;

  function stop() {
    clearInterval(playing);
    playing = null;
    play.textContent = "Play the epochs";
    play.setAttribute("aria-pressed", "false");
  }
  function step() {
    const now = state.number("at", last(), 0, last());
    if (now >= last() || state.get("view", "spectrum") !== "spectrum") return stop();
    state.set({ at: now + 1 });
  }
  const play = make("button", {
    type: "button", "aria-pressed": "false",
    onclick: () => {
      if (playing) return stop();
      if (state.number("at", last(), 0, last()) >= last()) state.set({ at: 0 });
      play.textContent = "Pause";
      play.setAttribute("aria-pressed", "true");
      playing = setInterval(step, app.calm ? 1500 : 600);
    },
  }, "Play the epochs");

  return {
    id: "spectrum",
    title: "Spectra",
    look: `Where does the solid line leave the dashed one? On it, the table cannot be told from pure
      noise; high on the left and far below on the right, few directions carry all items.`,
    controls: [
      slider({
        key: "at", label: "Time", usual: last, words: place,
        values: () => records().map((record, i) => i),
      }),
      { key: "play", node: make("div", { class: "control" }, play), follow() {} },
      select({ key: "kind", label: "Table is taken", usual: () => "centred", options: () => KIND_WORDS }),
      select({ key: "beside", label: "Beside it", usual: () => "none", options: () => EXAMPLES }),
      checkbox({ key: "log", label: "Logarithmic axes", usual: () => 1 }),
    ],
    telling: () => [
      ["Before training: noise", { at: 0 }],
      ["After training", { at: last() }],
      ["Beside a merged table", { at: last(), beside: "merged", kind: "raw" }],
      ["Beside a narrow table", { at: last(), beside: "narrow" }],
    ],
    draw: (host) => drawSpectrum(app, host),
  };
}

function pointsOf(values) {
  return Array.from(values, (value, i) => [i + 1, value]);
}

function drawSpectrum(app, host) {
  const { records, noise, examples, shape } = app.run.spectra;
  const at = state.number("at", records.length - 1, 0, records.length - 1);
  const kind = state.choice("kind", "centred", KIND_WORDS.map(([value]) => value));
  const beside = state.choice("beside", "none", EXAMPLES.map(([value]) => value));
  const log = state.choice("log", 1, [0, 1]) === "1";
  const now = records[at];
  const first = records.findIndex((record) => record.stage === now.stage);
  const name = (record) => `${record.stage}, epoch ${record.epoch}`;
  const rank = (one) => `effective rank ${short(one.ranks[kind])}`;
  const lines = [{
    points: pointsOf(app.array(noise.values)), series: "ink", dash: "7 5",
    label: `noise of this shape: effective rank ${short(noise.rank)}`,
  }];
  const rest = records.filter((one, i) => one.stage === now.stage && i !== at && i !== first);
  rest.forEach((one, i) => lines.push({
    points: pointsOf(app.array(one.kinds[kind])), series: "line", width: 1.2,
    label: i === 0 ? "other epochs of this stage" : undefined,
  }));
  if (first !== at) {
    lines.push({
      points: pointsOf(app.array(records[first].kinds[kind])), series: "s5", dash: "2 4",
      label: `${name(records[first])}: ${rank(records[first])}`,
    });
  }
  if (beside !== "none") {
    const words = EXAMPLES.find(([value]) => value === beside)[1];
    lines.push({
      points: pointsOf(app.array(examples[beside].kinds[kind])), series: "s2", dash: "10 4 2 4",
      marker: "square", label: `${words}, made up: ${rank(examples[beside])}`,
    });
  }
  lines.push({
    points: pointsOf(app.array(now.kinds[kind])), series: "s1", width: 3, marker: "circle",
    label: `${name(now)}: ${rank(now)}`,
  });
  const values = lines.flatMap((line) => line.points.map((point) => point[1]));
  const top = Math.max(...values) * 1.15;
  const low = log ? Math.max(1e-3, Math.min(...values.filter((value) => value > 0))) : 0;
  const alt = `Singular values of the item table at ${name(now)}, largest first, ${rank(now)};
    the noise curve has ${short(noise.rank)}. The verdict is ${now.verdict.word}.`;
  const picture = lineChart({
    width: host.width, height: host.height, alt, lines,
    x: rangeOf([1, Math.min(...shape)], { log, room: 0 }),
    y: rangeOf([low, top], { log, low: log ? low * 0.9 : 0, high: top }),
    words: { x: "direction k, largest first", y: "singular value / root mean square" },
  });
  host.picture(figure(picture, lines));
  host.verdict(now.verdict.word, now.verdict.why);
  host.below(courseCharts(app, host, at, kind));
}

// How rank and validation hits went, with the present moment marked and the stages named.
function courseCharts(app, host, at, kind) {
  const { records, noise } = app.run.spectra;
  const last = records.length - 1;
  const begins = records.map((one, i) => [i, one.stage])
    .filter(([i, stage]) => i === 0 || records[i - 1].stage !== stage);
  const shared = { width: host.half, height: 230, marks: [at], parts: begins };
  const x = () => ({ ...rangeOf([0, Math.max(1, last)], { room: 0 }), whole: true });
  const ranks = [
    { points: records.map((one, i) => [i, one.ranks[kind]]), series: "s1", marker: "circle",
      label: "effective rank of the table" },
    { points: [[0, noise.rank], [last, noise.rank]], series: "ink", dash: "7 5", label: "of noise" },
  ];
  const values = ranks.flatMap((line) => line.points.map((point) => point[1]));
  const left = lineChart({
    ...shared, x: x(), lines: ranks, words: { x: "record", y: "effective rank" },
    y: rangeOf(values, { low: 0.75 * Math.min(...values), high: 1.04 * Math.max(...values) }),
    alt: `Effective rank of the item table over ${records.length} records: first
      ${short(records[0].ranks[kind])}, last ${short(records.at(-1).ranks[kind])}.`,
  });
  const same = (one, record) => one.stage === record.stage && one.epoch === record.epoch;
  const hits = records.map((record, i) =>
    [i, app.run.course.find((one) => same(one, record))?.value ?? NaN]);
  const known = hits.filter((point) => Number.isFinite(point[1])).map((point) => point[1]);
  if (!known.length) return [figure(left, ranks)];
  const { metric } = app.run.course[0];
  const lines = [{ points: hits, series: "s3", marker: "triangle", label: `${metric} on validation users` }];
  const right = lineChart({
    ...shared, x: x(), lines, words: { x: "record", y: `${metric}, %` },
    y: rangeOf(known, { low: 0, high: 1.1 * Math.max(...known, 1) }),
    alt: `${metric} on validation users: first ${short(known[0])} %, last ${short(known.at(-1))} %.`,
  });
  return [figure(left, ranks), figure(right, lines)];
}

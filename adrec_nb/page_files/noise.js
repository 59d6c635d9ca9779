// The forward process: what is left of a user's sequence at step t, and how that depends on scale.

function noiseExplorer(app) {
  const curves = () => app.run.schedules.curves;
  const schedule = () => state.choice("schedule", app.run.schedules.own, Object.keys(curves()));
  const lengths = () => Object.keys(curves()[schedule()]).map(Number);
  const own = () => (lengths().includes(app.run.schedules.steps) ? app.run.schedules.steps : lengths()[0]);
  const T = () => Number(state.choice("T", own(), lengths()));
  return {
    id: "noise",
    title: "Noise",
    look: `From which step on is a token no longer nearest to its own item? The schedule alone does not
      say it: it depends on the size of the vectors as well.`,
    controls: [
      userChoice(app),
      select({
        key: "schedule", label: "Schedule", usual: () => app.run.schedules.own,
        options: () => Object.keys(curves()).map((name) => [name, name.replace("_", " ")]),
      }),
      slider({ key: "T", label: "Steps T", usual: own, values: lengths }),
      slider({
        key: "t", label: "Step t of the last token", usual: () => Math.floor(T() / 8),
        values: () => Array.from({ length: T() }, (_, i) => i),
      }),
      slider({
        key: "scale", label: "Size of the vectors' entries", usual: () => "own",
        values: () => scaleChoices(app).map(([value]) => value),
        words: (value) => scaleChoices(app).find(([one]) => String(one) === String(value))[1],
      }),
      select({
        key: "drawn", label: "Steps are drawn", usual: () => "token",
        options: () => [["token", "for each token"], ["sequence", "for the sequence"]],
      }),
      slider({
        key: "draw", label: "Draw number", usual: () => 0,
        values: () => Array.from({ length: 21 }, (_, i) => i),
      }),
    ],
    telling: () => [
      ["As trained, first step", { t: 0, drawn: "sequence" }],
      ["Entries of size 1, first step", { t: 0, drawn: "sequence", scale: 1 }],
      ["Entries of size 1, half way", { t: Math.floor(T() / 2), drawn: "sequence", scale: 1 }],
      ["The last step: only noise", { t: T() - 1, drawn: "sequence", scale: 1 }],
    ],
    draw: (host) => drawNoise(app, host, schedule(), T()),
  };
}

// A test user by number, with what came last.
function userChoice(app) {
  const users = () => app.run.users;
  return select({
    key: "user", label: "User", usual: () => 1,
    options: () => users().map((user, i) => [i + 1, `${i + 1}: … ${app.run.items.names[user.history.at(-1)]}`]),
  });
}

function userNow(app) {
  return app.run.users[Math.round(state.number("user", 1, 1, app.run.users.length)) - 1];
}

// Root mean square of the table's entries: as trained, and some others.
function scaleChoices(app) {
  const own = Math.sqrt(meanSquare(app.table().subarray(app.dim)));
  const others = [0.1, 0.3, 1, 3].map((size) => [size, short(size)]);
  return [...others, ["own", `${short(own)}, as trained`]].sort((a, b) =>
    (a[0] === "own" ? own : a[0]) - (b[0] === "own" ? own : b[0]));
}

function drawNoise(app, host, schedule, T) {
  const left = app.array(app.run.schedules.curves[schedule][T]);
  const t = Math.round(state.number("t", Math.floor(T / 8), 0, T - 1));
  const perToken = state.choice("drawn", "token", ["token", "sequence"]) === "token";
  const seed = state.number("draw", 0, 0, 20);
  const size = state.choice("scale", "own", scaleChoices(app).map(([value]) => value));
  const D = app.dim;
  const trained = Math.sqrt(meanSquare(app.table().subarray(D))) || 1;
  const factor = size === "own" ? 1 : Number(size) / trained;
  const items = userNow(app).history.slice(-16);
  const draws = normals(seed + 1, items.length * D);
  const uniform = uniforms(seed + 1001);
  const last = items.length - 1;
  const steps = items.map((item, i) => (perToken && i < last ? Math.floor(uniform() * T) : t));
  const noisy = new Float32Array(items.length * D);
  const rows = items.map((item, i) => {
    const signal = Math.sqrt(left[steps[i]]);
    const noise = Math.sqrt(1 - left[steps[i]]);
    const clean = app.table().subarray(item * D, (item + 1) * D);
    for (let j = 0; j < D; j++) noisy[i * D + j] = signal * factor * clean[j] + noise * draws[i * D + j];
    const power = meanSquare(clean) * factor ** 2 * left[steps[i]];
    const scores = scoresOf(noisy.subarray(i * D, (i + 1) * D), app.table(), D);
    const names = app.run.items.names;
    const share = (100 * power) / (power + 1 - left[steps[i]]);
    return [names[item], steps[i], Math.round(100 * share) / 100, names[bestOf(scores, 1)[0]], placeOf(scores, item)];
  });
  const found = rows.filter((row) => row[4] === 1).length;
  drawSchedule(app, host, { left, T, t, schedule, power: trained ** 2 * factor ** 2 });
  const alt = `${items.length} noisy tokens as an image, one column a token, oldest first;
    ${found} of ${items.length} are still nearest to their own item.`;
  const columns = new Float32Array(noisy.length);
  for (let i = 0; i < items.length; i++) {
    for (let j = 0; j < D; j++) columns[j * items.length + i] = noisy[i * D + j];
  }
  const image = heatmap({ width: host.half, height: 250, values: columns, rows: D, columns: items.length, alt });
  host.below([
    make("figure", {}, image, make("figcaption", {},
      `${items.length} tokens from left to right, ${D} directions from top to bottom; the stronger the colour, the larger the entry: orange above 0, blue below.`)),
    table("What is left of each token, oldest first",
      ["item", "step t", "signal, %", "nearest item now", "place of the true item"], rows),
  ]);
  const share = found / items.length;
  const word = share >= 0.8 ? "still there" : share >= 0.3 ? "fading" : "gone";
  host.verdict(word, `${found} of ${items.length} noisy tokens are still nearest to their own item; the last one keeps ${short(rows.at(-1)[2])} % signal.`);
}

// Signal and noise over the steps: as the schedule has them, and as these vectors meet them.
function drawSchedule(app, host, { left, T, t, schedule, power }) {
  const curve = (f) => Array.from(left, (value, i) => [i, f(value)]);
  const lines = [
    { points: curve((value) => 100 * value), series: "s1", width: 2.5, label: "signal by the schedule (ᾱ)" },
    { points: curve((value) => (100 * value * power) / (value * power + 1 - value)), series: "s2", width: 3,
      dash: "9 4", marker: T > 1 ? "square" : undefined, label: "signal in these vectors" },
    { points: curve((value) => 100 * (1 - value)), series: "muted", dash: "2 4", label: "noise by the schedule" },
  ];
  const share = lines[1].points[t][1];
  const alt = `Share of signal over ${T} steps, schedule ${schedule}: at step ${t} the schedule leaves
    ${short(100 * left[t])} %, and in vectors of this size ${short(share)} % of what is seen is signal.`;
  const picture = lineChart({
    width: host.width, height: host.height, lines, marks: [t], alt,
    x: { ...rangeOf([0, Math.max(1, T - 1)], { room: 0 }), whole: true },
    y: rangeOf([0, 100], { low: 0, high: 104 }),
    words: { x: "step t; dotted: the last token's", y: "share of the variance, %" },
  });
  host.picture(figure(picture, lines));
}

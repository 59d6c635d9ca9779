// One user's next item, denoised step by step, computed here by the trained model.

const WEIGHTS = [0, 0.001, 0.01, 0.1, 0.3, 1];
const DRAWS = 5;  // walks from other noise, to see whether the noise matters

function weightChoices(app) {
  return [...new Set([...WEIGHTS, app.run.model.noise_weight])].sort((a, b) => a - b);
}

function weightWords(app) {
  return (value) => (Number(value) === app.run.model.noise_weight ? `${value}, as trained` : `${value}`);
}

function howNow(app) {
  const { steps, noise_weight } = app.run.model;
  return {
    steps: Math.round(state.number("steps", steps, 1, steps)),
    noise_weight: state.number("lambda", noise_weight, 0, 10),
  };
}

// λ and the number of steps, for denoising and for the recommender.
function walkControls(app) {
  const T = () => app.run.model.steps;
  return [
    slider({
      key: "lambda", label: "Noise weight λ", usual: () => app.run.model.noise_weight,
      values: () => weightChoices(app), words: (value) => weightWords(app)(value),
    }),
    slider({
      key: "steps", label: "Denoising steps", usual: T,
      values: () => Array.from({ length: T() }, (_, i) => i + 1),
    }),
  ];
}

function denoiseExplorer(app) {
  const T = () => app.run.model.steps;
  const steps = () => howNow(app).steps;
  return {
    id: "denoise",
    title: "Denoising",
    look: `Does the guess change on its way, and does it depend on the noise it starts from? If the
      solid line lies at 1 from the first step on, the steps add nothing.`,
    missing: () => noDenoising(app.run),
    controls: () => [
      userChoice(app),
      ...walkControls(app),
      slider({
        key: "seed", label: "Noise number", usual: () => 0,
        values: () => Array.from({ length: 21 }, (_, i) => i),
      }),
      slider({
        key: "step", label: "Best ten at step", usual: steps,
        values: () => Array.from({ length: steps() }, (_, i) => i + 1),
      }),
    ],
    telling: () => {
      const own = app.run.model.noise_weight;
      const rows = [[`As trained, λ = ${own}`, {}]];
      if (T() > 1) rows.push([`λ = ${own}, one step instead of ${T()}`, { steps: 1 }]);
      return [...rows, ["λ = 1: do steps count now?", { lambda: 1 }], ["λ = 0: no noise at all", { lambda: 0 }]];
    },
    draw: (host) => drawWalk(app, host),
  };
}

// Why a run has no walk to show; empty where it has.
function noDenoising({ problem, model, facts }) {
  if (problem) return `There is no live model: ${problem}.`;
  if (model.kind !== "adrec") return `${facts.result} has no diffusion: there is no denoising to show.`;
  return "";
}

function drawWalk(app, host) {
  const how = howNow(app);
  const seed = state.number("seed", 0, 0, 20);
  const { history, target } = userNow(app);
  const { names } = app.run.items;
  const model = app.model();
  const walk = model.walk(history, { ...how, seed });
  const lastGuess = walk.at(-1).guess;
  const scores = walk.map((station) => scoresOf(station.guess, model.table, app.dim));
  const places = scores.map((one) => placeOf(one, target));
  const step = Math.round(state.number("step", walk.length, 1, walk.length));
  const best = scores.map((one) => bestOf(one, 10));
  const cosines = [
    { points: walk.map((s, i) => [i + 1, cosine(s.guess, lastGuess)]), series: "s1", width: 3, marker: "circle",
      label: "the guess" },
    { points: walk.map((s, i) => [i + 1, cosine(s.before, lastGuess)]), series: "s2", dash: "9 4", marker: "square",
      label: "the noisy token" },
  ];
  const x = () => ({ ...rangeOf([1, Math.max(2, walk.length)], { room: 0.02 }), whole: true });
  const lowest = Math.min(-0.3, ...cosines.flatMap((line) => line.points.map((point) => point[1])));
  const left = lineChart({
    width: host.width, height: host.height, x: x(), y: rangeOf([], { low: lowest - 0.05, high: 1.08 }),
    lines: cosines, marks: [step],
    words: { x: "denoising step; dotted: the one listed", y: "cosine with the last guess" },
    alt: `Cosine with the last guess over ${walk.length} steps: the guess starts at
      ${short(cosines[0].points[0][1])}, the noisy token at ${short(cosines[1].points[0][1])}.`,
  });
  host.picture(figure(left, cosines));
  const line = [{ points: places.map((place, i) => [i + 1, place]), series: "s3", marker: "diamond",
    label: `place of ${names[target]}, which came next` }];
  const y = rangeOf([1, names.length], { log: true, low: 0.8, high: names.length * 1.1 });
  const right = lineChart({
    width: host.half, height: 260, x: x(), lines: line, marks: [step], y,
    words: { x: "denoising step", y: `place of ${(names.length - 1).toLocaleString("en")}` },
    alt: `Place of the true next item: ${places[0]} at the first step, ${places.at(-1)} at the last.`,
  });
  const rows = best[step - 1].map((item, i) => [i + 1, names[item], item === target ? "came next" : "", scores[step - 1][item]]);
  const last = history.slice(-3).map((item) => names[item]).join(", ");
  const marked = best[step - 1].indexOf(target);
  host.below([
    figure(right, line),
    table(`Best ten by the guess at step ${step} of ${walk.length}, after ${last}`,
      ["place", "item", "", "score"], rows, marked),
  ]);
  host.verdict(...noiseVerdict(app, model, history, how, walk, best, seed));
}

// Whether steps and noise change the list: measured on this walk and four from other noise.
function noiseVerdict(app, model, history, how, walk, best, seed) {
  const last = walk.at(-1).guess;
  const own = new Set(best.at(-1));
  const common = (items) => items.filter((item) => own.has(item)).length;
  const overSteps = Math.min(...best.map(common));
  const nearest = walk.map((station) => cosine(station.guess, last));
  let overDraws = own.size;
  for (let other = 1; other < DRAWS; other++) {
    const vector = model.userVector(history, { ...how, seed: seed + 100 * other });
    nearest.push(cosine(vector, last));
    overDraws = Math.min(overDraws, common(bestOf(scoresOf(vector, model.table, app.dim), 10)));
  }
  const least = Math.min(overSteps, overDraws);
  const far = Math.min(...nearest);
  const steps = best.length > 1 ? `at least ${overSteps} are there at every step, and ` : "";
  const why = `Of the last guess's ${own.size} best, ${steps}at least ${overDraws} from ${DRAWS - 1} other
    draws of noise; the least cosine of these guesses with it is ${far.toFixed(3)}.`;
  // The tenth and the eleventh may be nearly equal: one more or less is no change of the list.
  if (least >= own.size - 1 && far > 0.995) return ["noise is idle", why];
  return [least <= own.size - 2 ? "noise counts" : "noise is felt", why];
}

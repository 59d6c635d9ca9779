// ADRec and next-item transformers for one user, as in the notebooks 02_backbone to 04_models:
// embed, summarise the history (CAM), mix in a noisy next item, guess the clean one (ADM), repeat.

// A causal transformer with a memory: tokens come in pieces, and earlier ones are not computed anew.
class Transformer {
  constructor(part, prefix, facts) {
    this.heads = facts.heads;
    this.dim = facts.dim;
    this.blocks = [];
    for (let b = 0; b < facts.blocks; b++) {
      const at = `${prefix}.blocks.${b}`;
      this.blocks.push({
        qkv: [part(`${at}.attention.qkv.weight`), part(`${at}.attention.qkv.bias`)],
        out: [part(`${at}.attention.out.weight`), part(`${at}.attention.out.bias`)],
        wide: [part(`${at}.ffn.0.weight`), part(`${at}.ffn.0.bias`)],
        narrow: [part(`${at}.ffn.3.weight`), part(`${at}.ffn.3.bias`)],
        norm1: { weight: part(`${at}.norm1.weight`), bias: part(`${at}.norm1.bias`), eps: 1e-12 },
        norm2: { weight: part(`${at}.norm2.weight`), bias: part(`${at}.norm2.bias`), eps: 1e-12 },
      });
    }
  }

  // Room for the keys and values of `tokens` tokens in every block.
  memory(tokens) {
    const empty = () => new Float32Array(tokens * this.dim);
    return { count: 0, k: this.blocks.map(empty), v: this.blocks.map(empty) };
  }

  // x (n, D), the tokens after those in memory -> (n, D). `sink`: log of how many paddings the
  // first token stands for; undefined where there is none.
  run(x, n, memory, sink) {
    this.blocks.forEach((block, b) => {
      const mixed = this.attend(block, x, n, memory.k[b], memory.v[b], memory.count, sink);
      const middle = layerNorm(add(x, mixed), n, block.norm1);
      const spread = gelu(linear(middle, n, ...block.wide));
      x = layerNorm(add(middle, linear(spread, n, ...block.narrow)), n, block.norm2);
    });
    memory.count += n;
    return x;
  }

  // Every token looks at itself and at those before it, with each head in its own part of the width.
  attend(block, x, n, k, v, past, sink) {
    const D = this.dim;
    const width = D / this.heads;
    const qkv = linear(x, n, ...block.qkv);  // (n, 3 D)
    for (let row = 0; row < n; row++) {
      k.set(qkv.subarray(row * 3 * D + D, row * 3 * D + 2 * D), (past + row) * D);
      v.set(qkv.subarray(row * 3 * D + 2 * D, row * 3 * D + 3 * D), (past + row) * D);
    }
    const mixed = new Float32Array(n * D);
    const weights = new Float64Array(past + n);
    for (let row = 0; row < n; row++) {
      const seen = past + row + 1;
      for (let head = 0; head < this.heads; head++) {
        const first = head * width;
        const q = row * 3 * D + first;
        for (let other = 0; other < seen; other++) {
          let sum = 0;
          for (let i = 0; i < width; i++) sum += qkv[q + i] * k[other * D + first + i];
          weights[other] = sum / Math.sqrt(width);
        }
        if (sink !== undefined && seen > 1) weights[0] += sink;
        softmax(weights, seen);
        for (let other = 0; other < seen; other++) {
          const share = weights[other];
          for (let i = 0; i < width; i++) {
            mixed[row * D + first + i] += share * v[other * D + first + i];
          }
        }
      }
    }
    return linear(mixed, n, ...block.out);
  }
}

// The decoder that looks at one token alone.
class TokenDecoder {
  constructor(part) {
    this.wide = [part("adm.0.weight"), part("adm.0.bias")];
    this.narrow = [part("adm.3.weight"), part("adm.3.bias")];
    this.norm = { weight: part("adm.4.weight"), bias: part("adm.4.bias"), eps: 1e-5 };
  }

  memory() {
    return { count: 0 };
  }

  run(x, n) {
    return layerNorm(linear(silu(linear(x, n, ...this.wide)), n, ...this.narrow), n, this.norm);
  }
}

// Half-way numbers to the even neighbour, as NumPy rounds.
function roundHalfEven(x) {
  const low = Math.floor(x);
  if (x - low !== 0.5) return Math.round(x);
  return low % 2 === 0 ? low : low + 1;
}

// The steps of a walk from the noisiest level to the clean end (Ho et al. 2020, equations 6 and 7).
function denoisingPlan(betas, steps) {
  const T = betas.length;
  const left = [];  // alpha_bar at every level
  betas.reduce((product, beta) => (left.push(product * (1 - beta)), product * (1 - beta)), 1);
  const levels = [];
  for (let i = 0; i < steps; i++) {
    levels.push(steps === 1 ? T - 1 : roundHalfEven(T - 1 + i * (-(T - 1) / (steps - 1))));
  }
  return levels.map((t, i) => {
    const here = left[t];
    const there = i + 1 < steps ? left[levels[i + 1]] : 1;
    const alpha = here / there;
    return {
      t,
      c1: ((1 - alpha) * Math.sqrt(there)) / (1 - here),
      c2: (Math.sqrt(alpha) * (1 - there)) / (1 - here),
      sigma: Math.sqrt(((1 - alpha) * (1 - there)) / (1 - here)),
      signal: Math.sqrt(here),
      noise: Math.sqrt(1 - here),
      nextSignal: Math.sqrt(there),
      nextNoise: Math.sqrt(1 - there),
    };
  });
}

// One step of the walk, for one user's vector.
const SAMPLERS = {
  ancestral: (step, guess, x, noise) =>
    x.map((value, i) => step.c1 * guess[i] + step.c2 * value + step.sigma * noise[i]),
  ddim: (step, guess, x) =>
    x.map((value, i) => {
      const implied = (value - step.signal * guess[i]) / step.noise;
      return step.nextSignal * guess[i] + step.nextNoise * implied;
    }),
};

class Model {
  constructor(facts, weights) {
    this.facts = facts;
    const all = unpack(weights.values);
    const part = (name) => {
      const { start, shape } = weights.where[name];
      const size = shape.reduce((a, b) => a * b, 1);
      return { values: all.subarray(start, start + size), shape };
    };
    const adrec = facts.kind === "adrec";
    this.embedding = part("embedding.weight").values;  // (N + 1, D), row 0 is padding
    this.norm = { weight: part("norm.weight"), bias: part("norm.bias"), eps: adrec ? 1e-12 : 1e-5 };
    this.positions = facts.kind === "sasrec" ? part("positions.weight").values : null;
    this.summary = new Transformer(part, adrec ? "cam" : "encoder", facts);
    this.table = this.asScored(this.embedding);
    if (!adrec) return;
    const transformer = facts.decoder === "transformer";
    this.decoder = transformer ? new Transformer(part, "adm", facts) : new TokenDecoder(part);
    this.scale = facts.standardise ? 1 / Math.sqrt(meanSquare(this.table.subarray(facts.dim))) : 1;
    this.stepVectors = this.embedSteps(part);
  }

  // The table as scores see it: directions alone where cosines score.
  asScored(table) {
    if (this.facts.temperature === null) return table;
    const D = this.facts.dim;
    const out = Float32Array.from(table);
    for (let row = 0; row < out.length; row += D) {
      const one = out.subarray(row, row + D);
      const length = Math.max(Math.sqrt(dot(one, one)), 1e-12);
      for (let i = 0; i < D; i++) one[i] /= length;
    }
    return out;
  }

  // A vector for every step t (T, D): waves of t through a small network.
  embedSteps(part) {
    const { steps, dim } = this.facts;
    const half = dim / 2;
    const features = new Float32Array(steps * dim);
    for (let t = 0; t < steps; t++) {
      for (let i = 0; i < half; i++) {
        const angle = ((t * 1000) / steps) * Math.exp((-Math.log(10000) * i) / half);
        features[t * dim + i] = Math.cos(angle);
        features[t * dim + half + i] = Math.sin(angle);
      }
    }
    const hidden = linear(features, steps, part("step_mlp.0.weight"), part("step_mlp.0.bias"));
    return linear(silu(hidden), steps, part("step_mlp.2.weight"), part("step_mlp.2.bias"));
  }

  // The tokens of a history: its last items, behind one padding token where padding is a sink.
  tokensOf(history) {
    const kept = history.slice(-this.facts.max_len);
    if (this.facts.padding !== "sink") return { tokens: kept, sink: undefined };
    return { tokens: [0, ...kept], sink: Math.log(this.facts.max_len - kept.length) };
  }

  vectorOf(item) {
    const D = this.facts.dim;
    return this.embedding.subarray(item * D, (item + 1) * D);
  }

  // What the history says at every token, (n, D).
  summarise(tokens, sink) {
    const { dim, max_len } = this.facts;
    const x = new Float32Array(tokens.length * dim);
    const first = max_len - tokens.length;  // positions are counted from the end
    tokens.forEach((item, row) => {
      const place = this.positions && this.positions.subarray((first + row) * dim);
      const vector = this.vectorOf(item);
      for (let i = 0; i < dim; i++) x[row * dim + i] = vector[i] + (place ? place[i] : 0);
    });
    const embedded = layerNorm(x, tokens.length, this.norm);
    return this.summary.run(embedded, tokens.length, this.summary.memory(tokens.length), sink);
  }

  // z = c + lambda (x + the step's vector)
  aggregate(c, x, t, weight) {
    const D = this.facts.dim;
    return c.map((value, i) => value + weight * (x[i] + this.stepVectors[t * D + i]));
  }

  // A function that guesses the clean vector of the last token from its noisy one.
  guesser(history, weight) {
    const D = this.facts.dim;
    const { tokens, sink } = this.tokensOf(history);
    const c = this.summarise(tokens, sink);
    const last = tokens.length - 1;
    const memory = this.decoder.memory(tokens.length);
    const known = new Float32Array(last * D);  // the clean tokens of the history
    for (let row = 0; row < last; row++) {
      const next = this.vectorOf(tokens[row] === 0 ? 0 : tokens[row + 1]);
      const x = next.map((value) => value * this.scale);
      known.set(this.aggregate(c.subarray(row * D, (row + 1) * D), x, 0, weight), row * D);
    }
    if (last > 0) this.decoder.run(known, last, memory, sink);
    const end = c.subarray(last * D);
    return (x, t) => {
      memory.count = last;  // the last token's place is written over at every step
      return this.decoder.run(this.aggregate(end, x, t, weight), 1, memory, sink);
    };
  }

  // One user's walk from noise: where the token was and what was guessed, station by station.
  walk(history, { steps, noise_weight, seed } = {}) {
    const D = this.facts.dim;
    const plan = denoisingPlan(this.facts.betas, steps ?? this.facts.steps);
    const weight = noise_weight ?? this.facts.noise_weight;
    const size = (plan.length + 1) * D;
    const noise = seed === undefined ? new Float32Array(size) : normals(seed, size);
    const guess = this.guesser(history, weight);
    const step = SAMPLERS[this.facts.sampler];
    let x = noise.slice(0, D);
    return plan.map((one, i) => {
      const raw = guess(x, one.t);
      const guessed = raw.map((value) => value * this.scale);
      const before = x;
      x = step(one, guessed, x, noise.subarray((i + 1) * D, (i + 2) * D));
      return { t: one.t, before, guess: raw, after: x.map((value) => value / this.scale) };
    });
  }

  // The user's vector (D).
  userVector(history, how) {
    if (this.facts.kind === "adrec") return this.walk(history, how).at(-1).after;
    const { tokens, sink } = this.tokensOf(history);
    return this.summarise(tokens, sink).slice(-this.facts.dim);
  }

  // How well every item fits (N + 1); index 0, padding, is -Infinity.
  scores(history, how) {
    return scoresOf(this.userVector(history, how), this.table, this.facts.dim);
  }
}

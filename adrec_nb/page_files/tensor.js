// The few operations a transformer is made of. A matrix of n rows is one Float32Array, row by row.

// x (n, inputs) W' + b, with W (outputs, inputs) as PyTorch keeps it -> (n, outputs)
function linear(x, n, weight, bias) {
  const outputs = weight.shape[0];
  const inputs = weight.shape[1];
  const w = weight.values;
  const out = new Float32Array(n * outputs);
  for (let row = 0; row < n; row++) {
    const from = row * inputs;
    for (let o = 0; o < outputs; o++) {
      let sum = bias ? bias.values[o] : 0;
      const at = o * inputs;
      for (let i = 0; i < inputs; i++) sum += x[from + i] * w[at + i];
      out[row * outputs + o] = sum;
    }
  }
  return out;
}

// Every row to mean 0 and variance 1, then scaled and shifted. x (n, d) -> (n, d)
function layerNorm(x, n, norm) {
  const d = norm.weight.values.length;
  const out = new Float32Array(n * d);
  for (let row = 0; row < n; row++) {
    const from = row * d;
    let mean = 0;
    for (let i = 0; i < d; i++) mean += x[from + i];
    mean /= d;
    let variance = 0;
    for (let i = 0; i < d; i++) variance += (x[from + i] - mean) ** 2;
    const scale = 1 / Math.sqrt(variance / d + norm.eps);
    for (let i = 0; i < d; i++) {
      const unit = (x[from + i] - mean) * scale;
      out[from + i] = unit * norm.weight.values[i] + norm.bias.values[i];
    }
  }
  return out;
}

// Logits to weights that sum to 1, in place. The largest is taken off first, so exp cannot overflow.
function softmax(logits, count) {
  let largest = -Infinity;
  for (let i = 0; i < count; i++) largest = Math.max(largest, logits[i]);
  let sum = 0;
  for (let i = 0; i < count; i++) {
    logits[i] = Math.exp(logits[i] - largest);
    sum += logits[i];
  }
  for (let i = 0; i < count; i++) logits[i] /= sum;
}

// The tanh form of GELU, in place: nn.GELU("tanh").
function gelu(x) {
  for (let i = 0; i < x.length; i++) {
    const v = x[i];
    x[i] = 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v * v * v)));
  }
  return x;
}

// x times the logistic function of x, in place: nn.SiLU().
function silu(x) {
  for (let i = 0; i < x.length; i++) x[i] /= 1 + Math.exp(-x[i]);
  return x;
}

function add(a, b) {
  const out = new Float32Array(a.length);
  for (let i = 0; i < a.length; i++) out[i] = a[i] + b[i];
  return out;
}

function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

function cosine(a, b) {
  return dot(a, b) / (Math.sqrt(dot(a, a) * dot(b, b)) || 1);
}

// The mean square of a vector's or a table's entries.
function meanSquare(x) {
  return x.length ? dot(x, x) / x.length : 0;
}

// Scores (N + 1) of one vector (d) with every row of a table (N + 1, d); padding gets -Infinity.
function scoresOf(vector, table, d) {
  const n = table.length / d;
  const out = new Float32Array(n);
  for (let item = 1; item < n; item++) {
    let sum = 0;
    for (let i = 0; i < d; i++) sum += vector[i] * table[item * d + i];
    out[item] = sum;
  }
  out[0] = -Infinity;
  return out;
}

// The k best items by score, best first, without those in `hidden` (a Set).
function bestOf(scores, k, hidden = new Set()) {
  const items = [];
  for (let item = 1; item < scores.length; item++) if (!hidden.has(item)) items.push(item);
  items.sort((a, b) => scores[b] - scores[a] || a - b);
  return items.slice(0, k);
}

// How many items score higher than this one, plus 1.
function placeOf(scores, item) {
  let place = 1;
  for (let other = 1; other < scores.length; other++) if (scores[other] > scores[item]) place++;
  return place;
}

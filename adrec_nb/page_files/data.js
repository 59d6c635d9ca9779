// Arrays that Python wrote as base64 become typed arrays again; titles are searched.

// Half precision (IEEE 754) to a number.
function fromHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

// {dtype, shape, base64} to a Float32Array, Int32Array or Uint16Array.
function unpack(found) {
  const text = atob(found.base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  if (found.dtype === "float32") return new Float32Array(bytes.buffer);
  if (found.dtype === "int32") return new Int32Array(bytes.buffer);
  const halves = new Uint16Array(bytes.buffer);
  return found.dtype === "float16" ? Float32Array.from(halves, fromHalf) : halves;
}

// The JSON in one of the page's data elements.
function readJson(id) {
  const element = document.getElementById(id);
  return element ? JSON.parse(element.textContent) : null;
}

// Items whose title holds all words of the text, those that begin with it first.
function findTitles(names, text, limit = 8) {
  const start = text.trim().toLowerCase();
  const words = start.split(/\s+/).filter(Boolean);
  if (!words.length) return [];
  const first = [];
  const later = [];
  for (let item = 1; item < names.length; item++) {
    const name = names[item].toLowerCase();
    if (!words.every((word) => name.includes(word))) continue;
    (name.startsWith(start) ? first : later).push(item);
  }
  return [...first, ...later].slice(0, limit);
}

// Random numbers from 0 to 1 that are the same wherever the page is opened (mulberry32).
function uniforms(seed) {
  let state = (seed * 2654435761 + 40503) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

// Standard normal numbers from them, two at a time (Box and Muller).
function normals(seed, count) {
  const uniform = uniforms(seed);
  const out = new Float32Array(count);
  for (let i = 0; i < count; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    out[i] = radius * Math.cos(angle);
    if (i + 1 < count) out[i + 1] = radius * Math.sin(angle);
  }
  return out;
}

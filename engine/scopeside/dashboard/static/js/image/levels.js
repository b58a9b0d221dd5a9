// Contrast: which values are black and white, the curve between, and the colours.

import { colourAt, DIVERGING } from "./colour_maps.js";
import { percentile } from "./values.js";

const RAMP = 1024;
const RAMP_LOG = 16384; // small values lie close together at the start of a logarithm

export const USUAL = {
  held: false, // whether low and high stay as they are
  low: null,
  high: null,
  percent: [0.5, 99.5], // else they follow these
  gamma: 1,
  log: false,
  map: "auto",
};

export class Levels {
  usual = structuredClone(USUAL); // what "as usual" goes back to
  settings = structuredClone(USUAL);
  low = 0;
  high = 1;
  map = "gray";
  zero = [0, 0]; // that vectors are counted from
  sorted = new Float64Array();
  #table = new Uint32Array(1);
  #made = "";

  // Begin with a logarithm, or without; what a person has chosen stays. Returns whether
  // this has changed what is seen.
  begin(log) {
    if (this.usual.log === log) return false;
    const isUntouched = JSON.stringify(this.settings) === JSON.stringify(this.usual);
    this.usual = { ...structuredClone(USUAL), log };
    if (isUntouched) this.settings = structuredClone(this.usual);
    return isUntouched;
  }

  // Follow the values of a picture, unless the range is held.
  follow(values) {
    if (values.form === "rgb" || values.isLabels) return;
    this.zero = values.form === "vector" ? zeroOf(values) : [0, 0];
    this.sorted = values.sorted(this.zero);
    const { held, map, low, high, percent } = this.settings;
    const diverges = values.form === "scalar" && isSigned(this.sorted, values.header);
    this.map = map === "auto" ? (diverges ? "coolwarm" : "gray") : map;
    const range = held ? [low, high] : this.#range(percent, values, DIVERGING.has(this.map));
    [this.low, this.high] = range;
    if (values.form === "vector") this.low = 0; // no length is less
  }

  // Colours for whole numbers 0 to 255 or 65535 above `offset`, one for each; `unseen` is
  // transparent.
  direct(values) {
    const size = values.header.dtype === "u1" ? 256 : 65536;
    this.#make(`direct ${size} ${values.offset} ${values.unseen}`, size, values, (i) =>
      this.#curve((i + values.offset - this.low) / (this.high - this.low), true),
    );
    if (values.unseen !== null) this.#table[values.unseen] = 0;
    return this.#table;
  }

  // Colours between low and high, evenly.
  ramp(values) {
    const size = this.settings.log ? RAMP_LOG : RAMP;
    this.#make(`ramp ${size} ${values.isCounted}`, size, values, (i) =>
      this.#curve(i / (size - 1), values.isCounted),
    );
    return this.#table;
  }

  // Brightness, 0 to 255, of lengths from 0 to high, evenly.
  brightness() {
    const size = this.settings.log ? RAMP_LOG : RAMP;
    return Uint8Array.from({ length: size }, (_, i) =>
      Math.round(255 * this.#curve(i / (size - 1), false)),
    );
  }

  // Where a value lies between black (0) and white (1).
  place(value, isWhole = true) {
    return this.#curve((value - this.low) / (this.high - this.low), isWhole);
  }

  #make(what, size, values, place) {
    const { gamma, log } = this.settings;
    const made = `${what} ${this.low} ${this.high} ${gamma} ${log} ${this.map}`;
    if (made === this.#made) return;
    this.#made = made;
    if (this.#table.length !== size) this.#table = new Uint32Array(size);
    const colours = coloursOf(this.map);
    const last = colours.length - 1;
    for (let i = 0; i < size; i += 1) this.#table[i] = colours[Math.round(last * place(i))];
  }

  #curve(t, isWhole) {
    const inside = t <= 0 ? 0 : t >= 1 ? 1 : t;
    const { gamma, log } = this.settings;
    if (gamma === 1 && !log) return inside;
    if (!DIVERGING.has(this.map)) return this.#bend(inside, isWhole);
    const side = 2 * inside - 1; // both sides of the middle alike
    return (1 + Math.sign(side) * this.#bend(Math.abs(side), isWhole)) / 2;
  }

  #bend(t, isWhole) {
    const { gamma, log } = this.settings;
    // Of whole numbers a step of one count counts like the next octave; else three decades.
    const depth = isWhole ? Math.max(1, this.high - this.low) : 1000;
    const bent = log ? Math.log1p(depth * t) / Math.log1p(depth) : t;
    return bent ** gamma;
  }

  #range([from, to], values, isSymmetric) {
    const { sorted } = this;
    if (sorted.length === 0) return [0, 1];
    let low = values.form === "vector" ? 0 : percentile(sorted, from);
    let high = percentile(sorted, to);
    if (!(high > low)) [low, high] = [Math.min(low, sorted[0]), sorted.at(-1)];
    if (isSymmetric) {
      high = Math.max(Math.abs(low), Math.abs(high));
      low = -high;
    }
    return high > low ? [low, high] : [low, low + 1];
  }
}

const kept = new Map();

function coloursOf(map) {
  if (!kept.has(map)) {
    kept.set(map, Uint32Array.from({ length: 1024 }, (_, i) => colourAt(map, i / 1023)));
  }
  return kept.get(map);
}

// Signed data has a middle at 0. Counts that noise has brought below 0 have none.
function isSigned(sorted, { units }) {
  return units !== "counts" && percentile(sorted, 5) < 0 && percentile(sorted, 95) > 0;
}

// Vectors that all lie far to one side, as positions on a camera do, are counted from
// their median; all others from zero.
function zeroOf(values) {
  const { pixels } = values;
  const stride = 2 * Math.max(1, Math.floor(pixels.length / 2 / 4096));
  const parts = [[], []];
  for (let i = 0; i < pixels.length; i += stride) {
    if (Number.isNaN(pixels[i])) continue;
    parts[0].push(pixels[i]);
    parts[1].push(pixels[i + 1]);
  }
  const [y, x] = parts.map((part) => Float64Array.from(part).sort());
  const middle = [percentile(y, 50), percentile(x, 50)];
  const spread = Math.hypot(
    percentile(y, 95) - percentile(y, 5),
    percentile(x, 95) - percentile(x, 5),
  );
  return Math.hypot(...middle) > 2 * spread ? middle : [0, 0];
}

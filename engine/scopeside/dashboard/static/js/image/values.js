// The values of a picture: what stands at a pixel, exactly, and how they are distributed.

import { labelWords } from "./labels.js";
import { number, whole } from "./units.js";

const SAMPLE = 4096; // values that percentiles are taken of
const GOLDEN = 0.6180339887498949;

export class Values {
  constructor(header, pixels) {
    this.header = header;
    this.pixels = pixels;
    [this.rows, this.columns] = header.shape;
    this.step = header.step ?? 1;
    [this.top, this.left] = header.origin ?? [0, 0]; // of a part of an image
    [this.sentRows, this.sentColumns] = header.sent ?? header.shape;
    const depth = (header.sent ?? header.shape)[2] ?? 1;
    this.form = header.form ?? (depth === 2 ? "vector" : depth > 2 ? "rgb" : "scalar");
    this.depth = depth;
    this.offset = header.offset ?? 0;
    this.unseen = header.unseen ?? null;
    this.isWhole = header.dtype !== "f4";
    // Counts have a least step also where means of them were sent.
    this.isCounted = this.isWhole || (this.step > 1 && header.whole_numbers === true);
    // Whole numbers that are names, which have no order.
    this.isLabels = header.labels === true && this.isWhole && this.form === "scalar";
  }

  finer = null; // the same for a part of it, pixel by pixel
  refused = false; // whether that cannot be had

  // The value at a pixel: a number (NaN: not seen), [row, column] of a vector, or [red,
  // green, blue]; undefined beyond the image.
  at(row, column) {
    if (this.#isFiner(row, column)) return this.finer.at(row, column);
    const place = this.#place(row, column);
    return this.#valuesAt(place);
  }

  // What is known best about both places, to be read between pixels.
  finest(from, to) {
    const isFiner = this.#isFiner(from.row, from.col) && this.#isFiner(to.row, to.col);
    return isFiner ? this.finer : this;
  }

  // The value that was sent in a row and column of those that were sent.
  sent(y, x) {
    const isInside = y >= 0 && x >= 0 && y < this.sentRows && x < this.sentColumns;
    return this.#valuesAt(isInside ? y * this.sentColumns + x : undefined);
  }

  #isFiner(row, column) {
    return this.finer !== null && this.finer.#place(row, column) !== undefined;
  }

  #valuesAt(place) {
    if (place === undefined) return undefined;
    if (this.depth === 1) return this.#value(place);
    const count = Math.min(this.depth, 3);
    return Array.from({ length: count }, (_, k) => this.#value(place * this.depth + k));
  }

  // The same in words, whole numbers to the last digit.
  text(row, column) {
    if (this.#isFiner(row, column)) return this.finer.text(row, column);
    const { step } = this;
    const one = this.#text(row, column);
    if (step === 1 || one === "") return one;
    return `${one} (${this.header.block || "mean"} of ${step} × ${step})`;
  }

  #text(row, column) {
    const place = this.#place(row, column);
    if (place === undefined) return "";
    if (this.form === "rgb") return this.#colourText(place);
    if (this.form === "vector") return vectorText(this.at(row, column), this.header.units);
    const raw = this.pixels[place];
    if (raw === this.unseen || Number.isNaN(raw)) return "not seen yet";
    if (this.isLabels) return labelWords(raw + this.offset);
    const { units, offset_exact: exact } = this.header;
    const about =
      exact !== undefined && this.isWhole
        ? whole(BigInt(exact) + BigInt(raw))
        : this.isWhole
          ? whole(raw + this.offset)
          : number(raw, 5);
    return `${about} ${units}`.trim();
  }

  // Up to SAMPLE finite values, sorted: of vectors their lengths from `zero`.
  sorted(zero = [0, 0]) {
    const { pixels, unseen, depth } = this;
    const total = this.sentRows * this.sentColumns;
    const count = Math.min(total, SAMPLE);
    const found = new Float64Array(count);
    // Steps of the golden section meet every row and column alike.
    const stride = total <= SAMPLE ? 1 : oddBelow(total * GOLDEN);
    let kept = 0;
    for (let i = 0, at = 0; i < count; i += 1, at = (at + stride) % total) {
      let value = pixels[at * depth];
      if (value === unseen) continue;
      if (depth === 2) value = Math.hypot(value - zero[0], pixels[at * 2 + 1] - zero[1]);
      else value += this.offset;
      if (Number.isFinite(value)) found[kept++] = value;
    }
    return found.subarray(0, kept).sort();
  }

  #place(row, column) {
    const y = Math.floor((Math.round(row) - this.top) / this.step);
    const x = Math.floor((Math.round(column) - this.left) / this.step);
    const inside = y >= 0 && x >= 0 && y < this.sentRows && x < this.sentColumns;
    return inside ? y * this.sentColumns + x : undefined;
  }

  // Colours have no unit; what has not been seen is transparent, and black by its numbers.
  #colourText(place) {
    const [red, green, blue, alpha = 255] = this.pixels.subarray(
      place * this.depth,
      (place + 1) * this.depth,
    );
    return alpha === 0 ? "not seen yet" : `red ${red}, green ${green}, blue ${blue}`;
  }

  #value(place) {
    const raw = this.pixels[place];
    return raw === this.unseen ? Number.NaN : raw + this.offset;
  }
}

// The value below which `percent` of the sorted ones lie.
export function percentile(sorted, percent) {
  if (sorted.length === 0) return Number.NaN;
  const place = (percent / 100) * (sorted.length - 1);
  const low = Math.floor(place);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (place - low) * (sorted[high] - sorted[low]);
}

function oddBelow(value) {
  const floor = Math.floor(value);
  return floor % 2 === 1 ? floor : floor - 1;
}

function vectorText([y, x], units) {
  if (Number.isNaN(y) || Number.isNaN(x)) return "not seen yet";
  const length = number(Math.hypot(y, x), 4);
  return `${length} ${units} (y ${number(y, 4)}, x ${number(x, 4)})`;
}

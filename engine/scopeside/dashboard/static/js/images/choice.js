// Which images are shown, and in which order: what a person has chosen for this pipeline, or
// what is usually worth looking at.

import { KeptTable } from "../kept_table.js";

const MOST_USUAL = 6;
const MOST_DETECTORS = 4; // virtual detectors among them

export const chosen = new KeptTable("scopeside.chosen", {
  what: "the choice of images",
  version: 1,
  most: 32, // pipelines
  isGood: (keys) => Array.isArray(keys) && keys.every((key) => typeof key === "string"),
});

// Results that are steps on the way to others, or checks: to be ticked, not shown unasked.
const ASIDE = new Set(["max", "variance", "validity", "total", "com", "com_y", "com_x", "segments", "patterns"]);
// Left out where the other of the pair is there: it shows the same, better.
const BETTER = { sum: "mean", field: "field_colour" };
// What is looked at first; results that are not named here come before the last two.
const RANK = ["denoised", "field_colour", "icom", "idpc", "phase", "*", "mean", "frame"];

export function isScanImage({ axes }) {
  return axes?.includes("scan_y") && axes.includes("scan_x");
}

// Keys of what is shown when nobody has chosen; `images`: entries of the catalogue.
export function usual(images) {
  const keys = new Set(images.map(({ key }) => key));
  const isBeaten = ({ key, name }) => name in BETTER && keys.has(key.slice(0, -name.length) + BETTER[name]);
  const worth = images.filter(
    (one) => !ASIDE.has(one.name) && !one.name.endsWith("_inpainted") && !isBeaten(one),
  );
  const rank = ({ name }) => RANK.indexOf(RANK.includes(name) ? name : "*");
  // Of many virtual detectors the first ones, so that there is room for something else.
  const plain = worth.filter((one) => RANK[rank(one)] === "*").slice(0, MOST_DETECTORS);
  const ranked = worth.filter((one) => RANK[rank(one)] !== "*");
  const best = [...ranked, ...plain].sort((a, b) => rank(a) - rank(b)).slice(0, MOST_USUAL);
  const last = (one) => (isScanImage(one) ? Number(RANK[rank(one)] !== "*") : 2);
  // Virtual detectors, other images of the scan, then what the camera sees.
  return best.sort((a, b) => last(a) - last(b)).map(({ key }) => key);
}

// What was chosen for a pipeline; kept in this browser.
export class Choice {
  #name = null;
  #keys = null; // null: nobody has chosen

  // Take up what was chosen for the pipeline of that name; whether it is another one.
  of(pipeline) {
    if (pipeline === this.#name) return false;
    this.#name = pipeline;
    this.#keys = chosen.get(pipeline) ?? null;
    return true;
  }

  get isUsual() {
    return this.#keys === null;
  }

  // Keys in order, given what there is.
  keys(images) {
    return this.#keys ?? usual(images);
  }

  set(keys) {
    this.#keys = keys;
    if (this.#name !== null) chosen.set(this.#name, keys ?? undefined);
  }
}

// `keys` with one of them moved by so many places, or to the place of another.
export function moved(keys, key, to) {
  const rest = keys.filter((one) => one !== key);
  const at = typeof to === "number" ? keys.indexOf(key) + to : keys.indexOf(to);
  rest.splice(Math.min(Math.max(at, 0), rest.length), 0, key);
  return rest;
}

// How each result is looked at, kept over a reload: its contrast and what is zoomed into.

import { KeptTable } from "../kept_table.js";
import { MAPS } from "./colour_maps.js";
import { USUAL } from "./levels.js";

export const looks = new KeptTable("scopeside.looks", {
  what: "contrast and zoom",
  version: 1,
  most: 64,
  isGood: isLook,
});

// Keeps how one image is looked at; `changed()`: paint it so.
export class Look {
  #levels;
  #viewport;
  #changed;
  #key = null;
  #view = null; // {zoom, centre, rows, columns} that waits for a picture of that shape

  constructor(levels, viewport, changed) {
    this.#levels = levels;
    this.#viewport = viewport;
    this.#changed = changed;
  }

  // Take up what is kept of a result; returns a function that ends it.
  begin(key) {
    this.#key = key;
    this.#take();
    const cleared = () => {
      this.#take();
      this.#viewport.reset();
      this.#changed();
    };
    looks.addEventListener("clear", cleared);
    return () => {
      looks.removeEventListener("clear", cleared);
      looks.flush();
    };
  }

  // A picture has come: zoom as it was.
  shown() {
    const { rows, columns } = this.#viewport;
    const view = this.#view;
    this.#view = null;
    if (view?.rows === rows && view.columns === columns) this.#viewport.follow(view);
    return view !== null;
  }

  // Keep how it is looked at now.
  keep() {
    if (this.#key === null) return;
    const { rows, columns, zoom, centre } = this.#viewport;
    const { settings, usual } = this.#levels;
    const isUsual = JSON.stringify(settings) === JSON.stringify(usual);
    const look = {
      ...(!isUsual && { contrast: structuredClone(settings) }),
      ...(zoom > 1 && { view: { zoom, centre: { ...centre }, rows, columns } }),
    };
    looks.set(this.#key, Object.keys(look).length > 0 ? look : undefined);
  }

  #take() {
    const { contrast, view } = looks.get(this.#key) ?? {};
    this.#levels.settings = structuredClone(contrast ?? this.#levels.usual);
    this.#view = view ?? null;
  }
}

function isLook({ contrast, view }) {
  return (contrast === undefined || isContrast(contrast)) && (view === undefined || isView(view));
}

function isContrast(one) {
  const { held, low, high, percent, gamma, log, map } = one;
  const areKnown = Object.keys(one).every((name) => name in USUAL);
  const isRange = held ? isNumber(low) && isNumber(high) && low < high : true;
  const [from, to] = percent;
  return (
    areKnown && isRange && typeof held === "boolean" && typeof log === "boolean" &&
    from >= 0 && from < to && to <= 100 && gamma >= 0.1 && gamma <= 10 &&
    (map === "auto" || MAPS.includes(map))
  );
}

function isView({ zoom, centre, rows, columns }) {
  return zoom >= 1 && [zoom, centre.row, centre.col, rows, columns].every(isNumber);
}

function isNumber(one) {
  return Number.isFinite(one);
}

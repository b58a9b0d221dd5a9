// From a position in a scan image to its diffraction pattern: asks as the pointer moves, at
// most five times a second and one thing at a time, and marks the position in all of them.

import { question } from "../ask.js";
import { svg } from "../dom.js";
import { pictureOf } from "../live.js";
import { Where } from "./where.js";

const EVERY_MS = 200;
const AGAIN_MS = 1000; // a pinned position that is only near by now: there may be more
const RADIUS_REM = 0.5;

export class Link {
  #pattern;
  #marked = new Map(); // image -> its <g>
  #pinned = null; // {row, column, scan, acquisition}
  #wanted = null; // to be asked next
  #isAsking = false;
  #last = null; // {at, from: header.pattern or null, exact}
  #timer = null;
  #where;

  constructor(pattern) {
    this.#pattern = pattern;
    this.#where = new Where(pattern);
    pattern.addEventListener("unpin", () => this.unpin());
  }

  // Follow these images, and no others.
  set images(images) {
    for (const [image, { mark, end }] of this.#marked) {
      if (images.includes(image)) continue;
      end();
      mark.remove();
      this.#marked.delete(image);
    }
    for (const image of images) if (!this.#marked.has(image)) this.#follow(image);
    this.#where.images = images;
    this.#draw();
  }

  show() {
    this.#timer ??= setInterval(() => this.#askAgain(), AGAIN_MS);
    this.#where.show();
  }

  hide() {
    clearInterval(this.#timer);
    this.#timer = null;
    this.#wanted = null;
    this.#where.hide();
  }

  unpin() {
    this.#pinned = null;
    this.#pattern.isPinned = false;
    this.#draw();
  }

  #follow(image) {
    const mark = svg("g", { class: "position" });
    image.overlay.append(mark);
    const does = {
      cursor: ({ detail }) => detail !== null && this.#pinned === null && this.#ask(placeIn(image, detail)),
      pick: ({ detail }) => this.#pin(placeIn(image, detail)),
      zoom: () => this.#draw(),
    };
    for (const [name, listener] of Object.entries(does)) image.addEventListener(name, listener);
    const end = () => {
      for (const [name, listener] of Object.entries(does)) image.removeEventListener(name, listener);
    };
    this.#marked.set(image, { mark, end });
  }

  // Keep a position; the same again lets it go.
  #pin(at) {
    if (this.#pinned !== null && isSame(this.#pinned, at)) {
      this.unpin();
      return;
    }
    this.#pinned = at;
    this.#pattern.isPinned = true;
    this.#ask(at);
    this.#draw();
  }

  #askAgain() {
    if (this.#pinned === null) return;
    // A new acquisition has taken the place of the one that was asked for.
    const headers = [...this.#marked.keys()].map(({ header }) => header).filter(Boolean);
    // Images that are not seen, as one of them is large, stand still.
    const acquisition = headers.sort((a, b) => b.number - a.number)[0]?.acq;
    const isNew = acquisition !== undefined && acquisition !== this.#pinned.acquisition;
    if (isNew) this.#pinned = { ...this.#pinned, acquisition };
    if (isNew || !this.#last?.exact) this.#ask(this.#pinned);
  }

  async #ask(at) {
    this.#wanted = at;
    if (this.#isAsking) return;
    this.#isAsking = true;
    while (this.#wanted !== null) {
      const asked = this.#wanted;
      this.#wanted = null;
      const paused = new Promise((resolve) => setTimeout(resolve, EVERY_MS));
      await this.#answer(asked);
      await paused;
    }
    this.#isAsking = false;
  }

  async #answer(at) {
    const { row, column, scan, acquisition } = at;
    const asked = { row, column, ...(scan !== undefined && { scan }), ...(acquisition && { acquisition }) };
    try {
      const { header, pixels } = pictureOf(await question("pattern", asked));
      const from = header.pattern;
      this.#last = { at, from, exact: from.away === 0 };
      const scan = [...this.#marked.keys()].find((image) => image.header?.acq === header.acq);
      await this.#pattern.paint(header, pixels, scan?.header.pixel);
    } catch (error) {
      this.#last = { at, from: null, exact: false };
      this.#pattern.refuse(at, error.message);
    }
    this.#draw();
  }

  // A ring where it was asked for, a diamond where the pattern is really from.
  #draw() {
    const at = this.#pinned ?? this.#last?.at ?? null;
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    for (const [image, { mark }] of this.#marked) {
      const radius = (RADIUS_REM * rem) / (image.pxPerUnit || 1);
      mark.replaceChildren();
      if (at === null) continue;
      const high = radius / image.viewport.tall; // round also where pixels are not square
      const ring = { cx: at.column, cy: at.row, rx: radius, ry: high };
      mark.append(...twice("ellipse", ring));
      const from = this.#last?.from;
      if (from && (from.row !== at.row || from.column !== at.column)) {
        const { row, column } = from;
        const d = `M${column} ${row - high}l${radius} ${high}l${-radius} ${high}l${-radius} ${-high}z`;
        mark.append(...twice("path", { d }));
      }
    }
  }
}

// A shape that is seen on bright and on dark: a dark line under a bright one.
function twice(tag, properties) {
  const line = { ...properties, "vector-effect": "non-scaling-stroke" };
  return [svg(tag, { ...line, class: "under" }), svg(tag, { ...line, class: "over" })];
}

// Which position of which scan a pixel of an image is.
function placeIn({ header }, { row, col }) {
  const planes = header?.planes;
  const which = planes?.axes.indexOf("scan") ?? -1;
  return {
    row: Math.round(row),
    column: Math.round(col),
    scan: which < 0 ? undefined : planes.at[which],
    acquisition: header?.acq,
  };
}

function isSame(a, b) {
  return a.row === b.row && a.column === b.column && a.scan === b.scan;
}

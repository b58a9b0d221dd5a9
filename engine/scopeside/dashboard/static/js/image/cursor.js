// The cursor of an image: a pixel, under the pointer or moved by keyboard, and what stands
// there.

import { h } from "../dom.js";
import { put } from "./caption.js";
import { Hands } from "./hands.js";
import { readoutWords } from "./readout.js";

export class Cursor {
  #image;
  #stage;
  #tools;
  #others;
  #value = h("span");
  #place = h("span");
  readout = h("div.readout.number", {}, this.#value, this.#place);
  at = null; // {row, col}

  // `tools`: of the image, or null; `others()`: images that share the cursor; `viewed()`:
  // called when hand or keyboard have moved the view; `zooms`: whether they can.
  constructor(image, stage, { tools, others, viewed, zooms }) {
    this.#image = image;
    this.#stage = stage;
    this.#tools = tools;
    this.#others = others;
    const { element, viewport } = stage;
    element.tabIndex = 0;
    element.setAttribute("role", "application");
    const does = {
      viewport,
      viewed,
      cursor: () => this.at,
      cursorAt: (row, col) => this.#hover(row, col),
      cursorBy: (down, right) => this.#step(down, right),
      leave: () => this.#leave(),
      pick: () => this.at !== null && image.tell("pick", { ...this.at }),
      lineMode: () => tools?.profile.isOn ?? false,
      lineFrom: (at) => tools.profile.from(at),
      lineTo: (at) => tools.profile.to(at),
      key: (key) => tools?.key(key, this.at) ?? false,
    };
    new Hands(element, does, { zooms });
  }

  // Be on a pixel, or on none; `isFirst`: others follow; `isMarked`: with a cross.
  set(at, { isFirst = true, isMarked = false } = {}) {
    this.at = at;
    this.#stage.cross(isMarked ? at : null);
    this.read();
    if (!isFirst) return;
    const value = at === null ? undefined : this.#image.valueAt(at.row, at.col);
    this.#image.tell("cursor", at === null ? null : { ...at, value });
    for (const other of this.#others()) {
      other.setCursor(at, { isFirst: false, isMarked: true });
    }
  }

  // Say what stands there now.
  read() {
    const { values, header } = this.#image;
    const isInside = this.at !== null && values?.at(this.at.row, this.at.col) !== undefined;
    const [value, place] = isInside ? readoutWords(values, header.pixel, this.at) : ["", ""];
    put(this.#value, value);
    put(this.#place, place);
    this.readout.title = [value, place].filter(Boolean).join(" · ");
  }

  #hover(row, col) {
    const at = { row: Math.round(row), col: Math.round(col) };
    if (this.#image.valueAt(at.row, at.col) === undefined) this.#leave();
    else if (this.at?.row !== at.row || this.at?.col !== at.col) this.set(at);
  }

  #leave() {
    if (this.at !== null) this.set(null);
  }

  #step(down, right) {
    const { values } = this.#image;
    if (values === null) return;
    const { row, col } = this.at ?? this.#middle();
    const { rows, columns } = values;
    // Where means were sent one key goes from one to the next, unless one looks closer.
    const { step } = values.finest({ row, col }, { row, col });
    const inside = (at, size) => Math.min(size - 1, Math.max(0, at));
    const at = { row: inside(row + down * step, rows), col: inside(col + right * step, columns) };
    if (this.#stage.viewport.reveal(at.row, at.col)) this.#image.viewed();
    this.set(at, { isMarked: true });
    this.#tools?.moved(at);
  }

  #middle() {
    const { row, col } = this.#stage.viewport.centre;
    return { row: Math.round(row), col: Math.round(col) };
  }
}

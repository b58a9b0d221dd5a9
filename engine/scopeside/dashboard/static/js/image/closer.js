// Of an image that is too large to be sent whole: the part that is seen, pixel by pixel, of
// the very version that is painted (closer.py).

import { question } from "../ask.js";
import { pictureOf } from "../live.js";
import { Values } from "./values.js";

const REST_MS = 80; // so long the view rests before it is asked for
const MARGIN = 0.25; // on each side of what is seen, as a share of that
const LONGEST = 2048; // of picture.py

export class Closer {
  #stage;
  #viewport;
  #repaint;
  #values = null; // of what is painted
  #timer = null;
  #turn = 0;
  #trouble = ""; // why there is nothing finer

  // `repaint()`: called when there is more to be seen of what is painted.
  constructor(stage, repaint) {
    this.#stage = stage;
    this.#viewport = stage.viewport;
    this.#repaint = repaint;
  }

  // Whether one looks so closely, as the view is, that means hide something.
  looks(values) {
    const { rows, columns } = this.#viewport;
    const isSameView = values.rows === rows && values.columns === columns;
    return isSameView && this.#part(values) !== null;
  }

  // Add to values what is seen of them pixel by pixel, unless a later one was quicker.
  async refine(values) {
    const part = this.#part(values);
    if (part === null) return;
    const turn = (this.#turn += 1);
    try {
      const finer = await ask(values.header, part);
      this.#trouble = "";
      if (turn === this.#turn) values.finer = finer;
    } catch (error) {
      this.#trouble = error.message;
    }
  }

  // These are seen now.
  painted(values) {
    this.#values = values;
    this.look();
  }

  // Have what is seen pixel by pixel, as soon as the view rests; say what is seen now.
  look() {
    const values = this.#values;
    if (values === null) return;
    this.#stage.stands(this.#words(values));
    clearTimeout(this.#timer);
    if (values.step === 1 || !this.looks(values) || this.#isSeenIn(values.finer)) return;
    if (this.#trouble !== "" && values.refused) return; // it will not be there by asking again
    this.#timer = setTimeout(() => this.#rested(values), REST_MS);
  }

  async #rested(values) {
    await this.refine(values);
    if (values !== this.#values) return;
    values.refused = this.#trouble !== "";
    this.#repaint();
  }

  // Have the server hold this version, as it is frozen.
  async hold() {
    const values = this.#values;
    if (values === null || values.step === 1) return;
    try {
      await ask(values.header, { row: 0, column: 0, rows: 1, columns: 1 }, { hold: 1 });
    } catch (error) {
      this.#trouble = error.message;
      this.look();
    }
  }

  // What one number of those that are seen stands for; empty: a pixel.
  #words(values) {
    if (values.step === 1) return "";
    const looks = this.looks(values);
    const shown = looks && this.#isSeenIn(values.finer) ? values.finer : values;
    if (shown.step === 1) return "every pixel";
    const of = shown.header.block === "middle" ? "middle one" : "mean";
    const why = looks && this.#trouble !== "" ? ` · no closer: ${this.#trouble}` : "";
    return `${of} of ${shown.step} × ${shown.step} px${why}`;
  }

  // What is to be asked for; null: what was sent is as fine as the screen, or as it gets.
  #part(values) {
    const { scale, rowScale } = this.#viewport;
    const perSent = Math.max(scale, rowScale) * values.step * devicePixelRatio;
    if (values.step === 1 || perSent <= 1) return null;
    const seen = this.#viewport.seen(0);
    const longest = Math.max(seen.rows, seen.columns);
    if (longest > LONGEST * (values.step - 1)) return null;
    // As much around it as comes at no loss.
    const margin = Math.max(0, Math.min(MARGIN, ((LONGEST - 4) / longest - 1) / 2));
    return this.#viewport.seen(margin);
  }

  #isSeenIn(finer) {
    if (finer === null) return false;
    const { row, column, rows, columns } = this.#viewport.seen(0);
    const isInside =
      row >= finer.top &&
      column >= finer.left &&
      row + rows <= finer.top + finer.rows &&
      column + columns <= finer.left + finer.columns;
    return isInside && (finer.step === 1 || Math.max(rows, columns) > LONGEST);
  }
}

async function ask(header, part, more = {}) {
  const { key, number, planes } = header;
  const plane = planes === undefined ? {} : { plane: numberOf(planes) };
  const answer = pictureOf(await question("part", { key, number, ...part, ...plane, ...more }));
  return new Values(answer.header, answer.pixels);
}

// Counts planes as picture.py does, the last axis fastest.
function numberOf({ sizes, at }) {
  return at.reduce((number, one, k) => number * sizes[k] + one, 0);
}

// The line profile: values along a line, drawn by hand or by keyboard, averaged over a
// width, in physical units where they are known.

import { h } from "../dom.js";
import { ProfilePlot } from "./profile_plot.js";
import { quantity, unitFor } from "./units.js";

const MOST_POINTS = 1024;

export class Profile {
  #image;
  #stage;
  #from = null;
  #to = null;
  #plot = new ProfilePlot();
  #width = h("input.number", {
    type: "number", min: 1, max: 99, step: 2, value: 1,
    "aria-label": "width that is averaged, pixels",
    onchange: () => this.#draw(),
  });
  #words = h("span.number");
  isOn = false;
  element = h(
    "div.profile",
    { hidden: true, role: "group", "aria-label": "line profile" },
    h("div.fields", {}, this.#words, h("label", {}, "width", this.#width, "px")),
    this.#plot.element,
  );

  constructor(image, stage) {
    this.#image = image;
    this.#stage = stage;
  }

  // Begin or end; by keyboard the line begins at the cursor.
  turn(isOn, cursor = null) {
    this.isOn = isOn;
    this.element.hidden = !isOn;
    this.#stage.element.classList.toggle("drawing", isOn);
    this.#from = cursor;
    this.#to = cursor;
    this.#draw();
  }

  from(at) {
    this.#from = at;
    this.#to = at;
  }

  to(at) {
    this.#to = at;
    this.#draw();
  }

  // The cursor was moved by keyboard: the line ends there.
  moved(at) {
    this.#from ??= at;
    this.to(at);
  }

  painted() {
    if (this.isOn && this.#from !== null) this.#draw();
  }

  #draw() {
    this.#stage.line(this.#from, this.#to);
    const { values, header } = this.#image;
    if (this.#from === null || values === null || this.#isPoint()) {
      this.#words.textContent = "drag a line on the image, or move its end by arrow keys";
      this.#plot.clear();
      return;
    }
    const width = Math.min(99, Math.max(1, Number(this.#width.value) || 1));
    const { distances, means } = alongLine(values, this.#from, this.#to, width, header.pixel);
    const base = header.pixel?.unit ?? "px";
    const { per, unit } = unitFor(distances.at(-1), base);
    this.#words.textContent = `length ${quantity(distances.at(-1), base, 4)}`;
    this.#plot.draw(distances.map((d) => d / per), means, unit, header.units || "value");
  }

  #isPoint() {
    return Math.hypot(this.#to.row - this.#from.row, this.#to.col - this.#from.col) < 1;
  }
}

// Values at even steps along a line: {distances (in the unit of `pixel`, or px), means}.
// Each is the mean over `width` points across it; NaN where none of these was seen.
export function alongLine(values, from, to, width, pixel) {
  const down = to.row - from.row;
  const right = to.col - from.col;
  const length = Math.hypot(down, right);
  const count = Math.min(MOST_POINTS, Math.max(2, Math.round(length) + 1));
  const [perRow, perColumn] = pixel?.size ?? [1, 1];
  const whole = Math.hypot(down * perRow, right * perColumn);
  const distances = [];
  const means = [];
  const known = values.finest(from, to);
  for (let i = 0; i < count; i += 1) {
    const share = i / (count - 1);
    let sum = 0;
    let seen = 0;
    for (let k = 0; k < width; k += 1) {
      const across = (k - (width - 1) / 2) / length;
      const row = from.row + share * down + across * right;
      const value = between(known, row, from.col + share * right - across * down);
      if (Number.isNaN(value)) continue;
      sum += value;
      seen += 1;
    }
    distances.push(share * whole);
    means.push(seen === 0 ? Number.NaN : sum / seen);
  }
  return { distances, means };
}

// The value between pixels, from the four around; of vectors their length.
function between(values, row, col) {
  const { step, top, left } = values;
  const inMiddle = (step - 1) / 2; // where what was sent for so many pixels lies
  const [atRow, atColumn] = [(row - top - inMiddle) / step, (col - left - inMiddle) / step];
  const [y, x] = [Math.floor(atRow), Math.floor(atColumn)];
  const [down, right] = [atRow - y, atColumn - x];
  let sum = 0;
  let weights = 0;
  for (const [dy, wy] of [[0, 1 - down], [1, down]]) {
    for (const [dx, wx] of [[0, 1 - right], [1, right]]) {
      if (wy * wx === 0) continue;
      const value = scalar(values.sent(y + dy, x + dx));
      if (Number.isNaN(value)) continue;
      sum += wy * wx * value;
      weights += wy * wx;
    }
  }
  return weights > 0.25 ? sum / weights : Number.NaN;
}

function scalar(value) {
  if (value === undefined) return Number.NaN;
  return Array.isArray(value) ? Math.hypot(...value) : value;
}

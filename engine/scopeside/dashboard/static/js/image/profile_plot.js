// A small plot with two axes, as SVG.

import { h, svg } from "../dom.js";
import { number, roundBelow } from "./units.js";

const REM = 12; // a rem in units of the plot
const USUAL = 320;
const HEIGHT = 110;
const LEFT = 46;
const BOTTOM = 30;
const TOP = 8;
const RIGHT = 10;

export class ProfilePlot {
  #axes = svg("g", { class: "axes" });
  #curve = svg("path", { class: "curve" });
  #plot = svg("svg", { role: "img" }, this.#axes, this.#curve);
  element = h("div.plot", {}, this.#plot);

  clear() {
    this.#axes.replaceChildren();
    this.#curve.removeAttribute("d");
  }

  // Draw values over distances; NaN leaves a gap.
  draw(distances, values, unit, valueUnit) {
    const seen = values.filter((one) => !Number.isNaN(one));
    if (seen.length === 0) {
      this.clear();
      return;
    }
    const width = this.#fit();
    const [low, high] = spread(Math.min(...seen), Math.max(...seen));
    const end = distances.at(-1);
    const x = (d) => LEFT + (d / end) * (width - LEFT - RIGHT);
    const y = (v) => HEIGHT - BOTTOM - ((v - low) / (high - low)) * (HEIGHT - BOTTOM - TOP);
    let pen = "M";
    let path = "";
    for (let i = 0; i < values.length; i += 1) {
      if (Number.isNaN(values[i])) pen = "M";
      else {
        path += `${pen}${x(distances[i]).toFixed(1)} ${y(values[i]).toFixed(1)}`;
        pen = "L";
      }
    }
    this.#curve.setAttribute("d", path);
    this.#axes.replaceChildren(
      svg("path", { d: `M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${width - RIGHT}` }),
      ...ticks(0, end, Math.max(2, width / 60)).flatMap((d) => across(x(d), number(d, 3))),
      ...ticks(low, high, 3).flatMap((v) => down(y(v), number(v, 3))),
      label(width - RIGHT, HEIGHT - 4, `distance, ${unit}`, "end"),
      label(LEFT + 4, TOP + 4, valueUnit, "start"),
    );
    const range = `${number(low)} to ${number(high)} ${valueUnit}`;
    this.#plot.setAttribute("aria-label", `profile, ${range} over ${number(end)} ${unit}`);
  }

  // Be as wide as there is room, with letters as large as elsewhere; returns the width.
  #fit() {
    const rem = Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
    const width = Math.max(160, (this.element.clientWidth * REM) / rem || USUAL);
    this.#plot.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    return width;
  }
}

function spread(low, high) {
  return high > low ? [low, high] : [low - 0.5, high + 0.5];
}

function ticks(low, high, about) {
  const step = roundBelow((high - low) / (about - 1));
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  const stride = Math.ceil((last - first + 1) / about);
  const all = Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
  return all.filter((_, i) => i % stride === 0);
}

function across(x, text) {
  const y = HEIGHT - BOTTOM;
  return [svg("path", { d: `M${x} ${y}v4` }), label(x, y + 14, text, "middle")];
}

function down(y, text) {
  return [svg("path", { d: `M${LEFT} ${y}h-4` }), label(LEFT - 6, y + 3.5, text, "end")];
}

function label(x, y, text, anchor) {
  return svg("text", { x, y, "text-anchor": anchor }, text);
}

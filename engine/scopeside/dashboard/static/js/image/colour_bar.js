// What the colours mean: a bar with numbers and unit, or a wheel for vectors.

import { h } from "../dom.js";
import { put } from "./caption.js";
import { colourAt, css } from "./colour_maps.js";
import { labelColour } from "./labels.js";
import { number, whole } from "./units.js";
import { wheelCanvas } from "./wheel.js";

const STEPS = 256;
const MOST_NAMES = 8;

export class ColourBar {
  #strip = h("canvas.strip", { width: STEPS, height: 1, "aria-hidden": "true" });
  #wheel = wheelCanvas();
  #low = h("span.number");
  #high = h("span.number");
  #curve = h("span.curve-said.dim");
  #names = h("span.names", { hidden: true });
  #drawn = "";
  element = h(
    "div.colour-bar",
    {},
    this.#low,
    this.#strip,
    this.#wheel,
    this.#high,
    this.#curve,
    this.#names,
  );

  // Show the levels of these values.
  draw(values, levels) {
    this.element.classList.toggle("of-names", values.isLabels);
    this.#names.hidden = !values.isLabels;
    if (values.isLabels) this.#drawNames(values);
    else this.#drawLevels(values, levels);
  }

  // The colours of the names that there are.
  #drawNames(values) {
    const found = [...new Set(values.sorted())];
    const drawn = `names ${found.slice(0, MOST_NAMES + 1)}`;
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    this.element.title = "each label has a colour; they repeat after 21";
    const shown = found.slice(0, MOST_NAMES).map((one) => {
      const swatch = h("i.swatch", { "aria-hidden": "true" });
      swatch.style.background = css(labelColour(one));
      return h("span.number", {}, swatch, one < 0 ? "none" : String(one));
    });
    this.#names.replaceChildren(...shown, found.length > MOST_NAMES ? "…" : "");
  }

  #drawLevels(values, levels) {
    const turns = values.form !== "scalar";
    this.#wheel.hidden = !turns;
    this.#strip.hidden = turns;
    put(this.#low, turns ? "" : endText(levels.low, values));
    const high = `${endText(levels.high, values)} ${values.header.units ?? ""}`.trim();
    put(this.#high, turns ? wheelText(values, levels) : high);
    const { gamma, log } = levels.settings;
    put(this.#curve, log ? "log" : "");
    this.element.title = [
      turns ? "hue: direction, as on the wheel; brightness: length" : levels.map,
      gamma === 1 ? "" : `gamma ${gamma}`,
      log ? "logarithmic" : "",
      levels.settings.held ? "range held" : "range follows",
    ]
      .filter(Boolean)
      .join(", ");
    if (!turns) this.#strips(levels, values.isCounted);
  }

  #strips(levels, isCounted) {
    const { gamma, log } = levels.settings;
    const drawn = `${levels.map} ${gamma} ${log} ${log ? levels.high - levels.low : ""}`;
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    const image = new ImageData(STEPS, 1);
    const out = new Uint32Array(image.data.buffer);
    for (let i = 0; i < STEPS; i += 1) {
      const value = levels.low + (i / (STEPS - 1)) * (levels.high - levels.low);
      out[i] = colourAt(levels.map, levels.place(value, isCounted));
    }
    this.#strip.getContext("2d").putImageData(image, 0, 0);
  }
}

function endText(value, values) {
  return values.isWhole && Number.isInteger(value) ? whole(value) : number(value, 3);
}

function wheelText(values, levels) {
  const { meta, units } = values.header;
  if (values.form === "rgb") {
    if (typeof meta?.scale !== "number") return "";
    return `0 to ${number(meta.scale, 3)} ${meta.scale_units ?? ""}`.trim();
  }
  const [y, x] = levels.zero;
  const from = y === 0 && x === 0 ? "" : ` from (${number(y, 4)}, ${number(x, 4)})`;
  return `0 to ${number(levels.high, 3)} ${units}${from}`.trim();
}

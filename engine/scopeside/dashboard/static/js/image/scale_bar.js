// The scale bar: a length of the specimen or an angle, never longer than a third of the
// image; pixels where nobody has said how large one is.

import { h } from "../dom.js";
import { quantity, roundBelow, unitFor } from "./units.js";

const SHARE = 0.3;

// {pixels, text} of the bar for `pixel` (header.pixel or null), an image of which
// `shown` columns are seen.
export function barOf(pixel, shown) {
  if (pixel === null || pixel === undefined) {
    const pixels = Math.max(1, roundBelow(Math.max(1, shown * SHARE)));
    return { pixels, text: `${pixels} px` };
  }
  const size = pixel.size[1];
  const { per } = unitFor(shown * SHARE * size, pixel.unit);
  const length = roundBelow((shown * SHARE * size) / per) * per;
  const across = isSquare(pixel) ? "" : " across";
  const text = quantity(length, pixel.unit) + asFrequency(pixel, length) + across;
  return { pixels: length / size, text };
}

function isSquare({ size: [down, across] }) {
  return Math.abs(down - across) < 0.01 * across;
}

// Of an angle also its spatial frequency, where the wavelength is known.
function asFrequency(pixel, angle) {
  if (pixel.unit !== "rad" || !pixel.wavelength_m) return "";
  return ` (${quantity(angle / pixel.wavelength_m, "1/m")})`;
}

export class ScaleBar {
  #line = h("div.line");
  #text = h("span.number");
  element = h("div.scale-bar", {}, this.#line, this.#text);

  // Draw it for a viewport.
  draw(pixel, viewport) {
    const shown = Math.min(viewport.columns, viewport.width / viewport.scale);
    const { pixels, text } = barOf(pixel, shown);
    this.#line.style.width = `${pixels * viewport.scale}px`;
    this.#text.textContent = text;
    this.element.title = titleOf(pixel);
  }
}

function titleOf(pixel) {
  if (!pixel) return "how large a pixel is, nobody has said ([acquisition.calibration])";
  const [down, across] = pixel.size.map((size) => quantity(size, pixel.unit, 4));
  return down === across ? `${across} per pixel` : `per pixel: ${across} across, ${down} down`;
}

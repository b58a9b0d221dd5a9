// What stands under the cursor, in words: where it is, and the value.

import { number, quantity, unitFor } from "./units.js";

// The value, "1,234 counts", and the place, "row 12, col 40 · y 3.1, x 10.2 nm": where there
// is little room, its end is what is cut off.
export function readoutWords(values, pixel, { row, col }) {
  const where = [`row ${row}, col ${col}`, placeWords(pixel, row, col)];
  return [values.text(row, col), where.filter(Boolean).join(" · ")];
}

function placeWords(pixel, row, col) {
  if (!pixel) return "";
  const [down, across] = pixel.size;
  if (pixel.unit !== "rad") {
    const { per, unit } = unitFor(Math.max(row * down, col * across, down), pixel.unit);
    return `y ${number((row * down) / per)}, x ${number((col * across) / per)} ${unit}`;
  }
  if (!pixel.centre_px) return ""; // an angle from nowhere says nothing
  const angle = Math.hypot(
    (row - pixel.centre_px[0]) * down,
    (col - pixel.centre_px[1]) * across,
  );
  const frequency = pixel.wavelength_m
    ? ` (${quantity(angle / pixel.wavelength_m, "1/m")})`
    : "";
  return `${quantity(angle, "rad")}${frequency} from the centre`;
}

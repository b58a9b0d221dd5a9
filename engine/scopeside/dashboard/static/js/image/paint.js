// From values to the pixels of a canvas: one pass, nothing allocated for a pixel. What has
// not been seen is transparent: the hatching behind the canvas shows.

import { wheelColours, WHEEL_STEPS } from "./wheel.js";

// Paint `values` into the Uint32Array view of an ImageData of their size.
export function paint(values, levels, out) {
  if (values.form === "rgb") paintColours(values, out);
  else if (values.form === "vector") paintVectors(values, levels, out);
  else if (values.header.dtype === "u1" || values.header.dtype === "u2") {
    const table = levels.direct(values);
    const { pixels } = values;
    for (let i = 0; i < out.length; i += 1) out[i] = table[pixels[i]];
  } else paintScaled(values, levels, out);
}

function paintScaled(values, levels, out) {
  const table = levels.ramp(values);
  const { pixels, unseen } = values;
  const last = table.length - 1;
  const low = levels.low - values.offset;
  const perValue = table.length / (levels.high - levels.low);
  for (let i = 0; i < out.length; i += 1) {
    const raw = pixels[i];
    const place = (raw - low) * perValue;
    if (raw === unseen || place !== place) out[i] = 0; // NaN alone differs from itself
    else out[i] = place < 0 ? table[0] : place > last ? table[last] : table[place | 0];
  }
}

function paintVectors(values, levels, out) {
  const { pixels } = values;
  const [zeroY, zeroX] = levels.zero;
  const { reds, greens, blues } = wheelColours();
  const perAngle = WHEEL_STEPS / (2 * Math.PI);
  for (let i = 0; i < out.length; i += 1) {
    const y = pixels[2 * i] - zeroY;
    const x = pixels[2 * i + 1] - zeroX;
    const length = Math.sqrt(y * y + x * x);
    if (length !== length) {
      out[i] = 0;
      continue;
    }
    const hue = (Math.round(Math.atan2(y, x) * perAngle) + WHEEL_STEPS) % WHEEL_STEPS;
    const value = length === 0 ? 0 : levels.place(length, false);
    out[i] =
      0xff000000 |
      (Math.round(value * blues[hue]) << 16) |
      (Math.round(value * greens[hue]) << 8) |
      Math.round(value * reds[hue]);
  }
}

function paintColours({ pixels, depth }, out) {
  if (depth === 4 && pixels.byteOffset % 4 === 0) {
    out.set(new Uint32Array(pixels.buffer, pixels.byteOffset, out.length));
    return;
  }
  for (let i = 0; i < out.length; i += 1) {
    const at = i * depth;
    out[i] =
      0xff000000 | (pixels[at + 2] << 16) | (pixels[at + 1] << 8) | pixels[at];
  }
}

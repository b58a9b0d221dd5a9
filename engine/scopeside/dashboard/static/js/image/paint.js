// From values to the pixels of a canvas: one pass, nothing allocated for a pixel. What has
// not been seen is transparent: the hatching behind the canvas shows.

import { paintLabels } from "./labels.js";
import { WHEEL_SHARES, WHEEL_STEPS, wheelTable } from "./wheel.js";

// Paint `values` into the Uint32Array view of an ImageData of their size.
export function paint(values, levels, out) {
  if (values.form === "rgb") paintColours(values, out);
  else if (values.isLabels) paintLabels(values, out);
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
  const colours = wheelTable();
  const shares = levels.brightness();
  const last = shares.length - 1;
  const perLength = last / levels.high;
  const perTurn = WHEEL_STEPS;
  for (let i = 0; i < out.length; i += 1) {
    const y = pixels[2 * i] - zeroY;
    const x = pixels[2 * i + 1] - zeroX;
    const place = Math.sqrt(y * y + x * x) * perLength;
    if (place !== place) {
      out[i] = 0;
      continue;
    }
    const share = shares[place < last ? (place + 0.5) | 0 : last];
    const hue = (turnOf(y, x) * perTurn + 0.5) | 0;
    out[i] = colours[hue * WHEEL_SHARES + share];
  }
}

// The angle of a vector in turns, 0 to 1, from x towards y: Abramowitz & Stegun 4.4.49, to
// 2·10⁻⁶ turns, in a tenth of the time of Math.atan2.
function turnOf(y, x) {
  const down = Math.abs(y);
  const across = Math.abs(x);
  const q = down < across ? down / across : across / down || 0;
  const s = q * q;
  const p = 0.999866 + s * (-0.3302995 + s * (0.180141 + s * (-0.085133 + s * 0.0208351)));
  const eighth = (q * p) / (2 * Math.PI);
  const quarter = down < across ? eighth : 0.25 - eighth;
  const half = x < 0 ? 0.5 - quarter : quarter;
  return y < 0 ? 1 - half : half;
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

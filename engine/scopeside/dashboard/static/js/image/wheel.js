// The colour wheel of vectors: hue is the direction, from right (red) over down (90°) to
// left (cyan); brightness is the length (docs/processors/com.md).

import { h } from "../dom.js";

export const WHEEL_STEPS = 1536; // 256 for each side of the hexagon of hues

export const WHEEL_SHARES = 256; // of full brightness

let made = null;
let table = null;

// The colours of all hues, the first again at the end, at all brightnesses: hue ·
// WHEEL_SHARES + share.
export function wheelTable() {
  if (table !== null) return table;
  const { reds, greens, blues } = wheelColours();
  table = new Uint32Array((WHEEL_STEPS + 1) * WHEEL_SHARES);
  for (let i = 0; i < table.length; i += 1) {
    const hue = Math.floor(i / WHEEL_SHARES) % WHEEL_STEPS;
    const share = (i % WHEEL_SHARES) / (WHEEL_SHARES - 1);
    const [red, green, blue] = [reds, greens, blues].map((one) => Math.round(share * one[hue]));
    table[i] = 0xff000000 | (blue << 16) | (green << 8) | red;
  }
  return table;
}

// Red, green and blue of each hue, 0 to 255.
export function wheelColours() {
  made ??= {
    reds: channel(5),
    greens: channel(3),
    blues: channel(1),
  };
  return made;
}

function channel(shift) {
  return Float32Array.from({ length: WHEEL_STEPS }, (_, i) => {
    const place = (shift + (6 * i) / WHEEL_STEPS) % 6;
    return 255 * (1 - Math.min(1, Math.max(0, Math.min(place, 4 - place))));
  });
}

// A wheel as a canvas, `size` pixels wide.
export function wheelCanvas(size = 96) {
  const canvas = h("canvas.wheel", { width: size, height: size, "aria-hidden": "true" });
  drawWheel(canvas.getContext("2d"), 0, 0, size);
  return canvas;
}

// Draw a wheel with its corner at (left, top).
export function drawWheel(context, left, top, size) {
  const { reds, greens, blues } = wheelColours();
  const image = context.createImageData(size, size);
  const middle = (size - 1) / 2;
  for (let row = 0; row < size; row += 1) {
    for (let column = 0; column < size; column += 1) {
      const y = (row - middle) / (size / 2);
      const x = (column - middle) / (size / 2);
      const length = Math.hypot(y, x);
      if (length > 1) continue;
      const turn = Math.atan2(y, x) / (2 * Math.PI);
      const hue = Math.round((turn + 1) * WHEEL_STEPS) % WHEEL_STEPS;
      const rgb = [reds[hue], greens[hue], blues[hue]].map((one) => one * length);
      image.data.set([...rgb, 255], 4 * (row * size + column));
    }
  }
  context.putImageData(image, left, top);
}

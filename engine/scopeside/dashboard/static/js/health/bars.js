// A bar with its words, and a curve as small as a word.

import { h, svg } from "../dom.js";
import { perSecond } from "../amounts.js";

export function makeBar(label) {
  const said = { role: "meter", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100 };
  const track = h("div.track", said, h("div.fill"));
  return h("div.bar", {}, track, h("span.number"));
}

// `share`: 0 to 1; `level`: "ok", "warn" or "bad" (another pattern, not only a colour).
export function fillBar(bar, share, text, level = "ok") {
  const [track, words] = bar.children;
  const percent = Math.round(100 * Math.min(1, Math.max(0, share || 0)));
  track.setAttribute("aria-valuenow", percent);
  track.setAttribute("aria-valuetext", text);
  track.firstChild.style.width = `${percent}%`;
  bar.dataset.level = level;
  if (words.textContent !== text) words.textContent = text;
}

const WIDE = 60;
const HIGH = 20;

export function makeCurve() {
  return svg(
    "svg",
    { class: "curve", viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", role: "img" },
    svg("line", { x1: 0, x2: WIDE, y1: HIGH, y2: HIGH }),
    svg("polyline"),
  );
}

// `values` a second, newest last, one each two seconds; the curve begins at 0.
export function fillCurve(curve, values) {
  const highest = Math.max(...values, 1);
  const points = values.map((value, index) => {
    const x = WIDE - (values.length - 1 - index);
    return `${x},${(HIGH * (1 - value / highest)).toFixed(1)}`;
  });
  curve.lastChild.setAttribute("points", points.join(" "));
  const words = values.length
    ? `the last ${2 * values.length} s: at most ${perSecond(highest)}`
    : "nothing yet";
  curve.setAttribute("aria-label", words);
}

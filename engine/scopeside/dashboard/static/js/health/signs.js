// A sign for each level: its shape tells it without its colour.

import { svg } from "../dom.js";

const SHAPES = {
  ok: "M8 1.5a6.5 6.5 0 1 1 0 13a6.5 6.5 0 1 1 0-13z", // a disk
  warn: "M8 1L15.5 15H0.5z", // a triangle
  bad: "M5 1h6l4 4v6l-4 4H5L1 11V5z", // an octagon
};
const ALARM = "M7.2 5h1.6v5.2h-1.6z M7.2 11.2h1.6v1.7h-1.6z";
const MARKS = {
  ok: "M7.2 6.5h1.6v5.5h-1.6z M7.2 3.8h1.6v1.7h-1.6z", // an i
  warn: ALARM,
  bad: ALARM,
};
const TICK = "M4 8.4l1.2-1.2 1.8 1.8 3.9-4 1.2 1.2-5.1 5.3z";
const WORDS = { ok: "note", warn: "warning", bad: "trouble" };

// `mark`: another one than the level's.
export function sign(level, mark = MARKS[level]) {
  return svg(
    "svg",
    { class: `sign ${level}`, viewBox: "0 0 16 16", role: "img", "aria-label": WORDS[level] },
    svg("path", { d: SHAPES[level], fill: "currentColor" }),
    svg("path", { d: mark, fill: "var(--bg)" }),
  );
}

export function tick() {
  return sign("ok", TICK);
}

// Colours and sizes of the page, for plots: BokehJS draws on a canvas and knows no CSS.

import { COLOURS } from "./plot.js";

export function styleOf(element) {
  const of = getComputedStyle(element);
  const read = (name) => of.getPropertyValue(name).trim();
  const colours = [];
  for (let i = 0; i < COLOURS; i += 1) colours.push(read(`--line-${i}`));
  return {
    rem: parseFloat(getComputedStyle(document.documentElement).fontSize),
    colours,
    panel: read("--panel"),
    plot: read("--bg"),
    line: read("--line"),
    dim: read("--dim"),
    accent: read("--accent"),
    mark: read("--ok"),
    warn: read("--warn"),
    bad: read("--bad"),
  };
}

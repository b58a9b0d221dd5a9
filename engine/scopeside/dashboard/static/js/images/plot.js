// A small plot of a series, drawn by BokehJS; asks for the points when there are new ones,
// twice a second at most.

import { question } from "../ask.js";
import { bokeh, hasBokeh } from "../bokeh.js";
import { h, svg } from "../dom.js";

const EVERY_MS = 500;
const SIZE = "0.8rem"; // of all text
const HEIGHT_REM = 9;
// Colours of Okabe & Ito (2008) that are seen on dark and on light.
const COLOURS = ["#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#0072b2", "#f0e442", "#999999"];

export class Plot {
  #key;
  #sources = [];
  #drawn = ""; // names and colours
  #view = null;
  #number = 0; // of what is drawn
  #wanted = 0;
  #isBusy = false;
  #says = h("p.dim");
  #names = h("p.names", { hidden: true }); // beside the curves they would lie on them
  #at = h("div.at");
  element;

  constructor(key) {
    this.#key = key;
    const parts = [h("figcaption", {}, key), this.#names, this.#at, this.#says];
    this.element = h("figure.series-plot", { "aria-label": `plot of ${key}` }, ...parts);
    this.element.dataset.key = key;
  }

  // Draw the version of that number, or a newer one.
  async follow(number) {
    this.#wanted = number;
    if (this.#isBusy) return;
    this.#isBusy = true;
    while (this.#number < this.#wanted && this.element.isConnected) {
      const paused = new Promise((resolve) => setTimeout(resolve, EVERY_MS));
      await this.#ask();
      await paused;
    }
    this.#isBusy = false;
  }

  // Draw what is there once more, as in the colours of another theme.
  redraw() {
    this.#number = 0;
    this.follow(this.#wanted);
  }

  async #ask() {
    const wanted = this.#wanted;
    try {
      if (!hasBokeh()) this.#says.textContent = "loading what draws plots …";
      await bokeh();
      const found = await question("series", { key: this.#key });
      this.#number = Math.max(wanted, found.number);
      await this.#draw(found);
      const thinned = found.lines.some((line) => line.thinned) ? "thinned out, peaks kept" : "";
      const more = found.left_out > 0 ? `${found.left_out} more columns` : "";
      this.#says.textContent = [thinned, more].filter(Boolean).join(", ");
    } catch (error) {
      this.#number = wanted;
      this.#says.textContent = error.message;
    }
  }

  async #draw({ axis, unit, lines }) {
    const names = JSON.stringify([axis, lines.map(({ name }) => name), colours()]);
    if (names === this.#drawn) {
      lines.forEach((line, k) => (this.#sources[k].data = pointsOf(line)));
      return;
    }
    this.#drawn = names;
    this.#view?.remove();
    this.#at.replaceChildren();
    const figure = figureOf(axis, unit, lines);
    this.#sources = lines.map((line, k) => lineIn(figure, line, k));
    this.#names.hidden = lines.length < 2;
    this.#names.replaceChildren(...lines.map(nameOf));
    this.#view = await window.Bokeh.Plotting.show(figure, this.#at);
  }
}

function figureOf(axis, unit, lines) {
  const [text, line, back] = colours();
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  const units = [...new Set(lines.map((one) => one.unit).filter(Boolean))];
  const figure = window.Bokeh.Plotting.figure({
    height: Math.round(HEIGHT_REM * rem),
    sizing_mode: "stretch_width",
    toolbar_location: null,
    tools: "xpan,xwheel_zoom,reset",
    background_fill_color: back,
    border_fill_color: back,
    outline_line_color: line,
    x_axis_label: unit ? `${axis} (${unit})` : axis,
    y_axis_label: units.join(", "),
    min_border_right: 8,
  });
  for (const one of [figure.xaxis, figure.yaxis]) {
    Object.assign(one, { axis_label_text_color: text, major_label_text_color: text });
    Object.assign(one, { axis_label_text_font_size: SIZE, major_label_text_font_size: SIZE });
    Object.assign(one, { axis_line_color: line, major_tick_line_color: line, minor_tick_line_color: null });
  }
  for (const one of [figure.xgrid, figure.ygrid]) one.grid_line_color = line;
  return figure;
}

function lineIn(figure, line, k) {
  const source = new window.Bokeh.ColumnDataSource({ data: pointsOf(line) });
  const drawn = { source, line_color: COLOURS[k % COLOURS.length], line_width: 1.5 };
  figure.line({ field: "x" }, { field: "y" }, drawn);
  return source;
}

// A piece of the line, its name and unit.
function nameOf({ name, unit }, k) {
  const stroke = COLOURS[k % COLOURS.length];
  const piece = svg("path", { d: "M0 4H16", stroke, "stroke-width": 3 });
  const drawn = { viewBox: "0 0 16 8", class: "piece", "aria-hidden": "true" };
  return h("span", {}, svg("svg", drawn, piece), ` ${unit ? `${name} (${unit})` : name}`);
}

// What is no number is a gap.
function pointsOf({ x, y }) {
  const numbers = (values) => Float64Array.from(values, (one) => one ?? NaN);
  return { x: numbers(x), y: numbers(y) };
}

function colours() {
  const style = getComputedStyle(document.documentElement);
  return ["--text", "--line", "--panel"].map((name) => style.getPropertyValue(name).trim());
}

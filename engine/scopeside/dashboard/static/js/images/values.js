// Results that are no images: numbers with their units, the last row of tables, and plots of
// those that have many.

import { h } from "../dom.js";
import { Plot } from "./plot.js";

const MOST_PLOTS = 4;
const USUAL_PLOTS = 1;

export class ValuesPanel {
  #rows = new Map(); // by key
  #plots = new Map(); // by key
  #table = h("tbody");
  #more = h("p.dim", { hidden: true });
  #asked = null; // keys that a person wants plotted; null: the first
  #isVisible = false;
  #last = [];
  #drawings = h("div.plots");
  element = h(
    "section.panel.values",
    { hidden: true, "aria-label": "values" },
    h("h2", {}, "Values"),
    this.#drawings,
    h("table", {}, this.#table),
    this.#more,
  );

  constructor() {
    window.addEventListener("theme", () => this.#plots.forEach((plot) => plot.redraw()));
  }

  // What is said under the topic "values"; drawn when it is seen.
  set({ values, left_out: leftOut }) {
    this.#last = values;
    this.element.hidden = values.length === 0;
    this.#more.hidden = leftOut === 0;
    this.#more.textContent = `${leftOut} more are not shown here`;
    this.#take();
  }

  show() {
    this.#isVisible = true;
    this.#take();
  }

  hide() {
    this.#isVisible = false;
  }

  #take() {
    if (!this.#isVisible) return;
    const values = this.#last;
    const keys = new Set(values.map(({ key }) => key));
    for (const [key, row] of this.#rows) {
      if (keys.has(key)) continue;
      row.element.remove();
      this.#rows.delete(key);
    }
    for (const value of values) {
      if (!this.#rows.has(value.key)) this.#add(value.key);
      this.#rows.get(value.key).set(value);
    }
    this.#draw();
  }

  #add(key) {
    const row = new Row(key, () => this.#turn(key));
    this.#rows.set(key, row);
    this.#table.append(row.element);
  }

  #turn(key) {
    const asked = this.#wanted();
    const on = !asked.includes(key);
    this.#asked = on ? [...asked, key].slice(-MOST_PLOTS) : asked.filter((one) => one !== key);
    this.#draw();
  }

  #wanted() {
    const can = this.#last.filter(({ plot }) => plot).map(({ key }) => key);
    return this.#asked?.filter((key) => can.includes(key)) ?? can.slice(0, USUAL_PLOTS);
  }

  #draw() {
    const wanted = this.#wanted();
    for (const [key, plot] of this.#plots) {
      if (wanted.includes(key)) continue;
      plot.element.remove();
      this.#plots.delete(key);
    }
    for (const value of this.#last) {
      this.#rows.get(value.key).isPlotted = wanted.includes(value.key);
      if (!wanted.includes(value.key)) continue;
      if (!this.#plots.has(value.key)) {
        this.#plots.set(value.key, new Plot(value.key));
        this.#drawings.append(this.#plots.get(value.key).element);
      }
      this.#plots.get(value.key).follow(value.number);
    }
  }
}

// A result: its name, its newest numbers, and whether they are good for anything.
class Row {
  #numbers = h("td.number");
  #beside = h("div.dim.number");
  #plot;
  #said = "";
  element;

  constructor(key, turn) {
    const [chain, processor, ...name] = key.split(".");
    this.#plot = h("button.quiet", { hidden: true, "aria-pressed": "false", onclick: turn }, "plot");
    this.#plot.setAttribute("aria-label", `plot ${key}`);
    const head = h("div", { title: key }, name.join("."), " ", h("span.dim", {}, `${chain}.${processor} `), this.#plot);
    this.element = h("tr", { "data-key": key }, h("td", {}, head, this.#beside), this.#numbers);
  }

  set isPlotted(plotted) {
    this.#plot.setAttribute("aria-pressed", String(plotted));
    this.#plot.textContent = plotted ? "no plot" : "plot";
  }

  set(value) {
    const said = JSON.stringify(value);
    if (said === this.#said) return;
    this.#said = said;
    this.#plot.hidden = !value.plot;
    this.element.toggleAttribute("data-invalid", !value.valid);
    this.#beside.textContent = besideOf(value);
    if (!value.valid) {
      this.#numbers.textContent = `invalid: ${value.reason || "no reason given"}`;
      return;
    }
    const newest = value.rows.at(-1) ?? [];
    this.#numbers.replaceChildren(...value.columns.map(([name, unit], k) => cell(name, unit, newest[k], value)));
  }
}

function cell(name, unit, number, { columns, name: own }) {
  const isAlone = columns.length === 1 && name === own;
  const text = number === null || number === undefined ? "not known" : written(number);
  return h("div", {}, isAlone ? null : h("span.dim", {}, `${name} `), text, unit ? ` ${unit}` : "");
}

// "3,910 of 9,216 frames, to 3,909; last of 58 rows"
function besideOf({ frame, used, expected, of, plot }) {
  if (frame < 0) return "no frame yet";
  const whole = (number) => number.toLocaleString("en");
  const frames = expected === null ? whole(used) : `${whole(used)} of ${whole(expected)}`;
  return `${frames} frames, to ${whole(frame)}${plot ? `; last of ${whole(of)} rows` : ""}`;
}

function written(number) {
  const size = Math.abs(number);
  const isFar = size !== 0 && (size >= 1e7 || size < 1e-4);
  const text = isFar ? number.toExponential(3) : number.toLocaleString("en", { maximumSignificantDigits: 6 });
  return text.replace("e+", "e").replaceAll("-", "−");
}

// A row: its name, unit, and values on the left, the plot on the right.

import { hasBokeh } from "../bokeh.js";
import { h, svg } from "../dom.js";
import { Plot, COLOURS } from "./plot.js";
import { bandsOf } from "./bands.js";
import { held, indexAt, sliceOf } from "./slices.js";
import { short, withBand } from "./words.js";

const DASHES = ["", "7 3", "2 3", "9 3 2 3"];
const KEPT = "scopeside.insitu.folded"; // rows that are only a line, by their id
const MOST_FOLDED = 100;
const ALONG = { x1: 0, x2: 22, y1: 4, y2: 4 }; // of a stroke of the legend
const LABEL_PX = 5; // half of a label beside a plot, as far as it is beyond its border
const BEYOND = 12; // a limit so many times the largest value is not drawn, only told

export class Row extends EventTarget {
  #title = h("button.fold", { type: "button", onclick: () => this.#fold(!this.#isFolded) });
  #legend = h("ul.legend");
  #ofMany = h("li", { hidden: true }, keyOf(svg("line", { ...ALONG, class: "of-many" })), h("span.label", {}, "each nucleus"));
  #words = h("p.dim");
  #nothing = h("p.nothing.dim", { hidden: true }, "no data in this stretch");
  #host = h("div.plot", {}, this.#nothing);
  #entries = new Map(); // id of a line -> {item, label, value}
  #plot = null;
  #style;
  #shown = { row: null, lines: [] };
  isSeen = false; // whether it is in sight
  element;

  constructor(id, style) {
    super();
    this.#style = style;
    this.#legend.append(this.#ofMany);
    const about = h("div.about", {}, h("h3", {}, this.#title), this.#legend, this.#words);
    this.element = h("section.row", { "data-row": id }, about, this.#host);
    this.#fold(folded().has(id));
  }

  get plot() {
    return this.#plot;
  }

  // Show what `record` says of a row in a window of time.
  update(row, record, window, chosen, marks) {
    const lines = [...record.lines.values()].filter((line) => line.row === row.id);
    this.#shown = { row, lines };
    this.#say(row, lines);
    if (!this.isSeen || this.#isFolded || !hasBokeh()) return;
    this.#plot ??= this.#makePlot();
    const courses = row.id.startsWith("radius") ? record.courses(row.unit) : [];
    this.#ofMany.hidden = courses.length === 0;
    const breaks = record.marks.map((mark) => mark.t);
    const most = 2 * Math.max(200, this.#host.clientWidth);
    const slices = lines.map((line) => {
      const torn = /^(guard|channel)/.test(line.id) ? line.gaps : [...breaks, ...line.gaps];
      const whole = line.holds ? held(line, record.knownUntil(line), torn) : line;
      const slice = sliceOf(whole, window.start, window.end, most, torn);
      const band = line.band ? bandsOf(line, window.start, window.end, most, torn) : null;
      return { ...slice, band };
    });
    this.#plot.window = window;
    this.#plot.lines = slices;
    this.#plot.courses(courses, chosen);
    this.#plot.marks = { ...marks, changes: /^(radius|growth)/.test(row.id) ? marks.changes : [] };
    this.#scale(row, [...slices, ...courses], window);
  }

  // Say the values of a time, or (null) the last ones.
  read(t) {
    for (const line of this.#shown.lines) {
      const entry = this.#entries.get(line.id);
      const at = t === null ? line.t.length - 1 : indexAt(line.t, t);
      const text = `${withBand(line, at)} ${this.#shown.row.unit}`;
      if (entry && entry.value.textContent !== text) entry.value.textContent = text;
    }
  }

  // ---------------------------------------------------------------------------

  get #isFolded() {
    return this.element.hasAttribute("data-folded");
  }

  // Show the plot, or only the name and the newest values in one line; it is remembered.
  #fold(isFolded) {
    this.element.toggleAttribute("data-folded", isFolded);
    this.#title.setAttribute("aria-expanded", String(!isFolded));
    this.#title.title = isFolded ? "show the plot" : "fold: only the newest values";
    const all = folded();
    if (all.has(this.element.dataset.row) === isFolded) return;
    if (isFolded) all.add(this.element.dataset.row);
    else all.delete(this.element.dataset.row);
    localStorage.setItem(KEPT, JSON.stringify([...all].slice(-MOST_FOLDED)));
    this.dispatchEvent(new Event("fold"));
  }

  #makePlot() {
    const plot = new Plot(this.#host, this.#style);
    plot.addEventListener("drag", (event) => {
      this.dispatchEvent(new CustomEvent("drag", { detail: event.detail }));
    });
    plot.show();
    return plot;
  }

  #say(row, lines) {
    const title = row.unit ? `${row.title} (${row.unit})` : row.title;
    if (this.#title.textContent !== title) this.#title.textContent = title;
    for (const [at, line] of lines.entries()) {
      if (!this.#entries.has(line.id)) this.#enter(line, at);
      const { item, label } = this.#entries.get(line.id);
      const name = line.band ? `${line.label}, ${line.band}` : line.label;
      if (label.textContent !== name) label.textContent = name;
      item.toggleAttribute("data-band", line.band !== "");
      item.title = line.every > 1 ? `thinned: two points stand for ${2 * line.every}, peaks are kept` : "";
    }
    this.read(null);
    const { text, isBeyond } = limitWords(row, lines);
    const words = [row.words, text].filter(Boolean).join(" · ");
    if (this.#words.textContent !== words) this.#words.textContent = words;
    this.element.toggleAttribute("data-beyond", isBeyond);
  }

  #enter(line, at) {
    const value = h("span.number");
    const stroke = svg("line", { ...ALONG, class: `colour-${at % COLOURS}`, "stroke-dasharray": DASHES[at % 4] });
    const band = svg("rect", { x: 0, y: 0, width: 22, height: 8, class: `colour-${at % COLOURS}` });
    const key = keyOf(band, stroke);
    const label = h("span.label", { title: `${line.label} (${line.id})` });
    const item = h("li", {}, key, label, value);
    this.#ofMany.before(item);
    this.#entries.set(line.id, { item, label, value });
  }

  // Have all that is in sight fit.
  #scale(row, slices, { start, end }) {
    let low = Infinity;
    let high = -Infinity;
    for (const { t, v } of slices) {
      for (let i = 0; i < t.length; i += 1) {
        const crosses = t[i] < start && t[i + 1] > end && Number.isFinite(v[i + 1]);
        const isSeen = crosses || (t[i] >= start && t[i] <= end);
        if (!isSeen || !Number.isFinite(v[i])) continue;
        low = Math.min(low, v[i], crosses ? v[i + 1] : Infinity);
        high = Math.max(high, v[i], crosses ? v[i + 1] : -Infinity);
      }
    }
    this.#nothing.hidden = low <= high;
    if (low > high) [low, high] = [0, 1];
    this.#plot.isEmpty = !this.#nothing.hidden;
    if (/^(count|dose|run|rate)/.test(row.id)) low = Math.min(0, low);
    const limits = row.limits.map((limit) => limit.value).filter((value) => value <= BEYOND * high);
    for (const value of limits) high = Math.max(high, value);
    // A label at either end has room, however low the plot is.
    const share = Math.max(0.08, LABEL_PX / Math.max(1, this.#host.clientHeight - 2 * LABEL_PX));
    const room = share * (high - low || Math.abs(high) || 1);
    this.#plot.limits = limits;
    this.#plot.heights = { low: low - room, high: high + room };
  }
}

function keyOf(...strokes) {
  return svg("svg", { class: "key", viewBox: "0 0 22 8", "aria-hidden": "true" }, ...strokes);
}

// Rows that are folded, by their id.
function folded() {
  try {
    return new Set(JSON.parse(localStorage.getItem(KEPT) ?? "[]"));
  } catch {
    return new Set(); // somebody else has written there
  }
}

// What a row says of its limits, and whether one is passed.
function limitWords({ limits, unit }, lines) {
  const largest = Math.max(...lines.map((line) => line.v.at(-1) ?? -Infinity));
  const isBeyond = limits.some((limit) => largest >= limit.value);
  const texts = limits.map((limit) => {
    const share = Math.round((100 * largest) / limit.value);
    const of = `${share} % of the ${limit.label}, ${short(limit.value)} ${unit}`;
    return largest >= limit.value ? `▲ BEYOND: ${of}` : of;
  });
  return { text: texts.join(" · "), isBeyond };
}

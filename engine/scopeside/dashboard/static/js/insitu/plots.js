// The plots: rows over one time axis, with what moves through time.

import { bokeh, hasBokeh } from "../bokeh.js";
import { h } from "../dom.js";
import { Plot } from "./plot.js";
import { Row } from "./row.js";
import { RowChoice } from "./row_choice.js";
import { styleOf } from "./style.js";
import { TimeWindow } from "./time_window.js";
import { duration, stateOf } from "./words.js";

export class Plots {
  #record;
  #window = new TimeWindow();
  #rows = new Map();
  #choice = new RowChoice();
  #chosen = null;
  #drag = "zoom";
  #style = null;
  #axisHost = h("div.plot");
  #axis = null;
  #stack = h("div.stack");
  #cursor = h("div.time-cursor", { hidden: true });
  #readout = h("output.readout.number");
  #loading = h("p.loading.dim", { role: "status", hidden: true });
  #buttons = {};
  #sight;
  element;

  constructor(record) {
    this.#record = record;
    const scroll = h("div.scroll", {}, this.#stack, h("div.axis", {}, this.#axisHost), this.#cursor);
    this.element = h("div.plots", {}, this.#toolbar(), this.#loading, scroll);
    this.#sight = new IntersectionObserver((seen) => this.#sighted(seen), { root: scroll });
    this.#window.addEventListener("change", () => this.#draw());
    this.#reachable(scroll);
    this.#choice.addEventListener("change", () => this.update());
    window.addEventListener("theme", () => this.#retheme());
    window.addEventListener("resize", () => this.#retheme());
  }

  // Take what is new in the record.
  update() {
    const { told } = this.#record;
    if (told === null) return;
    this.#match(this.#choice.shown(this.#record.rows));
    this.#window.advance(told.now ?? 0);
    this.#draw();
  }

  // Mark an event, and have its time in sight.
  choose(event) {
    this.#chosen = event;
    if (event !== null) this.#window.reveal(timeOf(event) ?? this.#window.now);
    this.#draw();
  }

  // ---------------------------------------------------------------------------

  #toolbar() {
    const button = (name, text, title, act) => {
      this.#buttons[name] = h("button", { type: "button", title, onclick: act, "data-do": name }, text);
      return this.#buttons[name];
    };
    const win = this.#window;
    const drag = h(
      "select",
      { "aria-label": "what dragging in a plot does", onchange: (event) => this.#setDrag(event.target.value) },
      h("option", { value: "zoom" }, "drag: zoom"),
      h("option", { value: "move" }, "drag: move"),
    );
    return h(
      "div.toolbar",
      { role: "toolbar", "aria-label": "time of the plots" },
      button("all", "All", "the whole experiment (Home)", () => win.showAll()),
      button("live", "Follow live", "the newest, as it comes (End)", () => win.goLive()),
      button("in", "+", "shorter time (key +, or Ctrl and the wheel)", () => win.zoom(0.5)),
      button("out", "−", "longer time (key −)", () => win.zoom(2)),
      button("back", "◀", "earlier (left arrow)", () => win.move(-0.25)),
      button("on", "▶", "later (right arrow)", () => win.move(0.25)),
      drag,
      this.#choice.element,
      this.#readout,
    );
  }

  #setDrag(what) {
    this.#drag = what;
    for (const row of this.#rows.values()) if (row.plot !== null) row.plot.drag = what;
  }

  // Have a row for each that there is, in their order.
  #match(rows) {
    this.#style ??= styleOf(this.element);
    const wanted = new Set(rows.map((row) => row.id));
    for (const [id, row] of this.#rows) {
      if (wanted.has(id)) continue;
      this.#sight.unobserve(row.element);
      row.element.remove();
      this.#rows.delete(id);
    }
    for (const [at, { id }] of rows.entries()) {
      const row = this.#rows.get(id) ?? this.#add(id);
      if (this.#stack.children[at] !== row.element) {
        this.#stack.insertBefore(row.element, this.#stack.children[at] ?? null);
      }
    }
  }

  #add(id) {
    const row = new Row(id, () => this.#style);
    row.addEventListener("drag", ({ detail }) => this.#window.choose(detail.start, detail.end));
    row.addEventListener("fold", () => this.#draw());
    this.#rows.set(id, row);
    this.#sight.observe(row.element);
    return row;
  }

  #sighted(seen) {
    for (const { target, isIntersecting } of seen) {
      const row = this.#rows.get(target.dataset.row);
      if (row !== undefined) row.isSeen = isIntersecting;
    }
    this.#draw();
  }

  #draw() {
    const { told } = this.#record;
    for (const name of ["all", "live"]) {
      this.#buttons[name].setAttribute("aria-pressed", String(this.#window.mode === name));
    }
    if (told === null || !this.element.isConnected) return;
    if (this.#rows.size > 0 && !hasBokeh()) this.#load();
    else if (this.#axis === null && this.#rows.size > 0) {
      this.#axis = new Plot(this.#axisHost, () => this.#style, { axis: true });
      this.#axis.show();
    }
    const { start, end } = this.#window;
    if (this.#axis !== null) this.#axis.window = { start, end };
    const marks = this.#marks();
    for (const row of this.#record.rows) {
      this.#rows.get(row.id)?.update(row, this.#record, { start, end }, this.#chosen?.uid, marks);
    }
    for (const row of this.#rows.values()) if (row.plot !== null) row.plot.drag = this.#drag;
  }

  // Have what draws plots, and draw; each news tries again after a failure.
  async #load() {
    const say = (text) => {
      this.#loading.textContent = text;
      this.#loading.hidden = text === "";
    };
    if (this.#loading.hidden) say("loading what draws plots …");
    try {
      await bokeh();
      say("");
      this.#draw();
    } catch (error) {
      say(`No plots: ${error.message}`);
    }
  }

  #marks() {
    const events = [];
    const changes = []; // of growth: many, and drawn where they belong
    for (const event of this.#record.events.values()) {
      const state = stateOf(event);
      const t = timeOf(event);
      if (t === null || state === "candidate" || state === "rejected") continue;
      (state === "change_point" ? changes : events).push(t);
    }
    const chosen = this.#chosen === null ? null : timeOf(this.#chosen);
    const begins = this.#record.marks.map((mark) => mark.t);
    return { events, changes, chosen: chosen === null ? [] : [chosen], begins };
  }

  #retheme() {
    if (this.#style === null) return;
    this.#style = styleOf(this.element);
    this.#axis?.retheme();
    for (const row of this.#rows.values()) row.plot?.retheme();
  }

  // -- pointer and keyboard -------------------------------------------------------

  #reachable(scroll) {
    scroll.tabIndex = 0;
    scroll.setAttribute("aria-label", "plots over time: arrows move, plus and minus zoom, Home shows all, End follows");
    scroll.addEventListener("pointermove", (event) => this.#point(event.clientX));
    scroll.addEventListener("pointerleave", () => this.#point(null));
    scroll.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    scroll.addEventListener("keydown", (event) => this.#key(event));
  }

  #wheel(event) {
    if (!event.ctrlKey) return; // it scrolls the rows
    event.preventDefault();
    this.#window.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.#axis?.timeAt(event.clientX) ?? undefined);
  }

  #key(event) {
    const win = this.#window;
    const does = {
      Home: () => win.showAll(),
      End: () => win.goLive(),
      ArrowLeft: () => win.move(-0.1),
      ArrowRight: () => win.move(0.1),
      "+": () => win.zoom(0.5),
      "-": () => win.zoom(2),
    };
    const act = does[event.key];
    if (act === undefined || event.altKey || event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    act();
  }

  #point(clientX) {
    const t = clientX === null ? null : (this.#axis?.timeAt(clientX) ?? null);
    this.#cursor.hidden = t === null;
    if (t !== null) {
      const { left } = this.#cursor.parentElement.getBoundingClientRect();
      this.#cursor.style.left = `${clientX - left}px`;
    }
    for (const row of this.#rows.values()) row.read(t);
    this.#readout.textContent = t === null ? "" : this.#timeWords(t);
  }

  #timeWords(t) {
    const wall = new Date(this.#record.wallMs(t)).toLocaleTimeString("en-GB");
    const acq = this.#record.marks.filter((mark) => mark.t <= t).reduce((a, b) => (a && a.t > b.t ? a : b), null);
    return `${duration(t, 1)} after the start · ${wall}${acq === null ? "" : ` · ${this.#record.acquisition(acq.acq)}`}`;
  }
}

// When an event is marked: a nucleus when it was born.
export function timeOf(event) {
  return (event.kind === "nucleus" ? event.birth : event.t) ?? event.t ?? null;
}

// The list of events, the latest news first, with their pictures; one of them can be chosen.

import { h } from "../dom.js";
import { Thumbnails } from "./thumbnails.js";
import { timeOf } from "./plots.js";
import { ago, duration, glyph, nameOf, percent, short, stateOf, stateWords } from "./words.js";

const MOST = 60; // entries; more are counted
const KINDS = {
  "nuclei and meetings": (event) => !["candidate", "rejected", "change_point"].includes(stateOf(event)),
  "all but rejected": (event) => stateOf(event) !== "rejected",
  everything: () => true,
};

export class Events {
  #record;
  #thumbnails = new Thumbnails();
  #entries = []; // elements, reused
  #chosen = null;
  #kind = "nuclei and meetings";
  #list = h("ul.entries");
  #count = h("p.dim.number");
  #detail = h("div.detail", { hidden: true });
  onchoose = () => {};
  onzoom = () => {};
  element;

  constructor(record) {
    this.#record = record;
    const kinds = Object.keys(KINDS).map((kind) => h("option", { value: kind }, kind));
    const filter = h("select", { "aria-label": "which events are listed", onchange: (event) => this.#filter(event) }, ...kinds);
    filter.value = this.#kind;
    const head = h("div.events-head", {}, h("h2", {}, "Events"), filter);
    this.element = h("aside.panel.events", { "aria-label": "events" }, head, this.#count, this.#detail, this.#list);
  }

  get chosen() {
    return this.#chosen;
  }

  // Take what is new in the record.
  update() {
    const { told } = this.#record;
    if (told === null) return;
    if (this.#chosen !== null) this.#chosen = this.#record.events.get(this.#chosen.uid) ?? this.#chosen;
    const all = this.#record.latest();
    const listed = all.filter(KINDS[this.#kind]).sort((a, b) => (timeOf(b) ?? 0) - (timeOf(a) ?? 0));
    this.#countWords(all, listed, told.left_out.events);
    const shown = listed.slice(0, MOST);
    for (const [at, event] of shown.entries()) this.#put(at, event);
    for (let at = shown.length; at < this.#entries.length; at += 1) this.#entries[at].item.hidden = true;
    this.#describe();
  }

  choose(event) {
    this.#chosen = event;
    this.update();
    this.onchoose(event);
  }

  // ---------------------------------------------------------------------------

  #filter(event) {
    this.#kind = event.target.value;
    this.update();
  }

  #countWords(all, listed, gone) {
    const more = listed.length > MOST ? `, the latest ${MOST} are listed` : "";
    const lost = gone > 0 ? ` · ${gone} older ones are not kept` : "";
    const text = all.length === 0 ? "none yet" : `${listed.length} of ${all.length}${more}${lost}`;
    if (this.#count.textContent !== text) this.#count.textContent = text;
  }

  #put(at, event) {
    this.#entries[at] ??= this.#make();
    const entry = this.#entries[at];
    const { item, button, canvas, shape, name, words, times } = entry;
    item.hidden = false;
    entry.event = event;
    button.dataset.uid = event.uid;
    button.setAttribute("aria-pressed", String(event.uid === this.#chosen?.uid));
    const state = stateOf(event);
    if (button.dataset.state !== state) {
      button.dataset.state = state;
      shape.replaceChildren(glyph(state));
    }
    write(name, `${nameOf(event)} · ${stateWords(event)}`);
    write(words, this.#sizeOf(event));
    write(times, this.#timesOf(event));
    this.#thumbnails.want(canvas, event);
  }

  #sizeOf(event) {
    const size = event.radius_px ? `r ${this.#length(event.radius_px)}` : "";
    return [percent(event.confidence), size].filter(Boolean).join(" · ") || event.reason;
  }

  #timesOf(event) {
    const t = timeOf(event);
    const now = this.#record.told.now;
    const since = now === null || t === null ? "" : ago(now - t);
    return [since, `frame ${Math.round(event.birth_frame ?? event.frame)}`].filter(Boolean).join(" · ");
  }

  #make() {
    const canvas = h("canvas", { width: 0, height: 0, "aria-hidden": "true" });
    const shape = h("span.shape");
    const name = h("span.name");
    const words = h("span.words.dim.number");
    const times = h("span.words.dim.number");
    const head = h("span.name-line", {}, shape, name);
    const button = h("button.event", { type: "button" }, canvas, h("span.text", {}, head, words, times));
    const item = h("li", {}, button);
    const entry = { item, button, canvas, shape, name, words, times, event: null };
    button.addEventListener("click", () => {
      this.choose(entry.event.uid === this.#chosen?.uid ? null : entry.event);
    });
    this.#list.append(item);
    return entry;
  }

  // What is known of the chosen one.
  #describe() {
    const event = this.#chosen;
    this.#detail.hidden = event === null;
    if (event === null) return;
    const lines = [
      `${nameOf(event)}: ${stateWords(event)} ${percent(event.confidence)}`.trim(),
      event.radius_px && `radius ${this.#length(event.radius_px, event.radius_error_px)}`,
      event.kind === "nucleus" && `born at ${duration(event.birth, 1)}, frame ${short(Math.round(event.birth_frame))}`,
      `last news at ${duration(event.t, 1)}, frame ${event.frame}`,
      Number.isFinite(event.y) && `at (${event.y.toFixed(1)}, ${event.x.toFixed(1)}) px of frame 0`,
      event.acq !== this.#record.told.acq && `in ${this.#record.acquisition(event.acq)}, which is over`,
      event.reason,
    ].filter(Boolean);
    const text = lines.join("\n");
    if (this.#detail.dataset.text === text) return;
    this.#detail.dataset.text = text;
    const zoom = h("button", { type: "button", onclick: () => this.onzoom(this.#chosen) }, "Zoom in on it");
    const none = h("button", { type: "button", onclick: () => this.choose(null) }, "Choose none");
    this.#detail.replaceChildren(...lines.map((line) => h("div.number", {}, line)), h("div.do", {}, zoom, none));
  }

  #length(px, error) {
    const scale = this.#record.told.nm_per_px;
    const unit = scale ? "nm" : "px";
    const spread = error ? ` ± ${short(error * (scale ?? 1))}` : "";
    return `${short(px * (scale ?? 1))}${spread} ${unit}`;
  }
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

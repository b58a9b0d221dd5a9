// The pattern that detectors are drawn on, and the list of them in words.

import { h } from "../dom.js";
import { put } from "../image/caption.js";
import { LiveImage } from "../image/live_image.js";
import { HUES, Overlay, stateOf } from "./overlay.js";
import { shapesOf, wordsOf } from "./shapes.js";

const PATTERNS = ["sum", "frame"]; // kinds of processors whose results are patterns
const KEYS =
  "Drag a handle or the outline; or Tab to it and use the arrow keys: 1 px or 1°, with Shift " +
  "10, with Ctrl 0.1. Escape lets go, and goes back; Ctrl+Z takes the last drag back. " +
  "A polygon gets a corner by a double click on its outline, or by Insert on a corner; Delete " +
  "takes one away.";
const NONE =
  "There is no pattern yet to draw on. A chain with edge = \"latest\" and a processor of kind " +
  "\"sum\" gives one; detectors can be set by numbers on the right.";
const WAITS =
  "stays while an acquisition runs: numbers on the right wait for the next one";
const FIRST = ["mean", "sum", "max", "frame"];

export class Pattern extends EventTarget {
  #page;
  #model;
  #image = null;
  #overlay = null;
  #visible = false;
  #due = false;
  #chosen = null; // the key that a person has chosen; else the first is taken
  #choose = h("select", { onchange: () => this.#setChosen(this.#choose.value) });
  #stage = h("div.stage-of-pattern");
  #hint = h("p.dim");
  #look = h("p.dim"); // why nothing of it can be changed here
  #list = h("ul.shapes");
  #keys = h("p.dim", {}, KEYS);

  constructor(page, model) {
    super();
    this.#page = page;
    this.#model = model;
    this.element = h(
      "div.panel.pattern",
      {},
      h("h2", {}, "Detectors on the pattern"),
      h("label.of", {}, "pattern ", this.#choose),
      this.#stage,
      this.#hint,
      this.#look,
      this.#list,
      this.#keys,
    );
    page.live.topic("catalogue", (catalogue) => this.#offer(catalogue));
    page.standing.addEventListener("change", () => this.#hintAt());
    model.addEventListener("forms", () => this.#watch());
    model.addEventListener("state", () => this.draw());
    this.#watch();
    document.addEventListener("keydown", (event) => this.#undo(event));
  }

  #undo(event) {
    const isAsked = event.key.toLowerCase() === "z" && event.ctrlKey && !event.shiftKey;
    if (!isAsked || !this.#visible || event.target.matches("input, textarea, select")) return;
    if (this.#overlay?.undo()) event.preventDefault();
  }

  show() {
    this.#visible = true;
    this.#image?.show();
    this.draw();
  }

  hide() {
    this.#visible = false;
    this.#image?.hide();
  }

  // Draw all shapes as they are, or are asked to be; many reasons in one turn are one.
  draw() {
    if (this.#due || !this.#visible) return;
    this.#due = true;
    queueMicrotask(() => {
      this.#due = false;
      this.#drawNow();
    });
  }

  #drawNow() {
    const shapes = this.#shapes();
    this.#overlay?.draw(shapes, this.#model.processors);
    this.#look.textContent = this.#model.whyNot;
    this.#look.hidden = this.#model.whyNot === "";
    this.#keys.hidden = this.#overlay === null || shapes.length === 0;
    this.#write(shapes);
  }

  #watch() {
    for (const processor of this.#model.processors.values()) {
      processor.addEventListener("change", () => this.draw());
    }
    this.#offer(this.#page.live.last("catalogue") ?? []);
    this.draw();
  }

  #shapes() {
    const { frame } = this.#model;
    if (this.#image?.header && !frame.rows) [frame.rows, frame.columns] = this.#image.header.shape;
    const processors = [...this.#model.processors.values()];
    return processors.flatMap(({ form, params }) => shapesOf(form, params, frame));
  }

  // -- which pattern ---------------------------------------------------------------------

  #offer(catalogue) {
    const kinds = new Map(this.#model.forms.processors.map((form) => [form.name, form.kind]));
    const isPattern = ({ kind, shape, chain, processor }) => {
      const isImage = kind === "image" && shape?.length === 2;
      return isImage && PATTERNS.includes(kinds.get(`${chain}.${processor}`));
    };
    const found = catalogue.filter(isPattern);
    const place = ({ name }) => (FIRST.indexOf(name) + 1 || 9);
    found.sort((a, b) => place(a) - place(b));
    const keys = found.map(({ key }) => key);
    if (keys.join() !== [...this.#choose.options].map(({ value }) => value).join()) {
      this.#choose.replaceChildren(...keys.map((key) => h("option", { value: key }, key)));
      const isThere = keys.includes(this.#chosen);
      if (keys.length > 0) this.#choose.value = isThere ? this.#chosen : keys[0];
    }
    const none = keys.length === 0;
    this.#choose.disabled = none;
    this.#hintAt();
    if (!none) this.#setKey(this.#choose.value);
  }

  #hintAt() {
    const none = this.#choose.options.length === 0;
    put(this.#hint, none ? this.#page.standing.startsWords || NONE : "");
  }

  #setChosen(key) {
    this.#chosen = key;
    this.#setKey(key);
  }

  #setKey(key) {
    if (this.#image?.key === key) return;
    if (this.#image === null) {
      this.#image = new LiveImage(this.#page, { key, hz: 4, title: key });
      this.#image.addEventListener("paint", () => this.#painted());
      this.#overlay = new Overlay(this.#image);
      this.#overlay.addEventListener("select", () => this.draw());
      this.#stage.append(this.#image.element);
      if (this.#visible) this.#image.show();
    } else {
      this.#image.setKey(key);
      this.#image.title = key;
    }
    this.draw();
  }

  #painted() {
    if (!this.#model.state.frame_shape) this.draw();
  }

  // -- in words --------------------------------------------------------------------------

  #write(shapes) {
    while (this.#list.children.length < shapes.length) this.#list.append(row());
    while (this.#list.children.length > shapes.length) this.#list.lastChild.remove();
    for (const [i, shape] of shapes.entries()) this.#writeRow(this.#list.children[i], shape, i);
  }

  #writeRow(item, shape, index) {
    const processor = this.#model.processors.get(shape.processor);
    const [button, swatch] = [item.firstChild, item.firstChild.firstChild];
    swatch.setAttribute("class", `swatch hue-${index % HUES}`);
    button.onclick = () => this.#overlay?.select(shape.id);
    button.setAttribute("aria-pressed", this.#overlay?.selected === shape.id);
    const [, name, what, state, note] = button.children;
    const texts = [shape.name, wordsOf(shape), words(processor, shape), noteOf(processor, shape)];
    for (const [k, part] of [name, what, state, note].entries()) {
      if (part.textContent !== texts[k]) part.textContent = texts[k];
    }
    state.dataset.state = stateOf(processor, shape);
    note.classList.toggle("problem", processor.problem !== "");
  }
}

function row() {
  const swatch = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  swatch.setAttribute("viewBox", "0 0 30 8");
  swatch.append(document.createElementNS("http://www.w3.org/2000/svg", "path"));
  swatch.firstChild.setAttribute("d", "M0 4H30");
  swatch.firstChild.setAttribute("class", "line");
  return h(
    "li",
    {},
    h("button.quiet", {}, swatch, h("b"), h("span.number"), h("span.state"), h("span.dim.note")),
  );
}

function words(processor, shape) {
  switch (stateOf(processor, shape)) {
    case "dragged":
      return "being dragged; asked for as it goes";
    case "asked":
      return "asked for";
    default:
      return `${processor.told.waiting ? "taken" : "holds"}: ${processor.since}`;
  }
}

function noteOf(processor, shape) {
  const waits = processor.waits(shape.key || "inner_px");
  return processor.problem || processor.form.why_not || (waits ? WAITS : shape.note);
}

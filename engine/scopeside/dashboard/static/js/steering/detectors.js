// Detectors that come, go, or get another name. The engine takes that between acquisitions
// alone: what is asked for meanwhile waits, at the page's server, for the end of the one that
// runs.

import { h } from "../dom.js";
import { tidy } from "./geometry.js";
import { WaitingLine } from "./waiting_line.js";

const KINDS = ["disk", "annulus", "segment", "rectangle", "polygon"];
const NO_NAME = "a name is a letter, then at most 31 letters, digits, _ or -";
const NAME = /^[A-Za-z][A-Za-z0-9_-]{0,31}$/;

export class Detectors {
  #model;
  #line;
  #which = h("select", { "aria-label": "processor", onchange: () => this.#update() });
  #name = nameInput("name of the new detector", "name");
  #kind = h("select", { "aria-label": "shape" }, ...options(KINDS));
  #old = h("select", { "aria-label": "detector", onchange: () => this.#update() });
  #new = nameInput("its new name", "new name");
  #add = h("button", { onclick: () => this.#askToAdd() }, "Add");
  #rename = h("button", { onclick: () => this.#askToRename() }, "Rename");
  #remove = h("button", { onclick: () => this.#askToRemove() }, "Remove");

  constructor(model) {
    this.#model = model;
    this.#line = new WaitingLine(model, "detectors");
    const row = (...parts) => h("div.row", {}, ...parts);
    this.element = h(
      "details.detectors",
      {},
      h("summary", {}, "Add, rename or remove a detector"),
      h("p.dim", {}, "While an acquisition runs its detectors keep their names: this waits."),
      this.#which,
      row(this.#name, this.#kind, this.#add),
      row(this.#old, this.#new, this.#rename, this.#remove),
      this.#line.element,
    );
    model.addEventListener("forms", () => this.#watch());
    this.#watch();
  }

  get #processor() {
    return this.#model.processors.get(this.#which.value);
  }

  #watch() {
    const all = [...this.#model.processors.values()];
    const mine = all.filter(({ form }) => tableOf(form) !== undefined);
    this.#which.replaceChildren(...options(mine.map(({ form }) => form.name)));
    this.#which.hidden = mine.length < 2;
    this.element.hidden = mine.length === 0;
    for (const processor of mine) processor.addEventListener("change", () => this.#update());
    this.#update();
  }

  #update() {
    const processor = this.#processor;
    if (processor === undefined) return;
    const names = Object.keys(detectorsOf(processor));
    if (names.join() !== [...this.#old.options].map(({ value }) => value).join()) {
      this.#old.replaceChildren(...options(names));
    }
    this.#line.show(processor);
    const waits = processor.next?.state === "waiting";
    const why = processor.whyNot || (waits ? "one change waits already" : "");
    for (const button of [this.#add, this.#rename, this.#remove]) {
      button.disabled = why !== "";
      button.title = why;
    }
    this.#remove.disabled ||= names.length < 2;
    if (names.length < 2) this.#remove.title = why || "the last one stays";
    for (const input of [this.#name, this.#new]) input.disabled = processor.whyNot !== "";
  }

  // -- what is asked for -----------------------------------------------------------------

  #askToAdd() {
    const name = this.#name.value.trim();
    const kind = this.#kind.value;
    if (!this.#isFree(name)) return;
    const shape = { [kind]: usual(kind, this.#model.frame) };
    this.#line.ask(`add ${name}`, { values: { [this.#keyOf(name)]: shape } });
  }

  #askToRename() {
    const [from, to] = [this.#old.value, this.#new.value.trim()];
    if (!this.#isFree(to)) return;
    this.#line.ask(`rename ${from} to ${to}`, { move: { [this.#keyOf(from)]: to } });
  }

  #askToRemove() {
    const gone = this.#old.value;
    this.#line.ask(`remove ${gone}`, { drop: [this.#keyOf(gone)] });
  }

  #keyOf(name) {
    return `${tableOf(this.#processor.form).key}.${name}`;
  }

  #isFree(name) {
    const isName = NAME.test(name);
    const isFree = !(name in detectorsOf(this.#processor));
    if (!isName) this.#line.say(NO_NAME, true);
    else if (!isFree) this.#line.say(`there is a detector ${name} already`, true);
    return isName && isFree;
  }
}

function nameInput(label, placeholder) {
  const about = { type: "text", "aria-label": label, placeholder, size: 8 };
  return h("input", { ...about, autocomplete: "off" });
}

function options(names) {
  return names.map((name) => h("option", { value: name }, name));
}

// The field that holds detectors by name; undefined if there is none.
function tableOf(form) {
  const isDetectors = ({ control, fields }) =>
    control === "tables" && fields.some((one) => one.key === "disk");
  return form.fields.find(isDetectors);
}

function detectorsOf({ form, told }) {
  return told.params[tableOf(form).key] ?? {};
}

// A shape to begin with: in the middle, an eighth of the frame in size.
function usual(kind, { rows, columns, centrePx }) {
  const [y, x] = centrePx ?? [(rows - 1) / 2, (columns - 1) / 2];
  const r = tidy(Math.max(1, Math.min(rows, columns) / 8));
  const box = [y - r, x - r, y + r, x + r].map(tidy);
  const numbers = {
    disk: [y, x, r],
    annulus: [y, x, r, 2 * r],
    segment: [y, x, r, 2 * r, -45, 45],
    rectangle: box,
    polygon: [[y - r, x], [y + r, x + r], [y + r, x - r]],
  };
  return numbers[kind];
}

// The parameters of all processors as typed controls, made from what their Params say.

import { h } from "../dom.js";
import { controlOf } from "./controls.js";
import { limits, same } from "./values.js";
import { Versions } from "./versions.js";
import { WaitingLine } from "./waiting_line.js";

const FAR = 1e6;
const FIXED = "from the next acquisition on";

export class Forms {
  #model;
  #body = h("div");

  constructor(model) {
    this.#model = model;
    this.element = h("div.panel.forms", {}, h("h2", {}, "Parameters"), this.#body);
    model.addEventListener("forms", () => this.#build());
    this.#build();
  }

  #build() {
    const { pipeline, problem } = this.#model.forms;
    if (pipeline === null) {
      this.#body.replaceChildren(h("p.dim", {}, problem || "No pipeline was seen yet."));
      return;
    }
    const forms = [...this.#model.processors.values()].map((one) => new Form(this.#model, one));
    this.#body.replaceChildren(...forms.map(({ element }) => element));
  }
}

class Form {
  #processor;
  #rows = new Map(); // dotted key -> Row
  #fields = h("div.fields");
  #said = h("p.answer", { role: "status" });
  #later;
  #since = h("span.dim.number");
  #why = h("p.dim.why");
  #apply = h("button.apply", { type: "submit" }, "Apply");
  #reset = h("button.reset", { type: "button", onclick: () => this.#resetAll() }, "Reset");

  constructor(model, processor) {
    this.#processor = processor;
    this.#later = new WaitingLine(model, "form");
    this.#later.show(processor);
    const { name, kind, about, live } = processor.form;
    const form = h(
      "form",
      { onsubmit: (event) => (event.preventDefault(), this.#ask()), novalidate: true },
      h("p.dim", {}, about),
      this.#why,
      this.#fields,
      h("div.row", {}, this.#apply, this.#reset),
      this.#said,
      this.#later.element,
    );
    const what = name.endsWith(`.${kind}`) ? " " : ` (${kind}) `;
    const title = h("summary", {}, h("b", {}, name), what, this.#since);
    const parts = [title, form, ...(live ? [new Versions(processor).element] : [])];
    this.element = h("details.form", { open: live, "data-processor": name }, ...parts);
    processor.addEventListener("change", () => this.#update());
    this.#update();
  }

  #update() {
    const { form, params, whyNot } = this.#processor;
    const wanted = rowsOf(form.fields, params);
    for (const [key, row] of this.#rows) {
      if (wanted.some((one) => one.key === key)) continue;
      row.element.remove();
      this.#rows.delete(key);
    }
    for (const { key, field, value } of wanted) {
      if (!this.#rows.has(key)) this.#add(key, field);
      this.#rows.get(key).take(value);
    }
    for (const [i, { key }] of wanted.entries()) {
      const { element } = this.#rows.get(key);
      const there = this.#fields.children[i];
      if (there !== element) this.#fields.insertBefore(element, there);
    }
    for (const row of this.#rows.values()) row.disable(whyNot);
    this.#since.textContent = this.#processor.since;
    this.#why.textContent = whyNot;
    this.#why.hidden = whyNot === "";
    this.#later.update();
    this.#look();
  }

  #add(key, field) {
    const { name } = this.#processor.form;
    const when = this.#processor.isFixed(key) ? FIXED : "";
    const row = new Row(`${name}.${key}`, key, field, when, () => this.#look());
    this.#rows.set(key, row);
  }

  #look() {
    const edited = [...this.#rows.values()].filter((row) => row.edited);
    const wrong = edited.some((row) => row.problem !== "");
    const here = edited.length === 0 ? "nothing is changed here" : "";
    const why = this.#processor.whyNot || here || (wrong ? "a value cannot be used" : "");
    this.#apply.disabled = why !== "";
    this.#apply.title = why;
    this.#reset.disabled = edited.length === 0;
    this.element.classList.toggle("edited", edited.length > 0);
  }

  #resetAll() {
    for (const row of this.#rows.values()) row.reset();
    this.#said.textContent = "";
    this.#look();
  }

  async #ask() {
    if (this.#apply.disabled) return;
    const all = [...this.#rows.entries()].filter(([, row]) => row.edited);
    const later = all.filter(([key]) => this.#processor.waits(key));
    const edited = all.filter((one) => !later.includes(one));
    if (later.length > 0) this.#askLater(later);
    if (edited.length === 0) return;
    const values = valuesOf(edited);
    this.#say("asked for …", false);
    try {
      const answer = await this.#processor.set(values);
      for (const [, row] of edited) row.taken();
      const { version, frame } = answer;
      const since = frame === null ? "waits for a frame" : `from frame ${counted(frame)} on`;
      this.#say(`version ${version} ${since}`, false);
    } catch (error) {
      this.#refused(error.message, edited);
    }
    this.#look();
  }

  // Have what does not change in mid-acquisition wait for its end.
  async #askLater(rows) {
    this.#say("", false);
    const values = valuesOf(rows);
    const words = ([key, value]) => `${key} = ${JSON.stringify(value)}`;
    const what = Object.entries(values).map(words);
    if (!(await this.#later.ask(what.join(", "), { values }))) return;
    for (const [, row] of rows) row.reset(); // it shows what holds
    this.#look();
  }

  // Put each line of a refusal beside the field that it names.
  #refused(message, edited) {
    const left = message.split("\n").filter((line) => {
      const found = namedBy(line, this.#processor.form.name, edited);
      found?.[1].refuse(line.replace(/^[^:]*: /, ""));
      return found === undefined;
    });
    this.#say(left.length > 0 ? `refused: ${left.join("; ")}` : "refused: see above", true);
    if (left.length > 0) this.#said.scrollIntoView({ block: "nearest" });
  }

  #say(text, isProblem) {
    this.#said.textContent = text;
    this.#said.classList.toggle("problem", isProblem);
  }
}

// A field with its label, unit, limits, and what is wrong with it.
class Row {
  #field;
  #control;
  #base; // what holds, as JSON; undefined before it is known
  #problem = h("span.problem", { role: "alert" });
  #look;
  #mark = h("span.mark");
  #refusal = "";
  edited = false;
  problem = "";
  value = null;

  // `when`: in words, where it is not at once.
  constructor(id, key, field, when, look) {
    this.#field = field;
    this.#look = look;
    this.#control = controlOf(field, id, () => this.#edit());
    const hint = hintOf(field);
    this.element = h(
      "div.field",
      { "data-key": key },
      h("label", { for: id }, key.replaceAll(".", ".\u200b")),
      h(
        "span.entry",
        {},
        this.#control.element,
        field.unit ? h("span.unit", {}, field.unit) : null,
        hint ? h("span.dim.hint", {}, hint) : null,
        when ? h("span.when", {}, when) : null,
        this.#mark,
      ),
      this.#problem,
      h("span.dim.about", {}, field.about ?? ""),
    );
  }

  // What holds now; what was edited stays, and is marked.
  take(value) {
    const text = JSON.stringify(value ?? null);
    if (text === this.#base) return;
    this.#base = text;
    if (this.edited) this.#edit();
    else this.#control.set(value);
  }

  reset() {
    this.#control.set(JSON.parse(this.#base));
    this.taken();
  }

  // What was entered was taken by the engine: nothing is open any more.
  taken() {
    if (this.edited && this.problem === "") this.#base = JSON.stringify(this.value);
    this.edited = false;
    this.#tell("");
  }

  refuse(why) {
    this.#tell(why);
    this.#refusal = why;
  }

  disable(why) {
    this.#control.disable(why);
  }

  #edit() {
    try {
      this.value = this.#control.get();
      this.edited = !same(this.value, JSON.parse(this.#base));
      this.#tell("");
    } catch (error) {
      this.edited = true;
      this.#tell(error.message);
    }
    this.#look();
  }

  #tell(problem) {
    this.problem = problem;
    this.#problem.textContent = problem;
    this.#mark.textContent = this.edited ? "changed, not applied" : "";
    this.element.classList.toggle("edited", this.edited);
    this.element.classList.toggle("wrong", problem !== "");
  }
}

// The [key, row] that a line of a refusal is about: it names the key or the table that the key
// is in ("stem.virtual.detectors.bf: disk: …"); else only one that was edited alone can be meant.
function namedBy(line, name, edited) {
  const path = line.split(":", 1)[0];
  const isIn = (key) => path !== name && `${name}.${key}`.startsWith(`${path}.`);
  return (
    edited.find(([key]) => line.startsWith(`${name}.${key}`)) ??
    edited.find(([key]) => isIn(key)) ??
    (edited.length === 1 ? edited[0] : undefined)
  );
}

function valuesOf(rows) {
  return Object.fromEntries(rows.map(([key, row]) => [key, row.value]));
}

function counted(frame) {
  return frame.toLocaleString("en");
}

// Limits that a person might come to; others are said when they are passed.
function hintOf(field) {
  const isFar = Math.min(Math.abs(field.min ?? 0), Math.abs(field.max ?? 0)) >= FAR;
  return isFar ? "" : limits(field);
}

// The fields of a form in one list, each with its dotted key and the value that holds.
function rowsOf(fields, params, before = "") {
  return fields.flatMap((field) => {
    const key = before + field.key;
    const value = params?.[field.key];
    if (field.control === "table") {
      return rowsOf(field.fields, value ?? field.default ?? {}, `${key}.`);
    }
    if (field.control === "tables") {
      return Object.entries(value ?? {}).flatMap(([name, table]) =>
        // Of tables such as detectors only what each has: it has one key of many.
        rowsOf(field.fields.filter((one) => one.key in table), table, `${key}.${name}.`),
      );
    }
    return [{ key, field, value: value === undefined ? field.default : value }];
  });
}


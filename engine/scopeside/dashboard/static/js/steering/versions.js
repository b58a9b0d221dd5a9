// The last versions of a processor's parameters; a click sets one of them again.

import { h } from "../dom.js";
import { same } from "./values.js";

export class Versions {
  #processor;
  #list = h("ol");
  #said = h("p.answer.problem", { role: "alert" });
  #shown = "";

  constructor(processor) {
    this.#processor = processor;
    const title = h("summary", {}, "Earlier versions");
    this.element = h("details.versions", {}, title, this.#list, this.#said);
    processor.addEventListener("change", () => this.#update());
    this.#update();
  }

  #update() {
    const { told, whyNot } = this.#processor;
    const text = JSON.stringify([told.versions, told.version, whyNot]);
    if (text === this.#shown) return;
    this.#shown = text;
    const all = [...(told.versions ?? [])].reverse();
    this.#list.replaceChildren(...all.map((one, i) => this.#item(one, all[i + 1], whyNot)));
  }

  #item(one, before, whyNot) {
    const holds = one.version === this.#processor.told.version;
    const frame = one.frame.toLocaleString("en");
    const changed = `frame ${frame} of ${one.acquisition || "the next acquisition"}`;
    const where = one.version === 1 ? "as in the pipeline file" : changed;
    const time = new Date(one.heard_ms).toLocaleTimeString("en", { hour12: false });
    const button = h("button", { type: "button", onclick: () => this.#goBack(one) }, "set again");
    button.disabled = holds || whyNot !== "";
    const about = holds ? "this is what holds" : "set these values again, as a new version";
    button.title = whyNot || about;
    return h(
      "li",
      { "data-version": one.version },
      h("span.number", {}, `version ${one.version}, ${where}, ${time}`),
      h("span.dim", {}, differences(before?.params, one.params)),
      button,
    );
  }

  async #goBack({ params }) {
    this.#said.textContent = "";
    try {
      await this.#processor.set(valuesBack(this.#processor, params));
    } catch (error) {
      this.#said.textContent = error.message;
    }
  }
}

// What is to be set so that `params` hold again: what was not there then is as by default.
export function valuesBack({ form, told }, params) {
  const keys = new Set([...Object.keys(told.params), ...Object.keys(params)]);
  const values = {};
  for (const key of keys) {
    const field = form.fields.find((one) => one.key === key);
    const then = key in params ? params[key] : (field?.default ?? null);
    if (!same(then, told.params[key])) values[key] = then;
  }
  return values;
}

// Which values differ from those before, in a line.
function differences(before, after) {
  if (before === undefined) return "";
  const found = [];
  collect(before, after, "", found);
  return found.slice(0, 4).join("; ") + (found.length > 4 ? " …" : "");
}

function collect(before, after, key, found) {
  if (same(before, after)) return;
  if (isTable(before) && isTable(after)) {
    for (const one of new Set([...Object.keys(before), ...Object.keys(after)])) {
      collect(before[one], after[one], key ? `${key}.${one}` : one, found);
    }
  } else {
    found.push(`${key} = ${after === undefined ? "default" : JSON.stringify(after)}`);
  }
}

function isTable(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

// What the microscope says that it is set to, and how long ago it said so.

import { h } from "../dom.js";
import { secondsOf } from "./times.js";

const OLD_MS = 2000;

export class ReadbackPanel {
  #page;
  #t = null;
  #age = h("span.number.dim");
  #values = h("dl");
  #shown = "";
  element = h(
    "section.panel.readback",
    { "aria-label": "microscope" },
    h("h2", {}, "Microscope, read back ", this.#age),
    this.#values,
  );

  constructor(page) {
    this.#page = page;
  }

  hear(guard) {
    this.element.hidden = guard === null;
    if (guard === null || guard.silent_s !== null) return;
    const { readback } = guard;
    this.#t = readback?.t_ms ?? null;
    const text = JSON.stringify(readback?.values ?? []);
    if (text === this.#shown) return;
    this.#shown = text;
    const rows = (readback?.values ?? []).flatMap(([name, value]) => [
      h("dt", {}, name.replaceAll("_", " ")),
      h("dd.number", {}, value ?? ""),
    ]);
    this.#values.replaceChildren(...rows);
  }

  turn() {
    const age = this.#t === null ? null : this.#page.live.ageMs(this.#t);
    this.element.dataset.old = age === null || age > OLD_MS;
    const text = age === null ? "not yet" : age > OLD_MS ? `OLD: ${secondsOf(age)} ago` : "now";
    if (this.#age.textContent !== text) this.#age.textContent = text;
  }
}

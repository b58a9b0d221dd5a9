// What the microscope says that it is set to, and how long ago it said so.

import { h } from "../dom.js";
import { secondsOf } from "./times.js";

const OLD_MS = 2000;
const NOW = "now";

export class ReadbackPanel {
  #page;
  #t = null; // when it was read, where the guard says so
  #why = "";
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
    if (guard === null) return;
    this.#why = whyOld(guard);
    if (guard.silent_s === null) this.#t = guard.readback?.t_ms ?? null;
    this.turn();
    const text = JSON.stringify(guard.readback?.values ?? null);
    if (text === "null" || text === this.#shown) return; // the last ones stay, as old
    this.#shown = text;
    const rows = guard.readback.values.flatMap(([name, value]) => [
      h("dt", {}, name.replaceAll("_", " ")),
      h("dd.number", {}, value ?? ""),
    ]);
    this.#values.replaceChildren(...rows);
  }

  // Time has passed.
  turn() {
    const text = this.#page.live.state === "lost" ? "OLD: the page is lost" : this.#text();
    this.element.dataset.old = text !== NOW;
    if (this.#age.textContent !== text) this.#age.textContent = text;
  }

  #text() {
    if (this.#why !== "" || this.#t === null) return this.#why || NOW;
    const age = this.#page.live.ageMs(this.#t);
    return age > OLD_MS ? `OLD: ${secondsOf(age)} ago` : NOW;
  }
}

// Why the values do not hold now; empty: they do. The guard looks at their age itself.
function whyOld(guard) {
  if (guard.silent_s !== null) return "OLD: the guard is silent";
  if (guard.unreadable !== "") return `OLD: ${guard.unreadable}`;
  return guard.readback === null ? "not known: it is changing, or was not read yet" : "";
}

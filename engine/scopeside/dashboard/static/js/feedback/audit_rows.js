// The rows that a search has found; a click, or Enter, tells the story of one.

import { h } from "../dom.js";

const MOST = 400;
const COLUMNS = ["n", "time", "mode", "who", "what", "verdict", "reason", "latency"];

export class AuditRows {
  #body = h("tbody");
  #tell;
  element;

  constructor(tell) {
    this.#tell = tell;
    const names = COLUMNS.map((name) => (name === "reason" ? "why" : name));
    const heads = names.map((name) => h("th", { scope: "col" }, name));
    this.element = h("table", {}, h("thead", {}, h("tr", {}, ...heads)), this.#body);
  }

  get count() {
    return this.#body.childElementCount;
  }

  get full() {
    return this.count >= MOST;
  }

  clear() {
    this.#body.replaceChildren();
  }

  add(rows) {
    for (const row of rows.slice(0, MOST - this.count)) this.#body.append(this.#row(row));
  }

  #row(row) {
    const cells = COLUMNS.map((name) => h(`td.${name}`, {}, row[name]));
    const element = h("tr", { tabindex: 0, title: row.id }, ...cells);
    element.addEventListener("click", () => this.#choose(element, row));
    element.dataset.state = row.verdict.split(":")[0];
    element.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        this.#choose(element, row);
      } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        const next = event.key === "ArrowDown" ? element.nextSibling : element.previousSibling;
        next?.focus();
      }
    });
    return element;
  }

  #choose(element, row) {
    this.#body.querySelector("[aria-selected]")?.removeAttribute("aria-selected");
    element.setAttribute("aria-selected", "true");
    this.#tell(row);
  }
}

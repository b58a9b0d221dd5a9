// Which rows of plots are shown: a box for each in a panel that opens; kept in this browser.

import { h } from "../dom.js";

const KEPT = "scopeside.insitu.hidden"; // ids of rows that are not shown
const MOST_KEPT = 100;

export class RowChoice extends EventTarget {
  #hidden = kept();
  #summary = h("summary", { title: "choose which rows of plots are shown" }, "Rows");
  #boxes = new Map(); // id -> {label, box, text}
  #panel = h("div.rows-panel");
  element = h("details.row-choice", {}, this.#summary, this.#panel);

  constructor() {
    super();
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !this.element.open) return;
      event.stopPropagation();
      this.element.open = false;
      this.#summary.focus();
    });
  }

  // Those of `rows` that are to be shown; the panel lists all.
  shown(rows) {
    this.#list(rows);
    const shown = rows.filter((row) => !this.#hidden.has(row.id));
    const text = shown.length === rows.length ? "Rows" : `Rows: ${shown.length} of ${rows.length}`;
    if (this.#summary.textContent !== text) this.#summary.textContent = text;
    return shown;
  }

  #list(rows) {
    const ids = new Set(rows.map((row) => row.id));
    for (const [id, { label }] of this.#boxes) {
      if (ids.has(id)) continue;
      label.remove();
      this.#boxes.delete(id);
    }
    for (const [at, row] of rows.entries()) {
      const { label } = this.#boxes.get(row.id) ?? this.#add(row);
      if (this.#panel.children[at] !== label) {
        this.#panel.insertBefore(label, this.#panel.children[at] ?? null);
      }
    }
  }

  #add({ id, title, unit }) {
    const box = h("input", { type: "checkbox", checked: !this.#hidden.has(id) });
    box.addEventListener("change", () => this.#choose(id, box.checked));
    const label = h("label", {}, box, unit ? `${title} (${unit})` : title);
    this.#boxes.set(id, { label });
    return { label };
  }

  #choose(id, isShown) {
    if (isShown) this.#hidden.delete(id);
    else this.#hidden.add(id);
    localStorage.setItem(KEPT, JSON.stringify([...this.#hidden].slice(-MOST_KEPT)));
    this.dispatchEvent(new Event("change"));
  }
}

function kept() {
  try {
    return new Set(JSON.parse(localStorage.getItem(KEPT) ?? "[]"));
  } catch {
    return new Set(); // somebody else has written there
  }
}

// Which images are shown: those that are, with buttons to move them, and all that there are
// to be ticked, by chain and processor, with a search field.

import { h } from "../dom.js";

export class Chooser extends EventTarget {
  #search = h("input", { type: "search", placeholder: "search", "aria-label": "search images" });
  #shown = h("ol.shown");
  #all = h("div.all");
  #usual = h("button", { onclick: () => this.#tell("usual") }, "the usual ones");
  #said = "";
  #last = { keys: [], images: [], isUsual: true };
  element = h(
    "aside.panel.chooser",
    { hidden: true, "aria-label": "choose images" },
    h("h2", {}, "Images"),
    this.#shown,
    h("div.row", {}, this.#search, this.#usual),
    this.#all,
  );

  // Events: "tick" ({key, on}), "move" ({key, to}), "usual", "close".
  constructor() {
    super();
    this.#search.addEventListener("input", () => this.#draw());
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.#tell("close");
    });
  }

  get isOpen() {
    return !this.element.hidden;
  }

  set isOpen(open) {
    this.element.hidden = !open;
    if (!open) return;
    this.#said = "";
    this.#draw();
    this.#search.focus();
  }

  // `keys`: shown, in order; `images`: entries of the catalogue.
  set(keys, images, isUsual) {
    this.#last = { keys, images, isUsual };
    if (this.isOpen) this.#draw();
  }

  #draw() {
    const { keys, images, isUsual } = this.#last;
    const asked = this.#search.value.trim().toLowerCase();
    const told = images.map(({ key, shape, units }) => [key, shape, units]);
    const said = JSON.stringify([keys, told, isUsual, asked]);
    if (said === this.#said) return; // nothing that is seen here has changed
    this.#said = said;
    const focused = document.activeElement?.dataset?.does;
    this.#usual.disabled = isUsual;
    this.#usual.title = isUsual ? "these are shown now" : "forget the choice for this pipeline";
    this.#shown.replaceChildren(...keys.map((key, k) => this.#place(key, k, keys.length)));
    const found = images.filter(({ key }) => key.toLowerCase().includes(asked));
    this.#all.replaceChildren(...groups(found).map(([name, of]) => this.#group(name, of, keys)));
    if (found.length === 0) this.#all.append(h("p.dim", {}, asked ? "none of that name" : "no image has come yet"));
    const again = [...this.element.querySelectorAll("[data-does]")].find(({ dataset }) => dataset.does === focused);
    if (focused) again?.focus();
  }

  #place(key, k, count) {
    const button = (text, what, to, disabled) => {
      const attributes = { disabled, "data-does": `${what} ${key}`, onclick: () => this.#tell("move", { key, to }) };
      return h("button.quiet", { ...attributes, title: `${what}: ${key}`, "aria-label": `${what}: ${key}` }, text);
    };
    const off = {
      "data-does": `off ${key}`,
      title: `take away ${key}`,
      "aria-label": `take away ${key}`,
      onclick: () => this.#tell("tick", { key, on: false }),
    };
    return h(
      "li",
      {},
      h("span.name", {}, key),
      button("↑", "earlier", -1, k === 0),
      button("↓", "later", 1, k === count - 1),
      h("button.quiet", off, "✕"),
    );
  }

  #group(name, entries, keys) {
    const rows = entries.map((entry) => {
      const { key } = entry;
      const tick = h("input", { type: "checkbox", checked: keys.includes(key), "data-does": `tick ${key}` });
      tick.addEventListener("change", () => this.#tell("tick", { key, on: tick.checked }));
      return h("label", { title: key }, tick, h("span.name", {}, entry.name), h("span.dim.number", {}, about(entry)));
    });
    return h("fieldset", {}, h("legend", {}, name), ...rows);
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

// "128 × 128, counts"
function about({ shape, units }) {
  return [shape?.join(" × "), units].filter(Boolean).join(", ");
}

function groups(images) {
  const found = new Map();
  for (const one of images) {
    const name = `${one.chain}.${one.processor}`;
    found.set(name, [...(found.get(name) ?? []), one]);
  }
  return [...found];
}

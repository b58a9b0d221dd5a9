// The keys of the page, in one place: what each does, and a list of them (key ?).
//
// A view adds its keys when it is mounted:
//   page.keys.add("f", "freeze the image", () => …, { where: "Images" });
// `where`: the view in which it works; left out: everywhere. Without a function the key is
// only listed, as when an element handles it itself ("arrow keys", "move the handle").
// It is not called while somebody types, or with Ctrl, Alt or Meta. Returns a function
// that takes the key back.

import { h } from "./dom.js";

export class Keys {
  #entries = new Set();
  #currentView;
  #list = h("div.list");
  #dialog = h(
    "dialog",
    { id: "keys", "aria-labelledby": "keys-title" },
    h("h2", { id: "keys-title" }, "Keys"),
    this.#list,
    h("form", { method: "dialog" }, h("button", {}, "close (Esc)")),
  );

  // `currentView`: returns the name of the view that is seen.
  constructor(currentView) {
    this.#currentView = currentView;
    document.body.append(this.#dialog);
    document.addEventListener("keydown", (event) => this.#press(event));
    this.add("?", "list of keys", () => this.show());
  }

  add(key, what, action = null, { where = null } = {}) {
    const entry = { key, what, action, where };
    this.#entries.add(entry);
    return () => this.#entries.delete(entry);
  }

  show() {
    const groups = [...grouped(this.#entries)];
    this.#list.replaceChildren(...groups.map(([where, entries]) => listed(where, entries)));
    if (!this.#dialog.open) this.#dialog.showModal();
  }

  #press(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (this.#dialog.open || isTyping(event)) return;
    const view = this.#currentView();
    for (const { key, action, where } of this.#entries) {
      if (action === null || key !== event.key) continue;
      if (where !== null && where !== view) continue;
      event.preventDefault();
      action(event);
      return;
    }
  }
}

function listed(where, entries) {
  const lines = entries.flatMap(({ key, what }) => [
    h("dt", {}, h("kbd", {}, key)),
    h("dd", {}, what),
  ]);
  return h("section", {}, h("h3", {}, where ?? "Everywhere"), h("dl", {}, ...lines));
}

function grouped(entries) {
  const groups = new Map();
  for (const entry of entries) {
    if (!groups.has(entry.where)) groups.set(entry.where, []);
    groups.get(entry.where).push(entry);
  }
  return groups;
}

// Inputs that take no letters: there a letter is still a key of the page.
const NO_LETTERS = ["range", "checkbox", "radio", "button", "submit", "color", "file"];

// Whether a key belongs to what the focus is on.
function isTyping(event) {
  const target = event.composedPath()[0];
  if (target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement) return true;
  if (target instanceof HTMLElement && target.isContentEditable) return true;
  if (!(target instanceof HTMLInputElement)) return false;
  const isLetter = event.key?.length === 1 && event.key !== " ";
  return !(NO_LETTERS.includes(target.type) && isLetter);
}

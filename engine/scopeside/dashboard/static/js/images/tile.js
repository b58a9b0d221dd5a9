// One image of the view: a live image whose title is its handle. Double click or Enter makes
// it large, arrow keys and dragging give it another place, Delete takes it away.

import { h } from "../dom.js";
import { LiveImage } from "../image/live_image.js";

const USUAL_BESIDE = 90; // CSS pixels above and below a picture, before it was measured
const NARROWEST = 0.4; // width over height
const WIDEST = 3;

export class Tile extends EventTarget {
  #title;
  #large;
  #gone = h("p.gone", { hidden: true });
  element;
  image;
  key;

  // `entry`: of the catalogue, or {key} of a result that is not there.
  constructor(page, entry) {
    super();
    this.key = entry.key;
    this.isKnown = entry.name !== undefined;
    const group = entry.axes?.length ? `images:${entry.axes.slice(0, 2)}` : null;
    this.image = new LiveImage(page, { key: entry.key, title: titleOf(entry), group });
    this.element = h("section.tile", { "aria-label": titleOf(entry) }, this.image.element, this.#gone);
    this.#title = this.image.element.querySelector(".title") ?? h("strong.title");
    this.#large = h(
      "button.quiet.enlarge",
      { title: "large (Enter on the title; Esc: back)", onclick: () => this.#tell("enlarge") },
      "⤢",
    );
    this.#large.setAttribute("aria-label", `${titleOf(entry)}: large, or back`);
    this.#handle();
    this.image.addEventListener("paint", () => this.#tell("paint"));
  }

  // Width over height of the picture.
  get aspect() {
    return Math.min(WIDEST, Math.max(NARROWEST, this.image.viewport.aspect));
  }

  // What stands above and below the picture, CSS pixels.
  get beside() {
    const { offsetHeight } = this.element;
    return offsetHeight > 0 ? offsetHeight - this.image.overlay.parentElement.offsetHeight : USUAL_BESIDE;
  }

  // Of the picture, CSS pixels; it is as wide as its column, or less.
  set height(pixels) {
    this.element.style.setProperty("--image-height", `${pixels}px`);
  }

  // Say that no such result comes, or that it does.
  set isGone(gone) {
    this.#gone.hidden = !gone;
    this.element.toggleAttribute("data-gone", gone);
    this.#gone.textContent = gone ? `not there: no image ${this.key} has come from this engine` : "";
  }

  set isLarge(large) {
    this.element.toggleAttribute("data-large", large);
    this.#large.textContent = large ? "⤡" : "⤢";
  }

  focus() {
    this.#title.focus();
  }

  #handle() {
    const title = this.#title;
    title.classList.add("tile-title");
    title.tabIndex = 0;
    title.draggable = true;
    title.setAttribute("role", "button");
    title.title = `${this.key}: double click or Enter makes it large, ← → or dragging move it, Del takes it away`;
    title.after(this.#large);
    title.addEventListener("dblclick", () => this.#tell("enlarge"));
    title.addEventListener("keydown", (event) => this.#key(event));
    title.addEventListener("dragstart", (event) => {
      event.dataTransfer.setData("text/x-scopeside-image", this.key);
      event.dataTransfer.effectAllowed = "move";
    });
    this.element.addEventListener("dragover", (event) => {
      if (event.dataTransfer.types.includes("text/x-scopeside-image")) event.preventDefault();
    });
    this.element.addEventListener("drop", (event) => {
      event.preventDefault();
      const key = event.dataTransfer.getData("text/x-scopeside-image");
      if (key && key !== this.key) this.#tell("move", { key, to: this.key });
    });
  }

  #key(event) {
    const does = {
      Enter: () => this.#tell("enlarge"),
      ArrowLeft: () => this.#tell("move", { key: this.key, to: -1 }),
      ArrowRight: () => this.#tell("move", { key: this.key, to: 1 }),
      Delete: () => this.#tell("remove"),
    }[event.key];
    if (does === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    does();
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

// "bf · stem.virtual"
export function titleOf({ key, name, chain, processor }) {
  return name === undefined ? key : `${name} · ${chain}${processor === name ? "" : `.${processor}`}`;
}

// The bar between the movie and the plots: dragged, or moved with the arrow keys, it gives one
// of them more room; kept in this browser.

import { h } from "../dom.js";

const KEPT = "scopeside.insitu.movie"; // height of a picture, percent of the window's
const LEAST = 8;
const MOST = 60;
const STEP = 2;

export class Divider {
  #usual;
  #height;
  #put;
  #from = null; // {y, height} of a drag
  element = h("div.divider", {
    role: "separator",
    tabindex: "0",
    "aria-orientation": "horizontal",
    "aria-label": "height of the movie",
    "aria-valuemin": LEAST,
    "aria-valuemax": MOST,
    title: "drag, or up and down: more room for the movie or for the plots; a double click: as usual",
  });

  // `put(height)` takes the height of a picture in percent of the window's; null: as usual.
  constructor(usual, put) {
    this.#usual = usual;
    this.#put = put;
    const kept = parseFloat(localStorage.getItem(KEPT));
    this.#set(Number.isFinite(kept) ? kept : null);
    const { element } = this;
    element.addEventListener("pointerdown", (event) => {
      element.setPointerCapture(event.pointerId);
      this.#from = { y: event.clientY, height: this.#now };
    });
    element.addEventListener("pointermove", (event) => {
      if (this.#from === null) return;
      this.#set(this.#from.height + (100 * (event.clientY - this.#from.y)) / window.innerHeight);
    });
    for (const ends of ["pointerup", "pointercancel"]) {
      element.addEventListener(ends, () => (this.#from = null));
    }
    element.addEventListener("dblclick", () => this.#set(null));
    element.addEventListener("keydown", (event) => this.#key(event));
  }

  get #now() {
    return this.#height ?? this.#usual();
  }

  #key(event) {
    const does = { ArrowUp: -STEP, ArrowDown: STEP, Home: -MOST, End: MOST };
    const by = does[event.key];
    if (by === undefined || event.altKey || event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.#set(this.#now + by);
  }

  #set(height) {
    this.#height = height === null ? null : Math.min(MOST, Math.max(LEAST, height));
    if (this.#height === null) localStorage.removeItem(KEPT);
    else localStorage.setItem(KEPT, this.#height.toFixed(1));
    this.element.setAttribute("aria-valuenow", Math.round(this.#now));
    this.#put(this.#height);
  }
}

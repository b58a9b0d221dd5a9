// The images side by side: adds, removes and reorders tiles, and makes one of them large.

import { Fitting } from "./layout.js";
import { Tile } from "./tile.js";

export class Grid extends EventTarget {
  #page;
  #element;
  #fitting;
  #tiles = new Map(); // by key
  #large = null; // key
  #isVisible = false;

  // Events: "move" ({key, to}), "remove" ({key}), "tiles" (they are other ones).
  constructor(page, element) {
    super();
    this.#page = page;
    this.#element = element;
    this.#fitting = new Fitting(element);
    element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || this.#large === null) return;
      event.stopPropagation(); // the next Esc lets go of the position
      this.enlarge(null);
    });
  }

  // Show these keys in this order; `known`: entries of the catalogue, by key.
  set(keys, known) {
    const before = this.tiles;
    for (const [key, tile] of this.#tiles) if (!keys.includes(key)) this.#remove(key, tile);
    const tiles = new Map(keys.map((key) => [key, this.#tileOf(key, known.get(key))]));
    for (const [key, tile] of tiles) tile.isGone = !known.has(key);
    this.#tiles = tiles;
    if (before.length === keys.length && this.tiles.every((tile, k) => tile === before[k])) return;
    if (!tiles.has(this.#large)) this.#large = null;
    this.#arrange();
    this.dispatchEvent(new Event("tiles"));
  }

  // Those that are there, in order.
  get tiles() {
    return [...this.#tiles.values()];
  }

  show() {
    this.#isVisible = true;
    this.#arrange();
  }

  hide() {
    this.#isVisible = false;
    for (const tile of this.tiles) tile.image.hide();
  }

  // Make one large, or none.
  enlarge(key) {
    this.#large = key === this.#large ? null : key;
    const before = document.activeElement?.closest(".tile");
    this.#arrange();
    const focused = this.tiles.find(({ element }) => element === before);
    if (focused) focused.focus();
  }

  focus(key) {
    this.#tiles.get(key)?.focus();
  }

  // The tile that is there, or a new one; also where one learns only now what it shows.
  #tileOf(key, entry) {
    const tile = this.#tiles.get(key);
    if (tile !== undefined && (tile.isKnown || entry === undefined)) return tile;
    if (tile !== undefined) this.#remove(key, tile);
    return this.#made(entry ?? { key });
  }

  #made(entry) {
    const tile = new Tile(this.#page, entry);
    tile.addEventListener("enlarge", () => this.enlarge(tile.key));
    tile.addEventListener("remove", () => this.#tell("remove", { key: tile.key }));
    tile.addEventListener("move", ({ detail }) => this.#tell("move", detail));
    return tile;
  }

  #remove(key, tile) {
    tile.image.hide();
    tile.element.remove();
    this.#tiles.delete(key);
  }

  #arrange() {
    const seen = this.tiles.filter(({ key }) => this.#large === null || key === this.#large);
    for (const tile of this.tiles) {
      tile.isLarge = tile.key === this.#large;
      tile.element.hidden = !seen.includes(tile);
      this.#element.append(tile.element); // in order; what is there is moved
      if (this.#isVisible && seen.includes(tile)) tile.image.show();
      else tile.image.hide();
    }
    this.#fitting.tiles = seen;
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

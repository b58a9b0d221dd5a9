// The view of all images: a grid that fills the window, the diffraction pattern of the
// position that one points at, and the results that are no images.

import { h } from "../dom.js";
import { put } from "../image/caption.js";
import { looks } from "../image/looks.js";
import { Choice, chosen, isScanImage, moved } from "./choice.js";
import { Chooser } from "./chooser.js";
import { Grid } from "./grid.js";
import { Link } from "./link.js";
import { Pattern } from "./pattern.js";
import { RecordedFrame } from "./recorded.js";
import { ValuesPanel } from "./values.js";

export const name = "Images";

const KEYS = [
  ["← →", "move the image"],
  ["Enter", "make it large, and small again"],
  ["Esc", "back from large; let go of the position"],
  ["Del", "take it away"],
];
const WAITS = "No image has come yet: the engine's results appear here by themselves.";

export function mount(root, page) {
  const view = new ImagesView(root, page);
  return { show: () => view.show(), hide: () => view.hide() };
}

class ImagesView {
  #choice = new Choice();
  #chooser = new Chooser();
  #values = new ValuesPanel();
  #pattern;
  #recorded;
  #link;
  #grid;
  #images = new Map(); // entries of the catalogue that are images, by key
  #hasHeard = false;
  #choose = h("button", { "aria-expanded": "false", onclick: () => this.#open(!this.#chooser.isOpen) });
  #reset = h("button.quiet", { onclick: () => this.#asAtFirst() }, "Reset contrast, zoom and choice");
  #kept = h("span.kept", { role: "status", hidden: true });
  #nothing = h("p.nothing.dim", {}, WAITS);
  #side;

  constructor(root, page) {
    const room = h("div.room");
    this.#pattern = new Pattern(page);
    this.#link = new Link(this.#pattern);
    this.#grid = new Grid(page, room);
    this.#recorded = new RecordedFrame(page);
    const parts = [this.#pattern, this.#recorded, this.#values];
    this.#side = h("div.side", {}, ...parts.map(({ element }) => element));
    this.#reset.title = "as at first, for all results: this browser keeps them over a reload";
    const bar = h("div.row.bar", {}, this.#choose, this.#reset, this.#kept);
    const main = h("div.main", {}, bar, this.#nothing, room);
    root.append(h("div.images-view", {}, this.#chooser.element, main, this.#side));
    for (const [key, what] of KEYS) page.keys.add(key, what, null, { where: "Titles of images" });
    root.addEventListener("keydown", (event) => event.key === "Escape" && this.#link.unpin());
    this.#listen(page.live, page.standing);
    this.#arrange();
  }

  show() {
    this.#grid.show();
    this.#link.show();
    this.#recorded.show();
    this.#values.show();
  }

  hide() {
    this.#grid.hide();
    this.#link.hide();
    this.#recorded.hide();
    this.#values.hide();
  }

  #listen(live, standing) {
    standing.addEventListener("change", () => put(this.#nothing, standing.startsWords || WAITS));
    live.topic("status", ({ pipeline }) => {
      if (this.#choice.of(pipeline ?? "")) this.#arrange();
      else this.#seeSide(); // whether something is recorded may be another matter now
    });
    live.topic("catalogue", (catalogue) => this.#hear(catalogue));
    live.topic("values", (values) => {
      this.#values.set(values);
      this.#seeSide();
    });
    for (const one of [looks, chosen]) one.addEventListener("trouble", () => this.#sayKept());
    this.#sayKept();
    this.#grid.addEventListener("move", ({ detail }) => this.#move(detail));
    this.#grid.addEventListener("remove", ({ detail }) => this.#tick(detail.key, false));
    this.#chooser.addEventListener("move", ({ detail }) => this.#move(detail));
    this.#chooser.addEventListener("tick", ({ detail }) => this.#tick(detail.key, detail.on));
    this.#chooser.addEventListener("usual", () => this.#set(null));
    this.#chooser.addEventListener("close", () => {
      this.#open(false);
      this.#choose.focus();
    });
  }

  #hear(catalogue) {
    const images = new Map();
    for (const entry of catalogue) {
      if (entry.kind === "image") images.set(entry.key, entry);
      // An image that has no value now says so as an event; it stays an image.
      else if (!entry.valid && this.#images.has(entry.key)) images.set(entry.key, this.#images.get(entry.key));
    }
    this.#images = images;
    this.#hasHeard = true;
    this.#arrange();
  }

  get #keys() {
    return this.#hasHeard ? this.#choice.keys([...this.#images.values()]) : [];
  }

  #set(keys) {
    this.#choice.set(keys);
    this.#arrange();
  }

  #asAtFirst() {
    looks.clear();
    chosen.clear();
    this.#set(null);
  }

  // What this browser should have kept, and has not.
  #sayKept() {
    const trouble = [looks.trouble, chosen.trouble].filter(Boolean).join("; ");
    put(this.#kept, trouble);
    this.#kept.hidden = trouble === "";
  }

  #tick(key, on) {
    const keys = this.#keys.filter((one) => one !== key);
    this.#set(on ? [...keys, key] : keys);
  }

  #move({ key, to }) {
    const isOnTile = document.activeElement?.closest(".tile") !== null;
    this.#set(moved(this.#keys, key, to));
    if (isOnTile) this.#grid.focus(key);
  }

  #open(open) {
    this.#chooser.isOpen = open;
    this.#choose.setAttribute("aria-expanded", String(open));
    if (open) this.#tellChooser();
  }

  #tellChooser() {
    this.#chooser.set(this.#keys, [...this.#images.values()], this.#choice.isUsual);
  }

  #arrange() {
    const keys = this.#keys;
    this.#grid.set(keys, this.#images);
    this.#choose.textContent = `Choose images (${keys.length} of ${this.#images.size})`;
    this.#nothing.hidden = keys.length > 0;
    this.#tellChooser();
    const scans = this.#grid.tiles.filter(({ key }) => isScanImage(this.#images.get(key) ?? {}));
    this.#link.images = scans.map(({ image }) => image);
    this.#pattern.element.hidden = scans.length === 0;
    this.#seeSide();
  }

  #seeSide() {
    const parts = [this.#pattern, this.#recorded, this.#values];
    this.#side.hidden = parts.every(({ element }) => element.hidden);
  }
}

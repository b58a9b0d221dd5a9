// The images of the processors whose detectors are drawn: each says with which version of
// the parameters it was made.

import { h } from "../dom.js";
import { put } from "../image/caption.js";
import { LiveImage } from "../image/live_image.js";

const MOST = 8; // live images at once: the browser shares its cores with the engine

export class Images {
  #page;
  #model;
  #shown = new Map(); // key -> {image, said, element}
  #visible = false;
  #grid = h("div.grid");
  #note = h("p.dim");
  #said = ""; // on what there is and is not

  constructor(page, model) {
    this.#page = page;
    this.#model = model;
    this.element = h("div.panel.made", {}, h("h2", {}, "What they see"), this.#grid, this.#note);
    page.live.topic("catalogue", (catalogue) => this.#offer(catalogue));
    model.addEventListener("forms", () => this.#offer(page.live.last("catalogue") ?? []));
    model.addEventListener("state", () => this.#sayAll());
    page.standing.addEventListener("change", () => this.#noteAt());
  }

  show() {
    this.#visible = true;
    for (const { image } of this.#shown.values()) image.show();
  }

  hide() {
    this.#visible = false;
    for (const { image } of this.#shown.values()) image.hide();
  }

  #offer(catalogue) {
    const live = this.#model.forms.processors.filter((form) => form.live);
    live.sort((a, b) => (b.kind === "virtual") - (a.kind === "virtual"));
    const mine = live.flatMap(({ name }) =>
      catalogue.filter(({ chain, processor }) => name === `${chain}.${processor}`),
    );
    const images = mine.filter(({ kind, shape }) => kind === "image" && shape?.length >= 2);
    const keys = images.slice(0, MOST).map(({ key }) => key);
    for (const [key, one] of this.#shown) if (!keys.includes(key)) this.#remove(key, one);
    for (const key of keys) if (!this.#shown.has(key)) this.#add(key);
    this.#grid.append(...keys.map((key) => this.#shown.get(key).element));
    this.#said = noteOn(mine, images);
    this.#noteAt();
  }

  #noteAt() {
    const starts = this.#shown.size === 0 ? this.#page.standing.startsWords : "";
    put(this.#note, starts || this.#said);
  }

  #add(key) {
    const image = new LiveImage(this.#page, { key, hz: 8, title: key, compact: true });
    const said = h("p.said.number", { "data-version-of": key });
    const element = h("div", {}, image.element, said);
    image.addEventListener("paint", () => this.#say(key));
    this.#shown.set(key, { image, said, element });
    this.#grid.append(element);
    if (this.#visible) image.show();
  }

  #remove(key, { image, element }) {
    image.hide();
    element.remove();
    this.#shown.delete(key);
  }

  #sayAll() {
    for (const key of this.#shown.keys()) this.#say(key);
  }

  #say(key) {
    const { image, said } = this.#shown.get(key);
    if (image.header === null) return;
    const { params, params_from: from, chain, processor } = image.header;
    const now = this.#model.processors.get(`${chain}.${processor}`)?.told.version ?? params;
    const late = now > params ? `; version ${now} is not in it yet` : "";
    const since = from > 0 ? `since frame ${from.toLocaleString("en")}` : "since its first frame";
    const text = `version ${params ?? "?"} ${since}${late}`;
    if (said.textContent !== text) said.textContent = text;
  }
}

function noteOn(mine, images) {
  if (images.length > MOST) return `${images.length - MOST} more are in the view Images.`;
  if (images.length > 0) return "";
  if (mine.length > 0) return "Without a scan these processors give no images.";
  return "No image yet of a processor that can change while it runs.";
}

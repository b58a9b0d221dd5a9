// One picture of the movie: which result it shows, or in words how to get one.

import { h } from "../dom.js";
import { LiveImage } from "../image/live_image.js";
import { Markers } from "./markers.js";

const NOTES = { frame: "mean of the last frames" };

export class Pane {
  #page;
  #record;
  #shows;
  #roles;
  #help;
  #title;
  #image = null;
  #markers = null;
  #chosen = null;
  #byHand = null; // a key that somebody has chosen
  #isShown = false;
  #select;
  #host = h("div.picture");
  onpick = () => {};
  onpaint = () => {};
  element;
  choice; // a control to show another result
  frame = -1; // that is shown

  // `roles`: what it may show, the best first; `help`: an element that says how to get it.
  constructor(page, record, { name, title, roles, help, shows }) {
    this.#page = page;
    this.#record = record;
    this.#shows = shows;
    this.#roles = roles;
    this.#help = help;
    this.#title = title;
    this.#select = h("select", { "aria-label": `result shown as ${title}`, onchange: () => this.#choose() });
    this.element = h(`div.pane.${name}`, {}, this.#host);
    this.choice = h("label", { hidden: true }, `${title}: `, this.#select);
    this.#host.append(h("h2", {}, title), help);
  }

  show() {
    this.#isShown = true;
    this.#image?.show();
  }

  hide() {
    this.#isShown = false;
    this.#image?.hide();
  }

  // Take what is new in the record.
  update() {
    const images = this.#record.told?.images ?? [];
    this.#offer(images);
    const found = this.#found(images);
    if (found !== null) this.#have(found);
    this.#markers?.draw();
  }

  // Put the marks where the content is.
  move() {
    this.#markers?.move();
  }

  // Mark an event, and have it in the middle as far as the picture is zoomed.
  choose(event, zoom = 1) {
    this.#chosen = event;
    if (this.#markers === null) return;
    this.#markers.chosen = event;
    const at = event === null ? null : this.#markers.placeOf(event);
    if (at === null || !this.#image.follow) return;
    this.#image.follow({ zoom: Math.max(zoom, this.#image.viewport.zoom), centre: at });
  }

  // ---------------------------------------------------------------------------

  #found(images) {
    if (this.#byHand !== null && images.some((one) => one.key === this.#byHand)) {
      return images.find((one) => one.key === this.#byHand);
    }
    for (const role of this.#roles) {
      const found = images.find((one) => one.role === role);
      if (found !== undefined) return found;
    }
    return null;
  }

  #have({ key, role }) {
    if (this.#image?.key !== key) this.#make(key);
    if (this.element.dataset.role === role) return;
    this.element.dataset.role = role;
    this.#image.title = [this.#title, NOTES[role]].filter(Boolean).join(", ");
  }

  #make(key) {
    this.#image?.hide();
    this.#image = new LiveImage(this.#page, { key, hz: 8, title: this.#title });
    this.#markers = new Markers(this.#image, this.#record, this.#shows);
    this.#markers.chosen = this.#chosen;
    this.#image.addEventListener("pick", ({ detail }) => {
      const event = this.#markers.near(detail);
      if (event !== null) this.onpick(event);
    });
    this.#image.addEventListener("paint", ({ detail }) => this.#painted(detail));
    this.#host.replaceChildren(this.#image.element);
    if (this.#isShown) this.#image.show();
  }

  #painted({ acq, frame, meta }) {
    if (meta?.drift) this.#record.view = { acq, frame, drift: meta.drift };
    this.frame = frame;
    this.onpaint();
  }

  #offer(images) {
    this.choice.hidden = images.length < 2;
    const usual = this.#found(images)?.key ?? "";
    const keys = images.map((one) => one.key);
    const known = [...this.#select.options].map((option) => option.value);
    if (keys.join() !== known.join()) {
      this.#select.replaceChildren(...keys.map((key) => h("option", { value: key }, key)));
    }
    if (document.activeElement !== this.#select) this.#select.value = usual;
  }

  #choose() {
    this.#byHand = this.#select.value;
    this.update();
  }
}

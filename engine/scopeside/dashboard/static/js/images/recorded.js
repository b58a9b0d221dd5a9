// A frame of the recording by its number, of a movie or a tilt series: also while it grows.

import { question } from "../ask.js";
import { h } from "../dom.js";
import { put } from "../image/caption.js";
import { LiveImage } from "../image/live_image.js";
import { clock, whole } from "../image/units.js";
import { pictureOf } from "../live.js";

const EVERY_MS = 2000; // how far the recording has come
const PAUSE_MS = 100; // between two frames, while the slider is dragged

export class RecordedFrame {
  #image;
  #acquisition = null;
  #timer = null;
  #isSeen = false;
  #wanted = null;
  #isAsking = false;
  #slider = this.#control("range", "frame of the recording");
  #number = this.#control("number", "number of the frame");
  #says = h("p.says", { role: "status" });
  element;

  constructor(page) {
    this.#image = new LiveImage(page, { key: "recorded", title: "recorded frame" });
    this.#image.element.hidden = true;
    this.#image.keep();
    this.element = h(
      "section.panel.recorded",
      { hidden: true, "aria-label": "recorded frame" },
      h("h2", {}, "Frame of the recording"),
      h("div.row", {}, this.#slider, this.#number),
      this.#image.element,
      this.#says,
    );
    page.live.topic("status", (status) => this.#hear(status));
  }

  show() {
    this.#isSeen = true;
    this.#turn();
  }

  hide() {
    this.#isSeen = false;
    this.#turn();
  }

  // There is something to show where frames are recorded and have no position.
  #hear({ open, acquisitions, record }) {
    const known = { ...acquisitions, ...open };
    const recorded = { ...record?.folders, ...record?.open };
    const hasNoPlaces = ({ acquisition }) => acquisition !== undefined && !acquisition.scan;
    const isOne = (name) => name in recorded && hasNoPlaces(known[name]);
    const newest = Object.keys(known).filter(isOne).at(-1) ?? null;
    if (newest === this.#acquisition) return;
    this.#acquisition = newest;
    this.element.hidden = newest === null;
    this.#image.element.hidden = true;
    put(this.#says, newest === null ? "" : `Choose a frame of ${newest} by slider or number.`);
    this.#turn();
  }

  #turn() {
    clearInterval(this.#timer);
    this.#timer = null;
    if (!this.#isSeen || this.#acquisition === null) return;
    this.#timer = setInterval(() => this.#measure(), EVERY_MS);
    this.#measure();
  }

  async #measure() {
    const acquisition = this.#acquisition;
    try {
      const { last } = await question("recording", { acquisition });
      if (acquisition !== this.#acquisition) return;
      for (const one of [this.#slider, this.#number]) one.max = Math.max(0, last);
      this.#number.title = `0 to ${whole(Math.max(0, last))} are recorded by now`;
    } catch (error) {
      if (this.#image.element.hidden) put(this.#says, error.message);
    }
  }

  #control(type, label) {
    const value = { type, min: 0, max: 0, step: 1, value: 0, "aria-label": label };
    return h(`input.${type}`, { ...value, oninput: (event) => this.#chosen(event.target) });
  }

  #chosen({ value }) {
    const frame = Number(value);
    if (value.trim() === "" || !Number.isInteger(frame) || frame < 0) return;
    for (const one of [this.#slider, this.#number]) {
      if (one !== document.activeElement) one.value = frame;
    }
    this.#wanted = frame;
    this.#ask();
  }

  async #ask() {
    if (this.#isAsking) return;
    this.#isAsking = true;
    while (this.#wanted !== null) {
      const frame = this.#wanted;
      this.#wanted = null;
      await this.#answer(frame);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
    this.#isAsking = false;
  }

  async #answer(frame) {
    const acquisition = this.#acquisition;
    try {
      const { header, pixels } = pictureOf(await question("pattern", { acquisition, frame }));
      this.#image.element.hidden = false;
      this.element.removeAttribute("data-old");
      const taken = header.t_frame_ms ? `, taken at ${clock(header.t_frame_ms)}` : "";
      put(this.#says, `Frame ${whole(header.frame)} of the recording of ${header.acq}${taken}.`);
      await this.#image.paint(header, pixels);
    } catch (error) {
      put(this.#says, `no frame ${whole(frame)}: ${error.message}`);
      this.element.setAttribute("data-old", "");
    }
  }
}

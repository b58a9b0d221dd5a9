// The tools of an image: contrast, line profile, freeze, whole view, snapshot, planes.

import { h, svg } from "../dom.js";
import { ContrastPanel } from "./contrast_panel.js";
import { PlaneChoice } from "./plane_choice.js";
import { Profile } from "./profile.js";
import { saveSnapshot } from "./snapshot.js";

const ICONS = {
  contrast: ["M8 1.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 1 0 0-13", "M8 1.5v13a6.5 6.5 0 0 0 0-13z"],
  profile: ["M2 14L14 2", "M2 5h5M9 11h5"],
  freeze: ["M5 2.5v11M11 2.5v11"],
  whole: ["M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4"],
  snapshot: ["M8 2v8M4.5 7L8 10.5L11.5 7", "M2 13.5h12"],
};

const KEYS = [
  ["arrows", "move the cursor; with Shift by 10 pixels"],
  ["Enter", "pick the pixel at the cursor"],
  ["+ −", "zoom"],
  ["0", "the whole image"],
  ["Space", "held: drag to pan"],
  ["c", "contrast and colours"],
  ["p", "line profile from the cursor; Esc ends it"],
  ["f", "freeze, and go on"],
  ["s", "save as PNG"],
];

export class Tools {
  #image;
  #stage;
  #contrast;
  #planes;
  #buttons = {};
  #failure = h("p.failure", { role: "alert", hidden: true });
  panels; // they open under the image
  planes; // the choice of a plane, above it
  element;

  constructor(image, levels, stage) {
    this.#image = image;
    this.#stage = stage;
    this.#contrast = new ContrastPanel(image, levels);
    this.#planes = new PlaneChoice(image);
    this.profile = new Profile(image, stage);
    this.planes = this.#planes.element;
    this.panels = h(
      "div.panels",
      {},
      this.#contrast.element,
      this.profile.element,
      this.#failure,
    );
    this.element = h(
      "div.tools",
      { role: "toolbar", "aria-label": "tools of the image" },
      this.#button("contrast", "contrast and colours (key c)", () => this.#turnContrast()),
      this.#button("profile", "line profile: drag on the image (key p)", () => this.#turnProfile()),
      this.#button("freeze", "freeze the picture (key f)", () => this.#turnFreeze()),
      this.#button("whole", "show the whole image (key 0)", () => this.#whole()),
      this.#button("snapshot", "save as PNG with what is known of it (key s)", () => this.#save()),
    );
  }

  // A picture was painted.
  painted(values) {
    this.#contrast.painted();
    this.profile.painted();
    this.#planes.painted(values);
  }

  // The cursor was moved by keyboard.
  moved(at) {
    if (this.profile.isOn) this.profile.moved(at);
  }

  // Take a key that was pressed on the image; returns whether it was one of ours.
  key(key, cursor) {
    const does = {
      c: () => this.#turnContrast(),
      f: () => this.#turnFreeze(),
      s: () => this.#save(),
      p: () => this.#turnProfile(cursor),
      Escape: this.profile.isOn ? () => this.#turnProfile() : undefined,
    }[key];
    does?.();
    return does !== undefined;
  }

  #button(name, title, onclick) {
    const paths = ICONS[name].map((d, i) => svg("path", { d, class: i ? "second" : "first" }));
    const drawn = { viewBox: "0 0 16 16", class: `icon ${name}`, "aria-hidden": "true" };
    const icon = svg("svg", drawn, ...paths);
    const label = title.replace(/ \(key .\)/, "");
    const button = h("button.quiet", { type: "button", title, "aria-label": label, onclick }, icon);
    this.#buttons[name] = button;
    return button;
  }

  #turnContrast() {
    const { element } = this.#contrast;
    element.hidden = !element.hidden;
    this.#buttons.contrast.setAttribute("aria-expanded", String(!element.hidden));
    if (!element.hidden) this.#contrast.refresh();
  }

  #turnProfile(cursor = null) {
    this.profile.turn(!this.profile.isOn, cursor);
    this.#buttons.profile.setAttribute("aria-pressed", String(this.profile.isOn));
  }

  #turnFreeze() {
    this.#image.frozen = !this.#image.frozen;
    this.#buttons.freeze.setAttribute("aria-pressed", String(this.#image.frozen));
  }

  #whole() {
    this.#stage.viewport.reset();
    this.#image.viewed();
  }

  async #save() {
    this.#failure.hidden = true;
    try {
      await saveSnapshot(this.#image);
    } catch (error) {
      this.#failure.textContent = `no snapshot: ${error.message}`;
      this.#failure.hidden = false;
    }
  }
}

const told = new WeakSet(); // pages whose list of keys has ours

// Have the keys of images in the page's list, once.
export function tellKeys({ keys }) {
  if (keys === undefined || told.has(keys)) return;
  told.add(keys);
  for (const [key, what] of KEYS) keys.add(key, what, null, { where: "Images with the focus" });
}

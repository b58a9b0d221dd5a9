// The diffraction pattern of a position of the scan, and where it is from.

import { h } from "../dom.js";
import { LiveImage } from "../image/live_image.js";

export class Pattern extends EventTarget {
  #image;
  #says = h("p.says", { role: "status" });
  #why = h("p.why", { hidden: true });
  #let = h("button", { hidden: true, onclick: () => this.dispatchEvent(new Event("unpin")) }, "let go");
  element;

  // Event: "unpin".
  constructor(page) {
    super();
    // It is painted with answers to questions; in the group of what the camera sees.
    this.#image = new LiveImage(page, { key: "pattern", title: "pattern", group: "images:y,x" });
    this.#image.element.hidden = true;
    this.#image.keep();
    this.#let.title = "follow the pointer again (Esc)";
    this.element = h(
      "section.panel.pattern",
      { "aria-label": "diffraction pattern" },
      h("div.row", {}, h("h2", {}, "Diffraction pattern"), this.#let),
      this.#image.element,
      this.#says,
      this.#why,
    );
    this.invite();
  }

  // Say what to do, as long as nothing was asked.
  invite() {
    this.#says.textContent =
      "Point at a position of a scan image to see its pattern here; a click (or Enter on the " +
      "cursor of the arrow keys) keeps it.";
  }

  set isPinned(pinned) {
    this.#let.hidden = !pinned;
    this.element.toggleAttribute("data-pinned", pinned);
  }

  paint(header, pixels) {
    this.#image.element.hidden = false;
    this.element.removeAttribute("data-old");
    this.#says.textContent = captionOf(header);
    const why = header.pattern.not_recorded ?? "";
    this.#why.textContent = why && `not from the recording: ${why}`;
    this.#why.hidden = why === "";
    return this.#image.paint(header, pixels);
  }

  // Say why there is none; what was painted before is of another position, and greyed.
  refuse(at, reason) {
    this.#says.textContent = `no pattern at ${placeOf(at)}`;
    this.#why.textContent = reason;
    this.#why.hidden = false;
    this.element.setAttribute("data-old", "");
  }
}

// "row 12, column 40"
export function placeOf({ row, column, scan }) {
  return `row ${row}, column ${column}${scan > 0 ? `, scan ${scan}` : ""}`;
}

// "pattern at row 12, column 40, from the recording", or how far the sample's is away.
export function captionOf({ pattern, acq }) {
  const place = `Pattern at ${placeOf(pattern)}`;
  if (pattern.from === "recording") return `${place}, from the recording of ${acq}.`;
  const away = pattern.away.toLocaleString("en", { maximumFractionDigits: 1 });
  const positions = pattern.away === 1 ? "position" : "positions";
  const far = pattern.away === 0 ? "exactly the one" : `${away} ${positions} away from the one`;
  const kept = pattern.kept.toLocaleString("en");
  const of = pattern.of === null ? "" : ` of ${pattern.of.toLocaleString("en")}`;
  return `${place}, ${far} you point at. From a sample: ${kept}${of} positions of ${acq}.`;
}

// The diffraction pattern of a position of the scan, and where it is from.

import { h } from "../dom.js";
import { LiveImage } from "../image/live_image.js";
import { quantity, whole } from "../image/units.js";

export class Pattern extends EventTarget {
  #image;
  #says = h("p.says", { role: "status" });
  #why = h("p.why", { hidden: true });
  #where = h("input", { type: "checkbox", onchange: () => this.#asks() });
  #there = h("p.there.dim.number", { role: "status", hidden: true });
  #let = h("button", { hidden: true, onclick: () => this.dispatchEvent(new Event("unpin")) }, "let go");
  element;

  // Events: "unpin", "where" (whether `showsWhere` has changed).
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
      h("label.where", {}, this.#where, "show which positions have a pattern"),
      this.#there,
    );
    this.invite();
  }

  // Whether a person wants to see which positions have a pattern.
  get showsWhere() {
    return this.#where.checked;
  }

  // Say how many have one: the answer to "patterns", or why there is none.
  tellWhere({ kept, of, from, left_out: leftOut, error }) {
    const source = from === "recording" ? "recorded" : "in the sample";
    const some = `${whole(kept ?? 0)} of ${whole(of ?? 0)} positions ${source}`;
    this.#there.textContent = error ?? some + (leftOut ? ", not all are drawn" : "");
    this.#there.hidden = false;
  }

  #asks() {
    this.#there.hidden = true;
    this.dispatchEvent(new Event("where"));
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

  // `step`: {size, unit} of a position of the scan, or null.
  paint(header, pixels, step = null) {
    this.#image.element.hidden = false;
    this.element.removeAttribute("data-old");
    this.#says.textContent = captionOf(header, step);
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
export function captionOf({ pattern, acq }, step) {
  const place = `Pattern at ${placeOf(pattern)}`;
  if (pattern.from === "recording") return `${place}, from the recording of ${acq}.`;
  const away = pattern.away.toLocaleString("en", { maximumFractionDigits: 1 });
  const positions = pattern.away === 1 ? "position" : "positions";
  const length = lengthWords(pattern, step);
  const far = pattern.away === 0 ? "exactly the one" : `${away} ${positions}${length} away from the one`;
  const small = pattern.binning > 1 ? ` Small: ${pattern.binning} × ${pattern.binning} pixels are one.` : "";
  const kept = pattern.kept.toLocaleString("en");
  const of = pattern.of === null ? "" : ` of ${pattern.of.toLocaleString("en")}`;
  return `${place}, ${far} you point at. From a sample: ${kept}${of} positions of ${acq}.${small}`;
}

// " (2.4 nm)": how far the pattern's position lies from the one that was asked for.
function lengthWords({ row, column, asked }, step) {
  if (!step) return "";
  const [down, across] = step.size;
  return ` (${quantity(Math.hypot((row - asked[0]) * down, (column - asked[1]) * across), step.unit)})`;
}

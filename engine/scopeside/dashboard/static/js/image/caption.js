// What an image says of itself: how many frames it stands on, and how old it is.

import { h } from "../dom.js";
import { ageWords, quantity, whole } from "./units.js";
import { tallOf } from "./viewport.js";

const OLD_MS = 2000;
const OLD_UPDATES = 5;

// Notes when pictures come, and so knows when one is overdue.
export class Freshness {
  #at = null; // performance.now() of the last one
  #every = 0; // ms between two, smoothed
  #acq = null;
  #number = null;

  heard(header) {
    if (header.number === this.#number && header.acq === this.#acq) return; // once more
    this.#number = header.number;
    const now = performance.now();
    if (this.#at !== null && this.#acq === header.acq) {
      const since = now - this.#at;
      this.#every = this.#every === 0 ? since : this.#every + 0.2 * (since - this.#every);
    } else this.#every = 0;
    this.#at = now;
    this.#acq = header.acq;
  }

  // Whether more should have come by now.
  isOverdue(header) {
    if (header.final || this.#at === null) return false;
    return performance.now() - this.#at > Math.max(OLD_MS, OLD_UPDATES * this.#every);
  }
}

// "1,024 of 4,096 frames"; of a picture that is one frame which it is: "frame 12,345"
export function framesWords({ used, expected, frame }) {
  if (used === undefined || used === null) return "";
  if (used === 1 && expected === 1 && frame >= 0) return `frame ${whole(frame)}`;
  const frames = (count) => `${whole(count)} ${count === 1 ? "frame" : "frames"}`;
  return typeof expected === "number" ? `${whole(used)} of ${frames(expected)}` : frames(used);
}

// "live", "3 s old", "complete", "complete, 3 frames missing", "ended, 4,729 of 16,384 let go"
export function stateWords(header, ageMs, letGo = 0) {
  if (header.valid === false) return "invalid";
  if (header.final) return endWords(header, letGo);
  if (ageMs === null) return "";
  return ageMs < 1500 ? "live" : ageWords(ageMs);
}

// `letGo`: frames that the chain's edge let go, as it is asked to; they are no loss.
function endWords({ used, expected }, letGo) {
  const missing = typeof expected === "number" ? Math.max(0, expected - used) : 0;
  const lost = Math.max(0, missing - letGo);
  const gone = Math.min(missing, letGo);
  const frames = lost === 1 ? "frame" : "frames";
  const words = [
    gone > 0 ? "ended" : "complete",
    gone > 0 ? `${whole(gone)} of ${whole(expected)} let go` : "",
    lost > 0 ? `${whole(lost)} ${frames} missing` : "",
  ];
  return words.filter(Boolean).join(", ");
}

export class Caption {
  #title = h("strong.title");
  #frames = h("span.frames.number");
  #version = h("span.version.number");
  #pixel = h("span.pixel.number");
  #state = h("span.state.number");
  element = h("div.caption", {}, this.#title, this.#frames, this.#version, this.#state, this.#pixel);

  title(text) {
    this.#title.textContent = text;
    this.#title.title = text;
  }

  // Say what is known of a picture of this age.
  say(header, ageMs, letGo) {
    put(this.#frames, framesWords(header));
    put(this.#version, header.params > 1 ? `parameters v${header.params}` : "");
    this.#version.title =
      typeof header.params_from === "number" ? `from frame ${whole(header.params_from)}` : "";
    put(this.#state, stateWords(header, ageMs, letGo));
    put(this.#pixel, pixelWords(header.pixel));
    this.element.title = [header.key, header.acq].filter(Boolean).join(" · ");
  }
}

// Of pixels that are not square, "pixel 0.2 nm high, 0.1 nm wide"; empty for all others.
export function pixelWords(pixel) {
  if (!pixel) return "";
  const [high, wide] = pixel.size;
  if (Math.abs(high - wide) < 0.01 * wide) return "";
  const [down, across] = pixel.size.map((size) => quantity(size, pixel.unit));
  const drawn = tallOf(pixel) === 1 ? ", drawn square" : "";
  return `pixel ${down} high, ${across} wide${drawn}`;
}

// Change a text only if it is another one: the browser then lays out nothing.
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

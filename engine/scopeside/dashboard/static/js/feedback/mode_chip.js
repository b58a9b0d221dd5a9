// The mode of feedback in the header, in every view: never told by colour alone.

import { h } from "../dom.js";
import { clockOf, secondsOf } from "./times.js";

const SHAPES = { observe: "○", advise: "◇", armed: "▲", parked: "■", lost: "✕" };
const TURN_MS = 500;

export class ModeChip {
  #page;
  #guard = null;
  #shape = h("span.shape", { "aria-hidden": "true" });
  #text = h("span.number");
  element = h("button.mode-chip", { id: "mode-chip", hidden: true }, this.#shape, this.#text);

  constructor(page) {
    this.#page = page;
    this.element.title = "mode of feedback: go to its view";
    this.element.addEventListener("click", () => page.show("Feedback"));
    page.live.addEventListener("state", () => this.#say());
    setInterval(() => this.#say(), TURN_MS);
  }

  hear(guard) {
    this.#guard = guard;
    this.#say();
  }

  #say() {
    const guard = this.#guard;
    this.element.hidden = guard === null;
    document.documentElement.toggleAttribute("data-armed", isArmed(guard, this.#page.live));
    if (guard === null) return;
    const mode = modeOf(guard, this.#page.live);
    const text = textOf(mode, guard, this.#page.live);
    if (this.element.dataset.mode !== mode) this.element.dataset.mode = mode;
    if (this.#shape.textContent !== SHAPES[mode]) this.#shape.textContent = SHAPES[mode];
    if (this.#text.textContent !== text) this.#text.textContent = text;
  }
}

// observe, advise, armed, parked; lost: nobody knows.
export function modeOf(guard, live) {
  // Another process may serve the page since, which has not heard of a guard yet.
  const isUntold = live.state === "lost" || live.last("guard") === undefined;
  if (isUntold || guard === null || guard.silent_s !== null) return "lost";
  return guard.mode in SHAPES ? guard.mode : "lost";
}

function isArmed(guard, live) {
  return guard !== null && modeOf(guard, live) === "armed";
}

function textOf(mode, guard, live) {
  switch (mode) {
    case "armed":
      return `ARMED ${clockOf(-live.ageMs(guard.armed_until_ms))} left`;
    case "parked":
      return `PARKED: ${(guard.parked?.cause ?? "").replaceAll("_", " ")}`;
    case "lost":
      if (live.state === "lost" || guard.silent_s === null) return "MODE UNKNOWN";
      return `GUARD SILENT ${secondsOf(1000 * guard.silent_s)}`;
    default: {
      const count = guard.waiting.length;
      return mode.toUpperCase() + (count > 0 ? ` · ${count} waiting` : "");
    }
  }
}

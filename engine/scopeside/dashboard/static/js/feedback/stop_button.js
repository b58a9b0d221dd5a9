// A button that stops at the first press, and says what has come of it.

import { MAY_ONLY_LOOK, mayChange } from "../ask.js";
import { h, svg } from "../dom.js";
import { askToStop } from "./stop_ask.js";

const SOON_MS = 1000; // without an answer by then a person is told not to wait
const STAYS_MS = 3000; // so long it says that it was done, whatever the mode

const OWN_CONTROLS = "the microscope's own controls";

export class StopButton extends EventTarget {
  #word = h("span.word");
  #note = h("span.note.number");
  #asked = 0; // counts presses: the answer to an older one says nothing any more
  #done = 0; // when it was done, 0: it is not
  element;

  // `what`: hold or blank; `done`: what to say then; `key`: as a person reads it.
  constructor(what, done, key) {
    super();
    this.what = what;
    this.done = done;
    this.element = h(
      `button.stop.${what}`,
      { id: what, onclick: () => this.press() },
      shapeOf(what),
      h("span.words", {}, this.#word, this.#note),
    );
    this.key = key;
    this.element.disabled = !mayChange();
    this.element.title = mayChange() ? TITLES[what] : MAY_ONLY_LOOK;
    this.#become("ready", what.toUpperCase(), `key ${key}`);
  }

  // Ask, at once.
  async press() {
    const number = (this.#asked += 1);
    const began = performance.now();
    this.#done = 0;
    this.#become("asked", askedTo(this.what), "no answer yet");
    this.#tell("");
    const soon = setTimeout(() => {
      if (number === this.#asked) {
        const asked = `Asked to ${this.what}: no answer yet. `;
        this.#tell(`${asked}Do not wait for it: use ${OWN_CONTROLS}.`);
      }
    }, SOON_MS);
    try {
      this.#answered(number, await askToStop(this.what), performance.now() - began);
    } catch (error) {
      this.#failed(number, error);
    } finally {
      clearTimeout(soon);
    }
  }

  // Take note of the mode: what was done is over when a person has armed or advised.
  hear(guard) {
    const over = performance.now() - this.#done > STAYS_MS && guard?.mode !== "parked";
    if (this.#done > 0 && over) {
      this.#done = 0;
      this.#become("ready", this.what.toUpperCase(), `key ${this.key}`);
    }
  }

  #answered(number, answer, tookMs) {
    if (number !== this.#asked) return;
    if (answer.state === "done") {
      this.#done = performance.now();
      this.#become("done", this.done, `in ${tookMs.toFixed(0)} ms`);
      this.#tell("");
    } else {
      this.#become("failed", "NOT CONFIRMED", `key ${this.key}: again`);
      this.#tell(answer.words);
    }
  }

  #failed(number, error) {
    if (number !== this.#asked) return;
    this.#become("failed", "NOT CONFIRMED", `key ${this.key}: again`);
    const why = error instanceof TypeError ? "the page's server does not answer" : error.message;
    this.#tell(
      `NOT CONFIRMED: use 'scopeside ${this.what}' or ${OWN_CONTROLS}.\n` +
        `Asked to ${this.what}: ${why}.`,
    );
  }

  #become(state, word, note) {
    this.element.dataset.state = state;
    this.#word.textContent = word;
    this.#note.textContent = note;
  }

  #tell(text) {
    this.dispatchEvent(new CustomEvent("tell", { detail: text }));
  }
}

const TITLES = {
  hold: "hold (key h): nothing is sent to the microscope any more; the beam stays as it is",
  blank: "blank (key Shift+B): the beam is blanked, and nothing is sent any more",
};

function askedTo(what) {
  return what === "hold" ? "asked to hold …" : "asked to blank …";
}

// Two bars in an octagon, and a beam that is stopped: told apart without colour.
function shapeOf(what) {
  const line = { fill: "none", stroke: "currentColor", "stroke-width": 2 };
  const hold = [
    svg("path", { d: "M7 1.5h10l5.5 5.5v10l-5.5 5.5H7L1.5 17V7z", ...line }),
    svg("path", { d: "M9 7v10M15 7v10", ...line, "stroke-width": 3 }),
  ];
  const blank = [
    svg("circle", { cx: 12, cy: 12, r: 10, ...line }),
    svg("path", { d: "M12 2v7M5 12h14", ...line, "stroke-width": 3 }),
  ];
  const shape = { class: "shape", viewBox: "0 0 24 24", "aria-hidden": "true" };
  return svg("svg", shape, ...(what === "hold" ? hold : blank));
}

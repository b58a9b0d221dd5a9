// A button that asks the guard something, and a line that says what has come of it.

import { command, MAY_ONLY_LOOK, mayChange } from "../ask.js";
import { h } from "../dom.js";

const SHAPES = { asked: "…", done: "✓", refused: "⊘", failed: "✕", not_confirmed: "?" };

// What has come of a request: by shape and word, never by colour alone.
export class AnswerLine {
  #words = "";
  element = h("p.answer", { role: "status", hidden: true });

  say(state, words) {
    this.#words = words;
    this.element.hidden = words === "";
    this.element.dataset.state = state;
    const shape = h("span.shape", { "aria-hidden": "true" }, SHAPES[state] ?? "");
    this.element.replaceChildren(shape, words);
  }

  // The mode is another one now: what was done before is no longer so ("ARMED until …" of one
  // that is parked), unless it is what has brought it here.
  moved(mode) {
    const isPast = this.element.dataset.state === "done" && !this.#words.startsWith(mode);
    if (isPast) this.say("", "");
  }

  // Ask, and say what has come of it; resolves to the answer, null if there is none.
  async ask(name, body) {
    this.say("asked", "asked …");
    try {
      const answer = await command(name, body);
      this.say(answer.state, answer.words);
      return answer;
    } catch (error) {
      const lost = error instanceof TypeError;
      const why = lost ? "NOT CONFIRMED: the page's server does not answer" : error.message;
      this.say(lost ? "not_confirmed" : "failed", why);
      return null;
    }
  }
}

// A button that changes something: disabled, with the reason, where that is not allowed.
export function askButton(label, onclick, { title = "", classes = "" } = {}) {
  const button = h(`button${classes}`, { type: "button", onclick }, label);
  button.disabled = !mayChange();
  button.title = mayChange() ? title : MAY_ONLY_LOOK;
  return button;
}

// Enable a button, or disable it and say why.
export function allow(button, why) {
  const reason = mayChange() ? why : MAY_ONLY_LOOK;
  button.disabled = reason !== "";
  button.title = reason;
}

// What has become of a change that waits for the end of an acquisition, and a button to
// have it wait no more. The page's server keeps it: it waits also when this tab is closed.

import { h } from "../dom.js";

const STOP = "Cancel";
const OFTEN = 3;

export class WaitingLine {
  #model;
  #place;
  #said = h("span.answer", { role: "status" });
  #cancel = h("button", { type: "button", onclick: () => this.#end(), hidden: true }, STOP);
  #processor = null;
  #own = ["", false]; // what is said where nothing waits: [text, whether a problem]
  element = h("div.row.waiting", {}, this.#said, this.#cancel);

  // `place`: what the changes are called that are told of here.
  constructor(model, place) {
    this.#model = model;
    this.#place = place;
  }

  // Tell of the changes of this processor from now on.
  show(processor) {
    this.#processor = processor;
    this.update();
  }

  say(text, isProblem = false) {
    this.#own = [text, isProblem];
    this.update();
  }

  // Ask for a change; a refusal is said here. Resolves to whether it waits now.
  async ask(what, change) {
    this.#own = ["", false];
    try {
      await this.#processor.setNext({ what, place: this.#place, ...change });
      return true;
    } catch (error) {
      this.say(error.message, true);
      return false;
    }
  }

  update() {
    const next = this.#processor?.next ?? null;
    const mine = next?.place === this.#place && this.#own[0] === "" ? next : null;
    const [text, isProblem] = mine === null ? this.#own : wordsOf(mine);
    if (this.#said.textContent !== text) this.#said.textContent = text;
    this.#said.classList.toggle("problem", isProblem);
    this.#cancel.hidden = mine?.state !== "waiting" || this.#model.whyNot !== "";
  }

  async #end() {
    try {
      await this.#processor.cancelNext();
    } catch (error) {
      this.say(error.message, true);
    }
  }
}

function wordsOf({ what, state, reason, version, missed }) {
  switch (state) {
    case "waiting":
      return [`${what}: waits for the end of the acquisition${quicker(missed)}`, false];
    case "done":
      return [`${what}: version ${version}, from the next acquisition on`, false];
    case "cancelled":
      return [`${what}: cancelled, nothing was changed`, false];
    default:
      return [`${what}: ${reason}`, true];
  }
}

// The engine takes it only while no acquisition runs, however short that is.
function quicker(missed) {
  if (missed === 0) return "";
  const advice = missed < OFTEN ? "" : "; leave a pause of 0.1 s between two";
  return `; the next one was quicker ${missed === 1 ? "once" : `${missed} times`}${advice}`;
}

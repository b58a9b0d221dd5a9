// To arm: choose a time, read the limits, confirm.

import { h } from "../dom.js";
import { allow, askButton } from "./ask_button.js";

const MINUTES = [1, 5, 10, 30];
const MOST_MINUTES = 12 * 60;

export class ArmForm {
  #answer;
  #guard = null;
  #asked = null; // the run folder of the guard whose limits are shown
  #own = h("input.number", {
    type: "number", min: 1, max: MOST_MINUTES, step: 1, value: 60, "aria-label": "minutes",
    onfocus: () => this.#choose("own"),
    oninput: () => this.#turn(),
  });
  #open = askButton("Arm …", () => this.#confirming(true), { classes: ".arm" });
  #yes = askButton("", () => this.#arm(), { classes: ".arm.yes" });
  #limits = h("ul");
  #confirm;
  element;

  constructor(answer) {
    this.#answer = answer;
    this.#confirm = h(
      "div.confirm",
      { hidden: true, role: "group", "aria-label": "arm?" },
      h("p", {}, "For that time proposals act on the microscope without asking a person:"),
      this.#limits,
      h("p", {}, "This is no safety system: the instrument's own interlocks stay."),
      h(
        "div.row",
        {},
        this.#yes,
        h("button", { type: "button", onclick: () => this.#confirming(false) }, "Cancel"),
      ),
    );
    const choices = MINUTES.map((n) => this.#choice(String(n), `${n} min`));
    choices.push(this.#choice("own", "own"));
    this.element = h(
      "form.arm-form",
      { onsubmit: (event) => event.preventDefault(), onchange: () => this.#turn() },
      h(
        "fieldset.row",
        {},
        h("legend", {}, "arm for"),
        ...choices,
        h("span.own", {}, this.#own, "min"),
        this.#open,
      ),
      this.#confirm,
    );
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#confirming(false);
    });
  }

  hear(guard) {
    this.#guard = guard;
    if (this.#asked !== null && this.#asked !== guard.run) this.#confirming(false);
    this.#turn();
    this.element.dataset.again = guard.mode === "armed";
  }

  #choice(value, label) {
    const checked = value === "10";
    const radio = h("input", { type: "radio", name: "arm-minutes", value, checked });
    return h("label", {}, radio, label);
  }

  #choose(value) {
    this.element.querySelector(`input[value="${value}"]`).checked = true;
    this.#turn();
  }

  // Seconds that are chosen; null if that is no time.
  #seconds() {
    const chosen = new FormData(this.element).get("arm-minutes");
    const minutes = Number(chosen === "own" ? this.#own.value : chosen);
    return minutes > 0 && minutes <= MOST_MINUTES ? 60 * minutes : null;
  }

  #turn() {
    const why = this.#why();
    allow(this.#open, why);
    allow(this.#yes, why);
    const seconds = this.#seconds();
    const text = seconds === null ? "Arm" : `Arm for ${seconds / 60} min`;
    if (this.#yes.textContent !== text) this.#yes.textContent = text;
  }

  // Why it cannot be armed; empty: it can.
  #why() {
    const guard = this.#guard;
    if (guard === null || guard.silent_s !== null) return "the guard does not answer";
    if (guard.ceiling !== "armed") return `the pipeline file goes no further than ${guard.ceiling}`;
    return this.#seconds() === null ? `a time of up to ${MOST_MINUTES / 60} h is needed` : "";
  }

  #confirming(open) {
    this.#asked = open ? this.#guard.run : null;
    if (!open && this.#confirm.contains(document.activeElement)) this.#open.focus();
    this.#confirm.hidden = !open;
    if (!open) return;
    const parked = this.#guard.parked;
    const lines = parked === null ? [] : [`It is parked now: ${parked.words}`];
    lines.unshift(...this.#guard.limits);
    this.#limits.replaceChildren(...lines.map((line) => h("li", {}, line)));
    this.#yes.focus();
  }

  #arm() {
    const body = { seconds: this.#seconds(), run: this.#asked };
    this.#confirming(false);
    this.#answer.ask("arm", body);
  }
}

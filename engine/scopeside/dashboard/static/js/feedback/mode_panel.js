// The mode: what it means, why it is parked and what to do, to arm for a time, to advise.

import { h } from "../dom.js";
import { ArmForm } from "./arm.js";
import { AnswerLine, allow, askButton } from "./ask_button.js";
import { modeOf } from "./mode_chip.js";
import { clockOf, secondsOf, timeOfDay } from "./times.js";

const MEANS = {
  observe: "Proposals are written down, nothing is sent: as far as the pipeline file lets it go.",
  advise: "Every proposal waits for a person.",
  armed: "Proposals that keep the limits act on the microscope without asking.",
  parked: "Nothing is sent, and nothing waits, until a person arms or advises.",
  lost: "What the guard does is not known here.",
};
const ADVISE = { advise: "Advise", armed: "Disarm: advise", parked: "Unpark: advise" };
const SHAPES = { observe: "○", advise: "◇", armed: "▲", parked: "■", lost: "✕" };

export class ModePanel {
  #page;
  #guard = null;
  #mode = "";
  #name = h("div.name");
  #left = h("div.left-time.number");
  #means = h("p");
  #parked = h("div.parked", { hidden: true });
  #troubles = h("ul.troubles", { hidden: true });
  #answer = new AnswerLine();
  #arm;
  #advise;
  #unblank;
  #confirm;
  element;

  constructor(page) {
    this.#page = page;
    this.#arm = new ArmForm(this.#answer);
    this.#advise = askButton(ADVISE.advise, () => this.#ask("advise"));
    this.#unblank = askButton("Let the beam on …", () => this.#unblanking(true));
    this.#confirm = h(
      "div.confirm",
      { hidden: true, role: "group", "aria-label": "let the beam on?" },
      h("p", {}, "The beam falls on the specimen again."),
      h(
        "div.row",
        {},
        askButton("Let the beam on", () => this.#ask("unblank")),
        h("button", { type: "button", onclick: () => this.#unblanking(false) }, "Cancel"),
      ),
    );
    this.element = h(
      "section.panel.mode",
      { "aria-label": "mode" },
      h("h2", {}, "Mode"),
      h("div.now", {}, this.#name, this.#left),
      this.#means,
      this.#parked,
      this.#troubles,
      this.#arm.element,
      h("div.row", {}, this.#advise, this.#unblank),
      this.#confirm,
      this.#answer.element,
    );
  }

  hear(guard) {
    this.#guard = guard;
    this.element.hidden = guard === null;
    if (guard === null) return;
    this.#arm.hear(guard);
    this.turn();
    const known = guard.silent_s === null;
    this.#sayParked(known ? guard.parked : null);
    this.#sayTroubles(known ? guard : null);
    const silent = known ? "" : "the guard does not answer";
    const observes = known && guard.mode === "observe" ? "the pipeline file says observe" : "";
    const advises = guard.mode === "advise" ? "it advises already" : "";
    allow(this.#advise, silent || observes || advises);
    set(this.#advise, ADVISE[guard.mode] ?? ADVISE.advise);
    allow(this.#unblank, silent);
  }

  // Time has passed.
  turn() {
    const guard = this.#guard;
    if (guard === null) return;
    const mode = modeOf(guard, this.#page.live);
    set(this.#name, `${SHAPES[mode]} ${mode === "lost" ? "NOT KNOWN" : mode.toUpperCase()}`);
    this.element.dataset.mode = mode;
    if (mode !== this.#mode) this.#answer.moved(mode.toUpperCase());
    this.#mode = mode;
    if (mode === "lost") this.#parked.hidden = true; // what to do then is another thing
    set(this.#left, this.#leftText(mode, guard));
    set(this.#means, mode === "lost" ? this.#lostText(guard) : MEANS[mode]);
  }

  #leftText(mode, guard) {
    if (mode !== "armed") return "";
    const by = guard.armed_by === "" ? "" : `, by ${guard.armed_by}`;
    const left = clockOf(-this.#page.live.ageMs(guard.armed_until_ms));
    return `${left} left, until ${timeOfDay(guard.armed_until_ms)}${by}`;
  }

  #lostText(guard) {
    if (this.#page.live.state === "lost") {
      return "The page has lost its server. Use 'scopeside hold'.";
    }
    if (guard.silent_s === null) return "The page has begun anew, and has not heard the guard yet.";
    const was = guard.was ? ` It was ${guard.was}.` : "";
    const silent = secondsOf(1000 * (guard.silent_s ?? 0));
    return (
      `The guard was not heard for ${silent}: ${guard.reason}.${was} ` +
      "Hold and blank can still be asked; if in doubt, use the microscope's own controls."
    );
  }

  #sayParked(parked) {
    this.#parked.hidden = parked === null;
    if (parked === null) return;
    const why = h("p", {}, h("strong", {}, parked.words));
    this.#parked.replaceChildren(why, h("p", {}, parked.remedy));
  }

  #sayTroubles(guard) {
    const lines = guard === null ? [] : [...guard.troubles, guard.degraded].filter(Boolean);
    if (guard !== null && !guard.connected) lines.push("the microscope is not connected");
    this.#troubles.hidden = lines.length === 0;
    this.#troubles.replaceChildren(...lines.map((line) => h("li", {}, line)));
  }

  #unblanking(open) {
    this.#confirm.hidden = !open;
    if (open) this.#confirm.querySelector("button").focus();
    else this.#unblank.focus();
  }

  #ask(what) {
    this.#confirm.hidden = true;
    this.#answer.ask(what, { run: this.#guard?.run });
  }
}

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// One proposal: what it asks for, by whom and why, on what it stands, and how long yet.

import { h } from "../dom.js";
import { AnswerLine, askButton } from "./ask_button.js";
import { EvidencePicture } from "./evidence.js";
import { secondsOf, timeOfDay } from "./times.js";
import { verdictText } from "./verdicts.js";

export class Card {
  #page;
  #one;
  #run;
  #gone = 0; // when it was seen to be gone
  #age = h("span.number");
  #left = h("span.number");
  #bar = h("div.bar", { "aria-hidden": "true" }, h("div"));
  #whole; // how long it could be accepted when it came, ms
  #buttons;
  #answer = new AnswerLine();
  #verdict = h("p.verdict", { hidden: true });
  element;

  constructor(page, one, run) {
    this.#page = page;
    this.#one = one;
    this.#run = run;
    this.#whole = Math.max(1, -page.live.ageMs(one.until_ms));
    this.#buttons = [
      askButton("Accept (a)", () => this.#ask("accept"), { classes: ".accept" }),
      askButton("Decline (d)", () => this.#ask("decline")),
    ];
    this.element = h(
      "article.card",
      { tabindex: 0, "data-id": one.id, "aria-label": `proposal: ${one.words}` },
      new EvidencePicture(page, one.id).element,
      h(
        "div.says",
        {},
        h("h3", {}, one.words),
        h("p", {}, one.why),
        facts(one, this.#age, this.#left),
        this.#bar,
        h("div.row", {}, ...this.#buttons),
        this.#answer.element,
        this.#verdict,
      ),
    );
    this.element.addEventListener("keydown", (event) => this.#pressed(event));
    this.turn();
  }

  stays() {
    if (this.#gone === 0) return;
    this.#gone = 0;
    this.element.classList.remove("gone");
    this.#verdict.hidden = true;
  }

  // It waits no longer; `verdict`: what became of it, if that is known yet.
  goes(verdict) {
    if (this.#gone === 0) this.#gone = performance.now();
    this.element.classList.add("gone");
    for (const button of this.#buttons) button.disabled = true;
    this.#verdict.hidden = false;
    const text = verdict ? verdictText(verdict) : "it waits no longer";
    if (this.#verdict.textContent !== text) this.#verdict.textContent = text;
  }

  // How long it is gone, ms; 0: it waits.
  goneMs() {
    return this.#gone === 0 ? 0 : Math.max(1, performance.now() - this.#gone);
  }

  // Whether somebody is about to do something here.
  isHeld() {
    return this.element.contains(document.activeElement) || this.element.matches(":hover");
  }

  turn() {
    if (this.#gone > 0) return;
    const { live } = this.#page;
    const left = -live.ageMs(this.#one.until_ms);
    this.#age.textContent = secondsOf(live.ageMs(this.#one.t_frame_ms));
    this.#left.textContent = secondsOf(left);
    this.#bar.firstChild.style.width = `${Math.min(100, Math.max(0, (100 * left) / this.#whole))}%`;
  }

  // Only with the focus on this card: a key must not reach one that has just come.
  #pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const button = { a: this.#buttons[0], d: this.#buttons[1] }[event.key];
    if (button !== undefined && !button.disabled) button.click();
  }

  async #ask(what) {
    for (const button of this.#buttons) button.disabled = true;
    const answer = await this.#answer.ask(what, { id: this.#one.id, run: this.#run });
    const again = answer === null || answer.state !== "done";
    if (again && this.#gone === 0) for (const button of this.#buttons) button.disabled = false;
  }
}

// Of an acquisition a person knows when it began; its id is in the title.
function standsOn({ frame, acquisition, began_ms: beganMs }) {
  const known = typeof beganMs === "number";
  return `frame ${frame} of ${known ? `the acquisition of ${timeOfDay(beganMs)}` : acquisition}`;
}

function facts(one, age, left) {
  const sure = one.confidence === null ? "the result does not say" : one.confidence.toFixed(2);
  const rows = [
    ["rule", one.rule],
    ["confidence", h("span.number", {}, sure)],
    ["stands on", h("span", { title: one.acquisition }, standsOn(one))],
    ["age of evidence", age],
    ["can be accepted for", left],
    ["id", one.id],
  ];
  return h("dl", {}, ...rows.flatMap(([head, text]) => [h("dt", {}, head), h("dd", {}, text)]));
}

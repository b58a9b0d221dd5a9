// Proposals that wait for a person, each as a card; what has gone stays a moment, with
// its verdict, so that nothing moves under the hand of who is about to accept.

import { h } from "../dom.js";
import { Card } from "./card.js";

const GONE_MS = 8000;
const MOST_GONE = 4;

export class Proposals {
  #page;
  #cards = new Map(); // id -> Card
  #verdicts = new Map(); // id -> the newest verdict
  #list = h("div.cards");
  #none = h("p.dim", {}, "No proposal waits for a person.");
  #count = h("span.number");
  element = h(
    "section.panel.waiting",
    { "aria-label": "proposals" },
    h("h2", {}, "Waiting for acceptance ", this.#count),
    this.#none,
    this.#list,
  );

  constructor(page) {
    this.#page = page;
  }

  hear(guard) {
    const known = guard !== null && guard.silent_s === null;
    const waiting = known ? guard.waiting : [];
    const ids = new Set(waiting.map((one) => one.id));
    for (const one of waiting) {
      let card = this.#cards.get(one.id);
      if (card === undefined) {
        card = new Card(this.#page, one, guard.run);
        this.#cards.set(one.id, card);
        this.#list.append(card.element);
      }
      card.stays();
    }
    for (const [id, card] of this.#cards) {
      if (!ids.has(id)) card.goes(known ? this.#verdicts.get(id) : null);
    }
    this.#count.textContent = ids.size === 0 ? "" : `(${ids.size})`;
    this.#none.hidden = this.#cards.size > 0;
    this.#none.textContent = noneText(guard);
    this.turn();
  }

  hearVerdicts(list) {
    this.#verdicts.clear();
    for (const one of list) if (!this.#verdicts.has(one.id)) this.#verdicts.set(one.id, one);
    for (const [id, card] of this.#cards) {
      if (card.goneMs() > 0 && this.#verdicts.has(id)) card.goes(this.#verdicts.get(id));
    }
  }

  // Time has passed: the cards count, and those that are gone leave.
  turn() {
    const gone = [...this.#cards].filter(([, card]) => card.goneMs() > 0);
    for (const [index, [id, card]] of gone.entries()) {
      const held = card.isHeld() && index >= gone.length - MOST_GONE;
      if (!held && (card.goneMs() > GONE_MS || index < gone.length - MOST_GONE)) {
        card.element.remove();
        this.#cards.delete(id);
      }
    }
    for (const card of this.#cards.values()) card.turn();
    this.#none.hidden = this.#cards.size > 0;
  }
}

function noneText(guard) {
  if (guard === null || guard.silent_s !== null) return "The guard says nothing.";
  if (guard.mode === "armed") return "Nothing waits: what keeps the limits is sent at once.";
  if (guard.mode === "observe") return "Nothing waits: in observe proposals are only written down.";
  return "No proposal waits for a person.";
}

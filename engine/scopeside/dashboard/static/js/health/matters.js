// All that is to be said, notes too, with what one can do about it.

import { age } from "../amounts.js";
import { h } from "../dom.js";
import { sign, tick } from "./signs.js";

export class Matters {
  #page;
  #told = "";
  #ages = [];
  element = h("ul.matters");

  constructor(page) {
    this.#page = page;
  }

  fill(sentences) {
    const told = JSON.stringify(sentences);
    if (told !== this.#told) {
      this.#told = told;
      this.#ages = sentences.map((one) => [h("span.dim.number"), one.since_ms]);
      const all = sentences.map((one, index) => item(one, this.#ages[index][0]));
      this.element.replaceChildren(...(all.length ? all : [fine()]));
    }
    for (const [element, sinceMs] of this.#ages) {
      element.textContent = `for ${age(this.#page.live.ageMs(sinceMs))}`;
    }
  }
}

function item(sentence, ageElement) {
  return h(
    "li",
    { "data-level": sentence.level, "data-about": sentence.about },
    sign(sentence.level),
    h("span", {}, sentence.text),
    ageElement,
    sentence.what_to_do ? h("span.what", {}, `→ ${sentence.what_to_do}`) : null,
  );
}

function fine() {
  return h("li", { "data-level": "ok" }, tick(), h("span", {}, "all is well"), h("span"));
}

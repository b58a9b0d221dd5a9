// The banner above all views: what is degraded or stale, in plain words, worst first.

import { age } from "../amounts.js";
import { h } from "../dom.js";
import { Lasting } from "./lasting.js";
import { sentencesOf } from "./local.js";
import { sign } from "./signs.js";

const MOST = 2;

export function mountBanner(root, page) {
  const banner = new Banner(root, page);
  page.standing.addEventListener("change", () => banner.update());
  banner.update();
}

class Banner {
  #page;
  #root;
  #lasting = new Lasting();
  #lines = Array.from({ length: MOST }, () => new Line());
  #more;
  // Read aloud when what is the matter changes, not each second with its age.
  #aloud = h("div.aloud", { role: "status", "aria-live": "polite" });
  #told = "";

  constructor(root, page) {
    this.#root = root;
    this.#page = page;
    this.#more = h("button.more", { onclick: () => page.show("Health") });
    const list = h("ul", {}, ...this.#lines.map((line) => line.element));
    root.append(list, this.#more, this.#aloud);
  }

  update() {
    const seen = this.#lasting.see(sentencesOf(this.#page.standing), Date.now());
    const worst = seen.find((one) => !one.over)?.level ?? "ok";
    this.#root.dataset.level = worst;
    this.#root.dataset.empty = String(seen.length === 0);
    for (const [index, line] of this.#lines.entries()) line.show(seen[index], this.#page);
    const more = seen.length - MOST;
    this.#more.hidden = more <= 0;
    this.#more.textContent = `and ${more} more`;
    this.#say(seen.slice(0, MOST));
  }

  #say(seen) {
    const told = seen.map((one) => `${one.over}${one.about}`).join();
    if (told === this.#told) return;
    this.#told = told;
    this.#aloud.textContent = seen.map(words).join("; ");
  }
}

class Line {
  #sign = h("span");
  #text = h("span.text");
  #what = h("span.what.dim");
  #age = h("span.age.dim.number");
  #level = null;
  element = h("li", { hidden: true }, this.#sign, this.#text, this.#what, this.#age);

  show(sentence, page) {
    this.element.hidden = sentence === undefined;
    if (sentence === undefined) return;
    const level = sentence.over ? "ok" : sentence.level;
    if (level !== this.#level) this.#sign.replaceChildren(sign(level));
    this.#level = level;
    this.element.dataset.about = sentence.about;
    this.element.dataset.level = level;
    put(this.#text, words(sentence));
    put(this.#what, sentence.over ? "" : (sentence.what_to_do ?? ""));
    const sinceMs = sentence.over ? undefined : sentence.since_ms;
    put(this.#age, sinceMs === undefined ? "" : `for ${age(page.live.ageMs(sinceMs))}`);
  }
}

function words(sentence) {
  return sentence.over ? `over: ${sentence.text}` : sentence.text;
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// The story of one entry of the audit log, as `scopeside audit explain` tells it.

import { question } from "../ask.js";
import { h } from "../dom.js";

export class Story {
  #asked = 0;
  element = h(
    "div.story",
    { "aria-live": "polite" },
    h("p.dim", {}, "Choose a row, or a verdict, to read its story."),
  );

  async show(id) {
    const number = (this.#asked += 1);
    try {
      const { stories } = await question("explain", { id });
      if (number === this.#asked) this.element.replaceChildren(...stories.map(storyOf));
    } catch (error) {
      if (number === this.#asked) this.element.replaceChildren(h("p", {}, error.message));
    }
    this.element.scrollTop = 0;
  }
}

function storyOf(lines) {
  return h("dl", {}, ...lines.flatMap(([head, text]) => [h("dt", {}, head), h("dd", {}, text)]));
}

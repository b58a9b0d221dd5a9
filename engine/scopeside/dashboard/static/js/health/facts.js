// Pairs of a name and a value, filled anew in place.

import { h } from "../dom.js";

export class Facts {
  element = h("dl");

  fill(pairs) {
    const { element } = this;
    while (element.children.length < 2 * pairs.length) element.append(h("dt"), h("dd"));
    while (element.children.length > 2 * pairs.length) element.lastChild.remove();
    for (const [index, pair] of pairs.entries()) {
      for (const [at, text] of pair.entries()) {
        const cell = element.children[2 * index + at];
        if (cell.textContent !== text) cell.textContent = text;
      }
    }
  }
}

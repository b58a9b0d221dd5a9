// The picture that a proposal stands on, with a mark; or why there is none.

import { question } from "../ask.js";
import { h, svg } from "../dom.js";
import { LiveImage } from "../image/live_image.js";
import { pictureOf } from "../live.js";

const AGAIN_MS = 700; // the page may have heard of a proposal before it is in the log
const TRIES = 3;

export class EvidencePicture {
  #page;
  #about = h("figcaption.dim", {}, "asks for the picture …");
  element = h("figure.evidence", {}, this.#about);

  constructor(page, id) {
    this.#page = page;
    this.#show(id, TRIES);
  }

  async #show(id, tries) {
    try {
      const found = await question("evidence", { id });
      if (found instanceof ArrayBuffer) this.#paint(pictureOf(found));
      else if (tries > 1) setTimeout(() => this.#show(id, tries - 1), AGAIN_MS);
      else this.#about.textContent = `no picture: ${found.none}`;
    } catch (error) {
      this.#about.textContent = `no picture: ${error.message}`;
    }
  }

  #paint({ header, pixels }) {
    const image = new LiveImage(this.#page, {
      key: header.key,
      title: "",
      controls: false,
      compact: true,
    });
    this.element.prepend(image.element);
    image.paint(header, pixels);
    if (header.mark !== null) image.overlay.append(...markOf(header.mark));
    this.#about.textContent = header.about;
  }
}

// A ring with four strokes that point at it: seen on dark and on light.
function markOf({ row, col, r }) {
  const line = { fill: "none", "vector-effect": "non-scaling-stroke" };
  const d = [[0, -1], [0, 1], [-1, 0], [1, 0]]
    .map(([x, y]) => `M${col + x * r} ${row + y * r}L${col + 1.5 * x * r} ${row + 1.5 * y * r}`)
    .join("");
  return ["mark-under", "mark-over"].flatMap((name) => [
    svg("circle", { cx: col, cy: row, r, class: name, ...line }),
    svg("path", { d, class: name, ...line }),
  ]);
}

// Which positions of a scan have a pattern: dots and lines over its images, on request.

import { question } from "../ask.js";
import { svg } from "../dom.js";

const EVERY_MS = 1000;

export class Where {
  #pattern;
  #drawn = new Map(); // image -> its <path>
  #timer = null;
  #isSeen = false;
  #isAsking = false;

  // `pattern`: the panel, which says whether they are wanted, and how many there are.
  constructor(pattern) {
    this.#pattern = pattern;
    pattern.addEventListener("where", () => this.#turn());
  }

  // Draw over these images, and no others.
  set images(images) {
    for (const [image, path] of this.#drawn) {
      if (images.includes(image)) continue;
      path.remove();
      this.#drawn.delete(image);
    }
    for (const image of images) if (!this.#drawn.has(image)) this.#add(image);
  }

  show() {
    this.#isSeen = true;
    this.#turn();
  }

  hide() {
    this.#isSeen = false;
    this.#turn();
  }

  #add(image) {
    const path = svg("path", { class: "where", "vector-effect": "non-scaling-stroke" });
    image.overlay.prepend(path);
    this.#drawn.set(image, path);
  }

  #turn() {
    clearInterval(this.#timer);
    this.#timer = null;
    const { showsWhere } = this.#pattern;
    if (!showsWhere) this.#drawn.forEach((path) => path.removeAttribute("d"));
    if (!showsWhere || !this.#isSeen) return;
    this.#timer = setInterval(() => this.#ask(), EVERY_MS);
    this.#ask();
  }

  async #ask() {
    const headers = [...this.#drawn.keys()].map(({ header }) => header).filter(Boolean);
    const newest = headers.sort((a, b) => b.number - a.number)[0];
    if (newest === undefined || this.#isAsking) return;
    this.#isAsking = true;
    const at = newest.planes?.axes.indexOf("scan") ?? -1;
    const scan = at < 0 ? {} : { scan: newest.planes.at[at] };
    try {
      const found = await question("patterns", { acquisition: newest.acq, ...scan });
      this.#pattern.tellWhere(found);
      this.#draw(found);
    } catch (error) {
      this.#pattern.tellWhere({ error: error.message });
      this.#draw({ acquisition: newest.acq, runs: [], shape: [1, 1] });
    }
    this.#isAsking = false;
  }

  #draw({ acquisition, runs, shape: [, columns] }) {
    if (!this.#pattern.showsWhere) return; // meanwhile nobody wants to know
    const d = runs.map(([first, last]) => rowsOf(first, last, columns)).join("");
    for (const [image, path] of this.#drawn) {
      path.setAttribute("d", image.header?.acq === acquisition ? d : "");
    }
  }
}

// A line for each row that positions `first` to `last` lie in.
function rowsOf(first, last, columns) {
  let d = "";
  for (let at = first; at <= last; at += columns - (at % columns)) {
    const row = Math.floor(at / columns);
    const end = Math.min(last, (row + 1) * columns - 1);
    d += `M${at % columns} ${row}h${end - at}`;
  }
  return d;
}

// An image that lives: a canvas that paints each new version of a result, with an overlay
// in its pixels' coordinates.

import { h, svg } from "../dom.js";

export class LiveImage extends EventTarget {
  #page;
  #end = null;
  #canvas = h("canvas");

  // In pixels of the image: x is the column, y the row; (0, 0) is the centre of the first.
  overlay = svg("svg", { class: "overlay" });
  element = h("figure.live-image", {}, h("div.stage", {}, this.#canvas, this.overlay), h("figcaption"));
  header = null; // of what is painted
  pixels = null;

  // `key`: the result; `hz`: how often at most; `title`: above it.
  constructor(page, { key, hz = 10, title = key }) {
    super();
    this.#page = page;
    this.key = key;
    this.hz = hz;
    this.element.querySelector("figcaption").textContent = title;
  }

  show() {
    this.#end ??= this.#page.live.image(this.key, this.hz, (header, pixels) => this.paint(header, pixels));
  }

  hide() {
    this.#end?.();
    this.#end = null;
  }

  // Paint a message of picture.py; resolves when it is on the screen.
  paint(header, pixels) {
    this.header = header;
    this.pixels = pixels;
    const [rows, columns] = header.shape;
    this.#canvas.width = columns;
    this.#canvas.height = rows;
    this.overlay.setAttribute("viewBox", `-0.5 -0.5 ${columns} ${rows}`);
    const image = new ImageData(columns, rows);
    let low = Infinity;
    let high = -Infinity;
    for (const value of pixels) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
    for (let i = 0; i < rows * columns; i += 1) {
      const level = (255 * (pixels[i] - low)) / (high - low || 1);
      image.data.set([level, level, level, 255], 4 * i);
    }
    this.#canvas.getContext("2d").putImageData(image, 0, 0);
    this.dispatchEvent(new CustomEvent("paint", { detail: header }));
    return new Promise((resolve) => requestAnimationFrame(resolve));
  }
}

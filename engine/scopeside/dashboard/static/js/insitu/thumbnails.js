// Pictures of events: asked for when they are in sight, few at a time, and again when there is
// a newer one.

import { question } from "../ask.js";
import { pictureOf } from "../live.js";

const AT_ONCE = 2;

export class Thumbnails {
  #waiting = new Map(); // canvas -> {uid, wanted}
  #asking = 0;

  // Have the picture of an event on a canvas.
  want(canvas, event) {
    if (event.picture === undefined) {
      if (canvas.dataset.picture !== "") canvas.width = 0;
      canvas.dataset.picture = "";
      this.#waiting.delete(canvas);
      return;
    }
    const wanted = `${event.uid} ${event.picture}`;
    if (canvas.dataset.picture === wanted) return;
    this.#waiting.set(canvas, { uid: event.uid, wanted });
    this.#next();
  }

  async #next() {
    if (this.#asking >= AT_ONCE || this.#waiting.size === 0) return;
    const [canvas, { uid, wanted }] = this.#waiting.entries().next().value;
    this.#waiting.delete(canvas);
    this.#asking += 1;
    canvas.dataset.picture = wanted;
    try {
      const { header, pixels } = pictureOf(await question("insitu_thumbnail", { id: uid }));
      if (canvas.dataset.picture === wanted) paint(canvas, header.shape, pixels);
    } catch {
      canvas.width = 0; // the event has gone meanwhile; the list goes on without it
    }
    this.#asking -= 1;
    this.#next();
  }
}

// Bright where there is more of what is looked for.
function paint(canvas, [rows, columns], pixels) {
  canvas.width = columns;
  canvas.height = rows;
  const largest = Math.max(3, ...pixels);
  const image = new ImageData(columns, rows);
  for (let i = 0; i < pixels.length; i += 1) {
    const level = 255 * Math.min(1, Math.max(0, (pixels[i] + 1) / (largest + 1)));
    image.data.set([level, level, level, 255], 4 * i);
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

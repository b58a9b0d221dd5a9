// A canvas with the values of a picture, or of a part of one, where the viewport says.

import { h } from "../dom.js";
import { paint } from "./paint.js";

export class Layer {
  #image = null; // ImageData of the canvas
  #where = { top: 0, left: 0, step: 1, rows: 0, columns: 0 }; // of what is painted
  canvas;
  hatch; // behind what was not seen yet

  constructor(kind = "") {
    this.canvas = h(`canvas${kind}`);
    this.hatch = h(`div.hatch${kind}`);
  }

  set hidden(hidden) {
    this.canvas.hidden = this.hatch.hidden = hidden;
  }

  paint(values, levels) {
    const { canvas } = this;
    const { sentRows, sentColumns, top, left, step } = values;
    if (this.#image?.width !== sentColumns || this.#image?.height !== sentRows) {
      canvas.width = sentColumns;
      canvas.height = sentRows;
      canvas.style.width = `${sentColumns}px`;
      canvas.style.height = `${sentRows}px`;
      this.#image = new ImageData(sentColumns, sentRows);
    }
    paint(values, levels, new Uint32Array(this.#image.data.buffer));
    canvas.getContext("2d").putImageData(this.#image, 0, 0);
    this.#where = { top, left, step, rows: values.rows, columns: values.columns };
  }

  layout(viewport) {
    const { top, left, step, rows, columns } = this.#where;
    const { scale, rowScale } = viewport;
    const corner = viewport.toStage(top - 0.5, left - 0.5);
    const [across, down] = [scale * step, rowScale * step];
    this.canvas.style.transform =
      `translate(${corner.x}px, ${corner.y}px) scale(${across}, ${down})`;
    // A pixel smaller than one of the screen is averaged with its neighbours.
    const isLarge = Math.min(across, down) * devicePixelRatio >= 1;
    this.canvas.style.imageRendering = isLarge ? "pixelated" : "auto";
    Object.assign(this.hatch.style, {
      left: `${corner.x}px`,
      top: `${corner.y}px`,
      width: `${columns * scale}px`,
      height: `${rows * rowScale}px`,
    });
  }
}

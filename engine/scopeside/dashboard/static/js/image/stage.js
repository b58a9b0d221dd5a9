// Where an image is seen: the canvas, the hatching behind what was not seen yet, marks, the
// overlay, the scale bar, and what is written over a picture that is old or invalid.

import { h, svg } from "../dom.js";
import { put } from "./caption.js";
import { paint } from "./paint.js";
import { ScaleBar } from "./scale_bar.js";
import { Viewport } from "./viewport.js";

const NARROWEST = 0.4; // width over height of a stage; beyond, the image is not as wide
const WIDEST = 3;

export class Stage extends EventTarget {
  viewport = new Viewport();
  canvas = h("canvas");
  overlay = svg("svg", { class: "overlay" });
  #hatch = h("div.hatch");
  #cross = svg("path", { class: "cross", "vector-effect": "non-scaling-stroke" });
  #line = svg("path", { class: "profile-line", "vector-effect": "non-scaling-stroke" });
  #marks = svg("svg", { class: "marks", "aria-hidden": "true" }, this.#line, this.#cross);
  #bar = new ScaleBar();
  #notice = h("div.notice", { hidden: true });
  #badge = h("div.badge.number", { hidden: true });
  #image = null; // ImageData of the canvas
  #step = 1;
  #pixel = null;
  element = h(
    "div.stage",
    {},
    this.#hatch,
    this.canvas,
    this.#marks,
    this.overlay,
    this.#bar.element,
    this.#badge,
    this.#notice,
  );

  constructor() {
    super();
    new ResizeObserver(() => this.#resized()).observe(this.element);
  }

  // Paint values; returns whether the image has another shape than before.
  paint(values, levels) {
    const { canvas } = this;
    const { sentRows, sentColumns } = values;
    if (this.#image?.width !== sentColumns || this.#image?.height !== sentRows) {
      canvas.width = sentColumns;
      canvas.height = sentRows;
      canvas.style.width = `${sentColumns}px`;
      canvas.style.height = `${sentRows}px`;
      this.#image = new ImageData(sentColumns, sentRows);
    }
    paint(values, levels, new Uint32Array(this.#image.data.buffer));
    canvas.getContext("2d").putImageData(this.#image, 0, 0);
    const reshaped = this.viewport.fit(values.rows, values.columns);
    if (reshaped || this.#step !== values.step) {
      this.#step = values.step;
      const aspect = Math.min(WIDEST, Math.max(NARROWEST, values.columns / values.rows));
      this.element.style.aspectRatio = String(aspect);
      this.#resized();
    }
    return reshaped;
  }

  // Take how large a pixel is.
  measure(pixel) {
    if (pixel === this.#pixel && pixel !== null) return;
    this.#pixel = pixel;
    this.#bar.draw(pixel, this.viewport);
  }

  // Put everything where the viewport says.
  layout() {
    const { viewport } = this;
    const { scale } = viewport;
    const corner = viewport.toStage(-0.5, -0.5);
    const perSent = scale * this.#step;
    this.canvas.style.transform = `translate(${corner.x}px, ${corner.y}px) scale(${perSent})`;
    // A pixel smaller than one of the screen is averaged with its neighbours.
    const isLarge = perSent * devicePixelRatio >= 1;
    this.canvas.style.imageRendering = isLarge ? "pixelated" : "auto";
    Object.assign(this.#hatch.style, {
      left: `${corner.x}px`,
      top: `${corner.y}px`,
      width: `${viewport.columns * scale}px`,
      height: `${viewport.rows * scale}px`,
    });
    for (const one of [this.overlay, this.#marks]) one.setAttribute("viewBox", viewport.box);
    this.#bar.draw(this.#pixel, viewport);
    this.#bar.element.style.translate = `${Math.max(0, corner.x)}px ${-Math.max(0, corner.y)}px`;
    this.dispatchEvent(new Event("layout"));
  }

  // Mark a pixel with a cross, or none.
  cross(at) {
    if (at === null) {
      this.#cross.removeAttribute("d");
      return;
    }
    const { columns, rows } = this.viewport;
    const { row, col } = at;
    this.#cross.setAttribute(
      "d",
      `M-0.5 ${row}H${col - 1}M${col + 1} ${row}H${columns - 0.5}` +
        `M${col} -0.5V${row - 1}M${col} ${row + 1}V${rows - 0.5}`,
    );
  }

  // Draw the line of a profile, or none.
  line(from, to) {
    if (from === null) this.#line.removeAttribute("d");
    else this.#line.setAttribute("d", `M${from.col} ${from.row}L${to.col} ${to.row}`);
  }

  // Write over the picture; an empty text writes nothing.
  notice(text, badge) {
    put(this.#notice, text);
    this.#notice.hidden = text === "";
    put(this.#badge, badge);
    this.#badge.hidden = badge === "";
  }

  #resized() {
    const { clientWidth, clientHeight } = this.element;
    if (clientWidth === 0 || clientHeight === 0) return; // hidden
    this.viewport.width = clientWidth;
    this.viewport.height = clientHeight;
    this.layout();
  }
}

// Where an image is seen: the picture, the hatching behind what was not seen yet, marks, the
// overlay, the scale bar, and what is written over a picture that is old or invalid.

import { h, svg } from "../dom.js";
import { put } from "./caption.js";
import { Layer } from "./layer.js";
import { ScaleBar } from "./scale_bar.js";
import { tallOf, Viewport } from "./viewport.js";

const NARROWEST = 0.4; // width over height of a stage; beyond, the image is not as wide
const WIDEST = 3;
// Where pixels are not square what lies over them is stretched as they are.
const OVER = { preserveAspectRatio: "none" };

export class Stage extends EventTarget {
  viewport = new Viewport();
  #picture = new Layer();
  #finer = new Layer(".finer"); // a part of it, over the picture
  overlay = svg("svg", { class: "overlay", ...OVER });
  #cross = svg("path", { class: "cross", "vector-effect": "non-scaling-stroke" });
  #line = svg("path", { class: "profile-line", "vector-effect": "non-scaling-stroke" });
  #marks = svg("svg", { class: "marks", "aria-hidden": "true", ...OVER }, this.#line, this.#cross);
  #bar = new ScaleBar();
  #notice = h("div.notice", { hidden: true });
  #badge = h("div.badge.number", { hidden: true });
  #block = h("div.block.number", { hidden: true });
  #pixel = null;
  element = h(
    "div.stage",
    {},
    this.#picture.hatch,
    this.#picture.canvas,
    this.#finer.hatch,
    this.#finer.canvas,
    this.#marks,
    this.overlay,
    this.#bar.element,
    this.#block,
    this.#badge,
    this.#notice,
  );

  constructor() {
    super();
    this.#finer.hidden = true;
    new ResizeObserver(() => this.#resized()).observe(this.element);
  }

  // Paint values, and what is finer than these; returns whether the image has another shape.
  paint(values, levels) {
    this.#picture.paint(values, levels);
    this.#finer.hidden = values.finer === null;
    if (values.finer !== null) this.#finer.paint(values.finer, levels);
    const reshaped = this.viewport.fit(values.rows, values.columns);
    if (reshaped) this.#reshape();
    else this.#lay();
    return reshaped;
  }

  // Take how large a pixel is.
  measure(pixel) {
    if (pixel === this.#pixel && pixel !== null) return;
    this.#pixel = pixel;
    const tall = tallOf(pixel);
    if (tall === this.viewport.tall) this.#bar.draw(pixel, this.viewport);
    else {
      this.viewport.tall = tall;
      this.#reshape();
    }
  }

  // Put everything where the viewport says.
  layout() {
    this.#lay();
    const { viewport } = this;
    for (const one of [this.overlay, this.#marks]) one.setAttribute("viewBox", viewport.box);
    this.#bar.draw(this.#pixel, viewport);
    const corner = viewport.toStage(-0.5, -0.5);
    const inside = [Math.max(0, corner.x), Math.max(0, corner.y)];
    this.#bar.element.style.translate = `${inside[0]}px ${-inside[1]}px`;
    this.#block.style.translate = `${-inside[0]}px ${-inside[1]}px`;
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

  // Say what one number stands for; an empty text says nothing.
  stands(text) {
    put(this.#block, text);
    this.#block.hidden = text === "";
  }

  #lay() {
    this.#picture.layout(this.viewport);
    if (!this.#finer.canvas.hidden) this.#finer.layout(this.viewport);
  }

  #reshape() {
    const aspect = Math.min(WIDEST, Math.max(NARROWEST, this.viewport.aspect));
    this.element.style.aspectRatio = String(aspect);
    this.#resized();
  }

  #resized() {
    const { clientWidth, clientHeight } = this.element;
    if (clientWidth === 0 || clientHeight === 0) return; // hidden
    this.viewport.width = clientWidth;
    this.viewport.height = clientHeight;
    this.layout();
  }
}

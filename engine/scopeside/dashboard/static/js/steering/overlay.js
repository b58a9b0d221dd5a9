// The shapes on a live image: drawn in its pixels, dragged by pointer, touch and keys.

import { svg } from "../dom.js";
import { byDoubleClick, byKey } from "./corners.js";
import { KINDS, middleOf, moved, topOf } from "./geometry.js";
import { placeName } from "./names.js";
import { isMovable, valuesOf, wordsOf } from "./shapes.js";
import { Undo } from "./undo.js";

const HANDLE = 6; // screen pixels at 1366 px: radius of a handle
const TOUCH = matchMedia("(pointer: coarse)").matches ? 22 : 10; // and of what takes it
const TEXT = 13;
const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
export const HUES = 8; // .hue-0 … in steering.css, each with a dash of its own

export class Overlay extends EventTarget {
  #image;
  #drawn = new Map(); // id -> {group, parts}
  #shapes = [];
  #processors = new Map();
  #drag = null;
  #selected = null;
  #undo = new Undo();
  #focus = null; // [shape id, handle] that gets the focus when it is drawn

  // `image`: a LiveImage.
  constructor(image) {
    super();
    this.#image = image;
    image.addEventListener("zoom", () => this.#resize());
    window.addEventListener("keydown", (event) => this.#escape(event), true);
  }

  // Draw these shapes; `processors`: by name.
  draw(shapes, processors) {
    this.#shapes = shapes;
    this.#processors = processors;
    const ids = shapes.map(({ id, kind, pose }) => `${id}|${kind}|${pose.points?.length ?? 0}`);
    for (const [id, drawn] of this.#drawn) {
      if (!ids.includes(id)) {
        drawn.group.remove();
        this.#drawn.delete(id);
      }
    }
    for (const [i, shape] of shapes.entries()) {
      if (!this.#drawn.has(ids[i])) this.#drawn.set(ids[i], this.#make(shape.id, shape));
      this.#update(this.#drawn.get(ids[i]), shape, i);
    }
    this.#raise();
    this.#resize();
    this.#focusNew();
  }

  // Go on at the corner that is new, or beside the one that went.
  #focusNew() {
    if (this.#focus === null) return;
    const [id, what] = this.#focus;
    const drawn = [...this.#drawn].find(([key]) => key.startsWith(`${id}|`))?.[1];
    this.#focus = null;
    drawn?.parts.handles.get(what)?.focus({ preventScroll: true });
  }

  // Have the handles of what is selected on top; not under the focus, which would be lost.
  #raise() {
    const top = [...this.#drawn].find(([id]) => id.startsWith(`${this.selected}|`))?.[1].group;
    const { overlay } = this.#image;
    const isLast = overlay.lastElementChild === top;
    if (top && !isLast && !overlay.contains(document.activeElement)) overlay.append(top);
  }

  // The id of the shape whose handles are shown: the one that was chosen, else the first.
  get selected() {
    const isThere = this.#shapes.some(({ id }) => id === this.#selected);
    return isThere ? this.#selected : (this.#shapes[0]?.id ?? null);
  }

  select(id) {
    if (this.#selected === id) return;
    this.#selected = id;
    this.draw(this.#shapes, this.#processors);
    this.dispatchEvent(new Event("select"));
  }

  // -- drawing ---------------------------------------------------------------------------

  #make(id, shape) {
    const parts = {
      halo: svg("path", { class: "halo" }),
      line: svg("path", { class: "line" }),
      grip: svg("path", { class: "grip", tabindex: 0, role: "button" }),
      name: svg("text", { class: "name" }),
      handles: new Map(),
    };
    const group = svg(
      "g",
      { "data-shape": shape.name },
      parts.halo,
      parts.line,
      parts.grip,
      parts.name,
    );
    for (const what of ["move", ...KINDS[shape.kind].handles(shape.pose).map((one) => one.id)]) {
      const handle = svg(
        "g",
        { class: "knob", tabindex: 0, role: "button", "data-handle": what },
        svg("circle", { class: "touch" }),
        svg("circle", { class: "dot" }),
      );
      parts.handles.set(what, handle);
      group.append(handle);
      this.#listen(handle, id, what);
    }
    this.#listen(parts.grip, id, "move");
    this.#image.overlay.append(group);
    return { group, parts };
  }

  #update({ group, parts }, shape, index) {
    const outline = KINDS[shape.kind].outline(shape.pose);
    for (const part of ["halo", "line", "grip"]) parts[part].setAttribute("d", outline);
    const processor = this.#processors.get(shape.processor);
    const isSelected = shape.id === this.selected;
    const is = [isSelected ? "selected" : "", isAtRest(processor, shape) ? "fixed" : ""].join(" ");
    group.setAttribute("class", `shape hue-${index % HUES} ${is}`);
    group.dataset.state = stateOf(processor, shape);
    const { state } = group.dataset;
    parts.name.textContent = state === "holds" ? shape.name : `${shape.name} · ${state}`;
    parts.grip.setAttribute("aria-label", `${shape.name}, ${wordsOf(shape)}`);
    const [top, left] = topOf(shape.pose);
    Object.assign(parts, { top, left });
    const [y, x] = middleOf(shape.pose);
    const move = { id: "move", what: "move", y, x };
    for (const handle of [move, ...KINDS[shape.kind].handles(shape.pose)]) {
      const drawn = parts.handles.get(handle.id);
      drawn.setAttribute("transform", `translate(${handle.x} ${handle.y})`);
      drawn.setAttribute("aria-label", `${shape.name}: ${handle.what}; arrow keys`);
      drawn.toggleAttribute("hidden", !isSelected || (handle === move && !isMovable(shape)));
    }
  }

  // Handles and names are as large on the screen whatever the zoom.
  #resize() {
    const scale = this.#image.pxPerUnit;
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize) / 14;
    const unit = rem / scale;
    const names = []; // where there is one already
    for (const { parts } of this.#drawn.values()) {
      for (const handle of parts.handles.values()) {
        handle.firstChild.setAttribute("r", TOUCH * unit);
        handle.lastChild.setAttribute("r", HANDLE * unit);
      }
      const { left, top } = placeName(parts, TEXT * unit, this.#image.columns, names);
      parts.name.setAttribute("x", left);
      parts.name.setAttribute("y", top);
      parts.name.style.fontSize = `${TEXT * unit}px`;
      parts.name.style.strokeWidth = `${3 * unit}px`;
    }
  }

  // -- dragging --------------------------------------------------------------------------

  #listen(element, id, what) {
    element.addEventListener("pointerdown", (event) => this.#down(event, element, id, what));
    element.addEventListener("pointermove", (event) => this.#move(event));
    element.addEventListener("pointerup", () => this.#up());
    element.addEventListener("pointercancel", () => this.#up());
    element.addEventListener("lostpointercapture", () => this.#up());
    element.addEventListener("keydown", (event) => this.#key(event, id, what));
    element.addEventListener("dblclick", (event) => this.#doubleClick(event, id, what));
    element.addEventListener("focus", () => this.select(id));
  }

  #shape(id) {
    return this.#shapes.find((shape) => shape.id === id);
  }

  #down(event, element, id, what) {
    if (event.button !== 0) return;
    event.stopPropagation();
    event.preventDefault();
    document.activeElement?.blur(); // so that it can come to the top
    this.select(id);
    element.focus({ preventScroll: true });
    const shape = this.#shape(id);
    const processor = this.#processors.get(shape.processor);
    if (isAtRest(processor, shape) || (what === "move" && !isMovable(shape))) return;
    element.setPointerCapture(event.pointerId);
    const at = { x: event.clientX, y: event.clientY };
    this.#drag = { shape, processor, what, at, before: valuesBefore(shape, processor) };
    processor.begin();
  }

  #move(event) {
    if (this.#drag === null) return;
    event.stopPropagation();
    const { shape, processor, what, at } = this.#drag;
    this.#drag.isMoved = true;
    // How far, not where: a handle does not jump when it is taken, nor if the page shifts.
    const dy = (event.clientY - at.y) / this.#image.viewport.rowScale;
    const dx = (event.clientX - at.x) / this.#image.pxPerUnit;
    const dragged = posed(shape, what, (handle) => handle.drag(handle.y + dy, handle.x + dx));
    processor.drag(valuesOf(shape, dragged ?? moved(shape.pose, dy, dx)));
  }

  #up() {
    const drag = this.#drag;
    this.#drag = null;
    if (drag?.isMoved) this.#undo.push(drag.processor, drag.before);
    drag?.processor.release();
  }

  #escape(event) {
    if (event.key !== "Escape" || this.#drag === null) return;
    event.stopPropagation();
    const { processor, before } = this.#drag;
    this.#drag = null;
    processor.release(before);
  }

  // Take back the last drag; false if there is none.
  undo() {
    return this.#drag === null && this.#undo.back();
  }

  #key(event, id, what) {
    if (event.altKey || event.metaKey) return;
    const shape = this.#shape(id);
    const way = ARROWS[event.key];
    if (way === undefined) {
      if (!event.ctrlKey) this.#corner(event, shape, byKey(event.key, shape, what));
      return;
    }
    event.stopPropagation();
    event.preventDefault();
    const processor = this.#processors.get(shape.processor);
    if (isAtRest(processor, shape) || (what === "move" && !isMovable(shape))) return;
    const size = event.shiftKey ? 10 : event.ctrlKey ? 0.1 : 1;
    const [dy, dx] = [way[0] * size, way[1] * size];
    const pose = posed(shape, what, (handle) => handle.step(dy, dx)) ?? moved(shape.pose, dy, dx);
    this.#undo.push(processor, valuesBefore(shape, processor), `${id}/${what}`);
    processor.drag(valuesOf(shape, pose));
  }

  #doubleClick(event, id, what) {
    event.stopPropagation();
    if (what !== "move" || event.target.closest(".knob")) return;
    const { row, col } = this.#image.toImage(event.clientX, event.clientY);
    this.#corner(event, this.#shape(id), byDoubleClick(this.#shape(id), row, col));
  }

  // `made`: what corners.js says.
  #corner(event, shape, made) {
    if (made === null) return;
    event.stopPropagation();
    event.preventDefault();
    const processor = this.#processors.get(shape.processor);
    if (isAtRest(processor, shape)) return;
    if (made.why !== undefined) return processor.complain(made.why);
    this.#undo.push(processor, valuesBefore(shape, processor));
    this.#focus = [shape.id, made.focus];
    processor.drag(valuesOf(shape, made.pose));
  }
}

// What is to be set so that a shape is as it is now.
function valuesBefore(shape, processor) {
  const keys = Object.keys({ inner_px: 0, outer_px: 0, start_deg: 0 });
  if (shape.kind === "ring") {
    const said = keys.map((key) => [key, processor.params[key] ?? null]);
    return Object.fromEntries(said.filter(([, value]) => value !== null));
  }
  const values = valuesOf(shape, shape.pose);
  return shape.centre === "shared" ? { ...values, centre: processor.params.centre } : values;
}

// In which state a shape is: the least settled of its keys.
export function stateOf(processor, shape) {
  const keys = Object.keys(valuesOf(shape, shape.pose));
  if (shape.kind === "ring") keys.push("inner_px", "outer_px", "start_deg");
  if (shape.centre === "shared") keys.push("centre");
  const states = keys.map((key) => processor.stateOf(key));
  return states.find((one) => one !== "holds") ?? "holds";
}

// Whether a shape cannot be dragged now, whatever handle.
function isAtRest(processor, shape) {
  return processor.whyNot !== "" || processor.waits(shape.key || "inner_px");
}

// The pose that a handle of that name brings; undefined for "move".
function posed(shape, what, bring) {
  const handle = KINDS[shape.kind].handles(shape.pose).find((one) => one.id === what);
  return handle && bring(handle);
}

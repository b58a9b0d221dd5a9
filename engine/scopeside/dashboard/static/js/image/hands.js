// What hand and keyboard do on an image: cursor, zoom, pan, pick, and the line of a profile.

const CLICK_PX = 4;
const WHEEL = 0.0015;
const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

export class Hands {
  #stage;
  #does;
  #space = false;
  #drag = null; // {x, y, moved, what: "pan" | "line" | "click"}

  // `does`: {viewport, viewed(), cursor(), cursorAt(row, col), cursorBy(down, right), leave(),
  // pick(), lineMode(), lineFrom(at), lineTo(at), key(key) → whether it was for somebody}
  constructor(stage, does, { zooms }) {
    this.#stage = stage;
    this.#does = does;
    stage.addEventListener("pointermove", (event) => this.#move(event));
    stage.addEventListener("pointerdown", (event) => this.#down(event));
    stage.addEventListener("pointerup", (event) => this.#up(event));
    stage.addEventListener("pointercancel", () => (this.#drag = null));
    stage.addEventListener("pointerleave", () => this.#drag === null && does.leave());
    stage.addEventListener("keydown", (event) => this.#key(event, zooms));
    stage.addEventListener("keyup", (event) => event.key === " " && (this.#space = false));
    stage.addEventListener("blur", () => (this.#space = false));
    if (zooms) {
      stage.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
      stage.addEventListener("dblclick", () => this.#reset());
    }
  }

  #at(event) {
    const box = this.#stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  #down(event) {
    if (event.defaultPrevented || event.button > 1) return; // a handle has taken it
    const pans = event.button === 1 || this.#space;
    if (event.button === 1) event.preventDefault(); // no automatic scrolling
    const what = pans ? "pan" : this.#does.lineMode() ? "line" : "click";
    const [x, y] = this.#at(event);
    this.#drag = { x, y, moved: 0, what };
    if (what !== "click") this.#stage.setPointerCapture(event.pointerId);
    if (what === "line") this.#does.lineFrom(this.#does.viewport.toImage(x, y));
  }

  #move(event) {
    const [x, y] = this.#at(event);
    const drag = this.#drag;
    if (drag !== null) {
      drag.moved += Math.hypot(x - drag.x, y - drag.y);
      // A picture that is larger than its stage is taken along by any drag.
      if (drag.what === "click" && drag.moved > CLICK_PX && this.#does.viewport.zoom > 1) {
        drag.what = "pan";
        this.#stage.setPointerCapture(event.pointerId);
      }
      if (drag.what === "pan") {
        this.#does.viewport.panBy(x - drag.x, y - drag.y);
        this.#does.viewed();
      }
      if (drag.what === "line") this.#does.lineTo(this.#does.viewport.toImage(x, y));
      [drag.x, drag.y] = [x, y];
    }
    const { row, col } = this.#does.viewport.toImage(x, y);
    this.#does.cursorAt(row, col);
  }

  #up(event) {
    const drag = this.#drag;
    this.#drag = null;
    if (drag?.what !== "click" || drag.moved > CLICK_PX || event.defaultPrevented) return;
    const { row, col } = this.#does.viewport.toImage(...this.#at(event));
    this.#does.cursorAt(row, col);
    this.#does.pick();
  }

  #wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    this.#does.viewport.zoomBy(Math.exp(-event.deltaY * lines * WHEEL), ...this.#at(event));
    this.#does.viewed();
  }

  #reset() {
    this.#does.viewport.reset();
    this.#does.viewed();
  }

  #key(event, zooms) {
    if (event.target !== this.#stage || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!this.#done(event, zooms)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  #done(event, zooms) {
    const { key } = event;
    if (key in ARROWS) {
      const [down, right] = ARROWS[key];
      const far = event.shiftKey ? 10 : 1;
      this.#does.cursorBy(down * far, right * far);
    } else if (key === "Enter") this.#does.pick();
    else if (key === " ") this.#space = true;
    else if (zooms && (key === "+" || key === "=")) this.#zoom(1.5);
    else if (zooms && key === "-") this.#zoom(1 / 1.5);
    else if (zooms && key === "0") this.#reset();
    else return this.#does.key(key);
    return true;
  }

  // Zoom at the cursor, or at the middle where there is none.
  #zoom(factor) {
    const at = this.#does.cursor();
    const { viewport } = this.#does;
    const { x, y } = at === null ? {} : viewport.toStage(at.row, at.col);
    viewport.zoomBy(factor, x, y);
    this.#does.viewed();
  }
}

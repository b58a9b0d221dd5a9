// An image that lives: it paints each new version of a result, says how old and how complete
// it is, and lets one look closer. All views use it; what it is made of stands beside it.

import { h } from "../dom.js";
import { Closer } from "./closer.js";
import { ColourBar } from "./colour_bar.js";
import { Cursor } from "./cursor.js";
import { others, join } from "./group.js";
import { Levels } from "./levels.js";
import { Look } from "./looks.js";
import { Saying } from "./saying.js";
import { Scales } from "./scales.js";
import { Stage } from "./stage.js";
import { presented } from "./ticking.js";
import { tellKeys, Tools } from "./tools.js";
import { Values } from "./values.js";

export class LiveImage extends EventTarget {
  #page;
  #options;
  #stage = new Stage();
  #closer = new Closer(this.#stage, () => this.repaint());
  #levels = new Levels();
  #look = new Look(this.#levels, this.#stage.viewport, () => this.#asKept());
  #saying;
  #bar = new ColourBar();
  #scales;
  #tools = null;
  #ends = []; // what to call to want no more updates
  #values = null; // of what is painted
  #invalid = null; // header of an invalid result that came after it
  #waiting = null; // {header, pixels} that came while frozen
  #frozenAt = null;
  #cursor;
  #plane = null;
  #turn = 0; // counts what was to be painted

  // In pixels of the image: x is the column, y the row; (0, 0) is the centre of the first.
  overlay = this.#stage.overlay;
  header = null; // of what is painted
  pixels = null;

  // `key`: the result; `hz`: how often at most; `title`: above it; `controls`: whether there
  // are tools; `compact`: a thumbnail; `group`: shares zoom and cursor with others in it.
  constructor(page, options) {
    super();
    this.#page = page;
    this.#options = { hz: 10, controls: true, compact: false, group: null, ...options };
    this.key = options.key;
    this.#scales = new Scales(page.live, () => this.#measure());
    const { compact, controls } = this.#options;
    const kind = compact ? "figure.live-image.compact" : "figure.live-image";
    this.element = h(kind, { "data-key": this.key });
    this.#saying = new Saying(this.element, this.#stage, page.live, this.#scales);
    this.title = options.title ?? this.key;
    if (controls && !compact) this.#tools = new Tools(this, this.#levels, this.#stage);
    tellKeys(page);
    this.#cursor = new Cursor(this, this.#stage, {
      tools: this.#tools,
      others: () => this.#others(),
      viewed: () => this.viewed(),
      zooms: !compact,
    });
    const head = h("div.head", {}, this.#saying.caption, this.#tools?.element);
    const foot = h("div.foot", {}, this.#bar.element, this.#cursor.readout);
    this.element.append(head, ...(this.#tools ? [this.#tools.planes] : []), this.#stage.element);
    if (!compact) this.element.append(foot);
    if (this.#tools) this.element.append(this.#tools.panels);
    this.#stage.addEventListener("layout", () => {
      this.dispatchEvent(new Event("zoom"));
      this.#closer.look();
    });
    this.#say();
  }

  // Want updates.
  show() {
    if (this.#ends.length > 0) return;
    const { hz, group } = this.#options;
    const paint = (header, pixels) => this.paint(header, pixels);
    this.#ends.push(this.#page.live.image(this.key, hz, paint, this.#plane), this.#scales.follow());
    if (group !== null) this.#ends.push(join(group, this));
    if (this.#tools !== null) this.#ends.push(this.keep());
    this.#saying.watch(() => this.#say(), () => this.#isSeen);
  }

  // Look as this browser has kept it, and keep how one looks; returns a function that ends it.
  keep() {
    const end = this.#look.begin(this.key);
    if (this.#values !== null) this.#asKept();
    return end;
  }

  // Want none.
  hide() {
    for (const end of this.#ends.splice(0)) end();
    this.#saying.rest();
  }

  // Show another result.
  setKey(key) {
    if (key === this.key) return;
    this.key = key;
    this.element.dataset.key = key;
    this.#plane = null;
    this.#turn += 1;
    this.#saying.begin();
    // What is painted belongs to another result.
    this.header = this.pixels = this.#values = this.#invalid = this.#waiting = null;
    delete this.element.dataset.number;
    this.#cursor.read();
    this.#say();
    this.#restart();
  }

  set title(text) {
    this.#saying.title = text;
  }

  // Choose a plane of a result with several (a class, a scan); null: the usual one.
  setPlane(number) {
    this.#plane = number;
    this.#restart();
  }

  // Paint a message of picture.py; resolves when it is on the screen.
  async paint(header, pixels) {
    if (this.#ends.length > 0) this.#saying.heard(header);
    this.#saying.watch(() => this.#say(), () => this.#isSeen);
    const turn = (this.#turn += 1);
    const isPicture = header.valid !== false && pixels.length > 0;
    const values = isPicture ? new Values(header, pixels) : null;
    if (isPicture && !this.frozen && this.#closer.looks(values)) await this.#closer.refine(values);
    if (turn !== this.#turn) return presented(); // a newer one was quicker
    if (this.frozen && this.#values !== null) {
      this.#waiting = { header, pixels };
      this.#say();
      return presented();
    }
    if (isPicture) this.#take(values);
    else this.#invalid = header;
    this.element.dataset.number = header.number;
    this.#say();
    await presented();
    const t_painted_ms = performance.timeOrigin + performance.now();
    return this.tell("paint", { ...header, t_painted_ms });
  }

  // {row, col} of the image, floats, of a place on the screen.
  toImage(clientX, clientY) {
    const { left, top } = this.#stage.element.getBoundingClientRect();
    return this.viewport.toImage(clientX - left, clientY - top);
  }

  // What stands at a pixel: a number (NaN: not seen), or a list of vectors and colours;
  // undefined beyond the image.
  valueAt(row, col) {
    return this.#values?.at(row, col);
  }

  // Which part is seen, and how; the event "zoom" says that it has changed.
  get viewport() {
    return this.#stage.viewport;
  }

  // Pixels of the screen per pixel of the image, along a row.
  get pxPerUnit() {
    return this.viewport.scale;
  }

  get rows() {
    return this.viewport.rows;
  }

  get columns() {
    return this.viewport.columns;
  }

  get values() {
    return this.#values;
  }

  get frozen() {
    return this.#frozenAt !== null;
  }

  // Hold the picture, or go on with what came last.
  set frozen(wanted) {
    if (wanted === this.frozen) return;
    this.#frozenAt = wanted ? Date.now() : null;
    const waiting = this.#waiting;
    this.#waiting = null;
    if (wanted) this.#closer.hold();
    if (!wanted && waiting !== null) this.paint(waiting.header, waiting.pixels);
    this.#say();
  }

  // Contrast, to be kept and given back: `USUAL` in levels.js.
  get contrast() {
    return structuredClone(this.#levels.settings);
  }

  set contrast(settings) {
    Object.assign(this.#levels.settings, settings);
    this.#look.keep();
    this.repaint();
    this.tell("contrast", this.contrast);
  }

  get range() {
    const { low, high, map } = this.#levels;
    return { low, high, map };
  }

  // Paint the same values again, as after another contrast.
  repaint() {
    if (this.#values === null) return;
    this.#levels.follow(this.#values);
    this.#stage.paint(this.#values, this.#levels);
    this.#closer.painted(this.#values);
    this.#bar.draw(this.#values, this.#levels);
    this.#tools?.painted(this.#values);
    this.#cursor.read();
  }

  // Have the cursor on a pixel, or none; see Cursor.
  setCursor(at, how) {
    this.#cursor.set(at, how);
  }

  // Show the part of the image that another one shows.
  follow(viewport) {
    this.#stage.viewport.follow(viewport);
    this.#stage.layout();
    this.#look.keep();
  }

  // The view was moved by a person: others of the group follow.
  viewed() {
    this.follow(this.viewport);
    for (const other of this.#others()) other.follow(this.#stage.viewport);
  }

  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  #others() {
    const { group } = this.#options;
    return group === null ? [] : others(group, this);
  }

  #take(values) {
    const { header, pixels } = values;
    this.header = header;
    this.pixels = pixels;
    this.#invalid = null;
    this.#values = values;
    this.repaint();
    if (this.#look.shown()) this.#stage.layout();
    this.#measure();
    this.element.classList.remove("empty");
  }

  #asKept() {
    this.repaint();
    this.#look.shown();
    this.#stage.layout();
  }

  #restart() {
    if (this.#ends.length === 0) return;
    this.hide();
    this.show();
  }

  #measure() {
    if (this.header === null) return;
    this.header.pixel ??= this.#scales.of(this.header);
    this.#stage.measure(this.header.pixel);
    if (this.#levels.begin(this.#scales.isDiffraction(this.header))) this.repaint();
    this.#cursor.read();
  }

  get #isSeen() {
    return this.element.isConnected || this.#ends.length > 0;
  }

  // Say how things are: caption, age, grey.
  #say() {
    this.#saying.say({
      header: this.header,
      invalid: this.#invalid,
      isShown: this.#ends.length > 0,
      frozenAt: this.#frozenAt,
      hasNewer: this.#waiting !== null,
    });
  }
}

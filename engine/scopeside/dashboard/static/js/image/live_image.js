// An image that lives: it paints each new version of a result, says how old and how complete
// it is, and lets one look closer. All views use it; what it is made of stands beside it.

import { h } from "../dom.js";
import { Caption, Freshness } from "./caption.js";
import { ColourBar } from "./colour_bar.js";
import { Cursor } from "./cursor.js";
import { others, join } from "./group.js";
import { Levels } from "./levels.js";
import { Scales } from "./scales.js";
import { Stage } from "./stage.js";
import { everyTick, presented } from "./ticking.js";
import { tellKeys, Tools } from "./tools.js";
import { ageWords, clock } from "./units.js";
import { Values } from "./values.js";

export class LiveImage extends EventTarget {
  #page;
  #options;
  #stage = new Stage();
  #levels = new Levels();
  #caption = new Caption();
  #fresh = new Freshness();
  #bar = new ColourBar();
  #scales;
  #tools = null;
  #ends = []; // what to call to want no more updates
  #tick = null;
  #values = null; // of what is painted
  #invalid = null; // header of an invalid result that came after it
  #waiting = null; // {header, pixels} that came while frozen
  #frozenAt = null;
  #cursor;
  #plane = null;

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
    this.title = options.title ?? this.key;
    if (controls && !compact) this.#tools = new Tools(this, this.#levels, this.#stage);
    tellKeys(page);
    this.#cursor = new Cursor(this, this.#stage, {
      tools: this.#tools,
      others: () => this.#others(),
      viewed: () => this.viewed(),
      zooms: !compact,
    });
    const head = h("div.head", {}, this.#caption.element, this.#tools?.element);
    const foot = h("div.foot", {}, this.#bar.element, this.#cursor.readout);
    this.element.append(head, ...(this.#tools ? [this.#tools.planes] : []), this.#stage.element);
    if (!compact) this.element.append(foot);
    if (this.#tools) this.element.append(this.#tools.panels);
    this.#stage.addEventListener("layout", () => this.dispatchEvent(new Event("zoom")));
    this.#say();
  }

  // Want updates.
  show() {
    if (this.#ends.length > 0) return;
    const { hz, group } = this.#options;
    const paint = (header, pixels) => this.paint(header, pixels);
    this.#ends.push(this.#page.live.image(this.key, hz, paint, this.#plane), this.#scales.follow());
    if (group !== null) this.#ends.push(join(group, this));
    this.#watch();
  }

  // Want none.
  hide() {
    for (const end of this.#ends.splice(0)) end();
    this.#tick?.();
    this.#tick = null;
  }

  // Show another result.
  setKey(key) {
    if (key === this.key) return;
    this.key = key;
    this.element.dataset.key = key;
    this.#plane = null;
    this.#fresh = new Freshness();
    // What is painted belongs to another result.
    this.header = this.pixels = this.#values = this.#invalid = this.#waiting = null;
    delete this.element.dataset.number;
    this.#cursor.read();
    this.#say();
    this.#restart();
  }

  set title(text) {
    this.#caption.title(text);
    this.#stage.element.setAttribute(
      "aria-label",
      `${text}: arrow keys move the cursor, Enter picks, plus and minus zoom`,
    );
  }

  // Choose a plane of a result with several (a class, a scan); null: the usual one.
  setPlane(number) {
    this.#plane = number;
    this.#restart();
  }

  // Paint a message of picture.py; resolves when it is on the screen.
  async paint(header, pixels) {
    if (this.#ends.length > 0) this.#fresh.heard(header);
    this.#watch();
    if (this.frozen && this.#values !== null) {
      this.#waiting = { header, pixels };
      this.#say();
      return presented();
    }
    if (header.valid === false || pixels.length === 0) this.#invalidate(header);
    else this.#take(header, pixels);
    this.#say();
    await presented();
    const t_painted_ms = performance.timeOrigin + performance.now();
    return this.tell("paint", { ...header, t_painted_ms });
  }

  // {row, col} of the image, floats, of a place on the screen.
  toImage(clientX, clientY) {
    const box = this.#stage.element.getBoundingClientRect();
    return this.#stage.viewport.toImage(clientX - box.left, clientY - box.top);
  }

  // What stands at a pixel: a number (NaN: not seen), or a list of vectors and colours;
  // undefined beyond the image.
  valueAt(row, col) {
    return this.#values?.at(row, col);
  }

  // Pixels of the screen per pixel of the image; the event "zoom" says that it has changed.
  get pxPerUnit() {
    return this.#stage.viewport.scale;
  }

  get rows() {
    return this.#stage.viewport.rows;
  }

  get columns() {
    return this.#stage.viewport.columns;
  }

  // All that can be asked of the picture itself.
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
    if (!wanted && waiting !== null) this.paint(waiting.header, waiting.pixels);
    this.#say();
  }

  // Contrast, to be kept and given back: `USUAL` in levels.js.
  get contrast() {
    return structuredClone(this.#levels.settings);
  }

  set contrast(settings) {
    Object.assign(this.#levels.settings, settings);
    this.repaint();
    this.tell("contrast", this.contrast);
  }

  // What is black and white now, and the colours between.
  get range() {
    const { low, high, map } = this.#levels;
    return { low, high, map };
  }

  // Paint the same values again, as after another contrast.
  repaint() {
    if (this.#values === null) return;
    this.#levels.follow(this.#values);
    this.#stage.paint(this.#values, this.#levels);
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
  }

  // The view was moved by a person: others of the group follow.
  viewed() {
    this.#stage.layout();
    for (const other of this.#others()) other.follow(this.#stage.viewport);
  }

  // Tell those who listen.
  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  #others() {
    const { group } = this.#options;
    return group === null ? [] : others(group, this);
  }

  #take(header, pixels) {
    this.header = header;
    this.pixels = pixels;
    this.#invalid = null;
    this.#values = new Values(header, pixels);
    this.repaint();
    this.#measure();
    this.element.dataset.number = header.number;
    this.element.classList.remove("empty");
  }

  #invalidate(header) {
    this.#invalid = header;
    this.element.dataset.number = header.number;
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

  #watch() {
    this.#tick ??= everyTick(() => {
      this.#say();
      if (this.element.isConnected || this.#ends.length > 0) return;
      this.#tick?.();
      this.#tick = null;
    });
  }

  // Say how things are: caption, age, grey.
  #say() {
    const header = this.#invalid ?? this.header;
    if (header === null) {
      this.element.classList.add("empty");
      this.#stage.notice("nothing yet", "");
      return;
    }
    const { live } = this.#page;
    const shown = this.header ?? header;
    const seen = shown.t_frame_ms || shown.t_published_ms;
    const ageMs = seen ? live.ageMs(seen) : null;
    const isLive = this.#ends.length > 0 && !this.frozen;
    const isOld = isLive && (live.state === "lost" || this.#fresh.isOverdue(header));
    const age = ageMs === null ? "old" : ageWords(ageMs);
    const letGo = this.#scales.letGo(header);
    const reason = header.valid === false ? header.reason || "invalid" : "";
    this.element.toggleAttribute("data-stale", isOld);
    this.element.toggleAttribute("data-invalid", reason !== "");
    this.#caption.say(header, isOld || this.frozen ? Math.max(ageMs, 2000) : ageMs, letGo);
    const notice = [reason, isOld ? age : ""].filter(Boolean).join(" · ");
    this.#stage.notice(notice, this.#frozenWords());
  }

  #frozenWords() {
    if (!this.frozen) return "";
    const missed = this.#waiting === null ? "" : " · newer is there";
    return `FROZEN since ${clock(this.#frozenAt)}${missed}`;
  }
}

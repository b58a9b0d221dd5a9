// This tab's copy of the record of the experiment (insitu.py): asked for by what has changed,
// so that hours of it cost no more than the last half second.

import { question } from "../ask.js";
import { gapsOf } from "./bands.js";

const BEFORE = ["growth", "births", "diffusion", "rate", "dose", "run", "channel"];

const USUAL_FRAMES = 25; // that an analysis is behind the view of its movie

export class Record extends EventTarget {
  #epoch = "";
  #revision = -1;
  #asking = false;
  #again = false;

  lines = new Map(); // id -> {id, row, label, every, t, v, low, high, band, gaps}
  events = new Map(); // uid -> what insitu_told.py says, in the order of their news
  marks = []; // beginnings of acquisitions: {acq, t}
  told = null; // the last answer
  failure = ""; // why there is none
  view = null; // {acq, frame, drift} of the newest picture that tells its own drift
  wantsOutlines = false;

  // Ask for what is new; the event "news" says that it has come, or why not.
  async ask() {
    this.#again = this.#asking;
    if (this.#asking) return;
    this.#asking = true;
    try {
      const outlines = this.wantsOutlines ? 1 : 0;
      this.take(await question("insitu", { epoch: this.#epoch, since: this.#revision, outlines }));
      this.failure = "";
    } catch (error) {
      this.failure = error.message;
    }
    this.#asking = false;
    this.dispatchEvent(new Event("news"));
    if (this.#again) this.ask();
  }

  // Take an answer.
  take(told) {
    if (told.whole) {
      this.lines.clear();
      this.events.clear();
    }
    this.#epoch = told.epoch;
    this.#revision = told.revision;
    this.told = told;
    this.marks = told.marks;
    for (const line of told.lines) this.#takeLine(line);
    for (const event of told.events) {
      const course = event.course ?? this.events.get(event.uid)?.course;
      this.events.delete(event.uid);
      this.events.set(event.uid, { ...event, course });
    }
    const kept = new Set(told.event_ids);
    for (const uid of this.events.keys()) if (!kept.has(uid)) this.events.delete(uid);
  }

  // Rows of plots: those of lines, and one for the sizes of nuclei.
  get rows() {
    const rows = [...(this.told?.rows ?? [])];
    const sized = [...this.events.values()].some((event) => event.course?.length > 1);
    const unit = this.told?.nm_per_px ? "nm" : "px";
    if (sized && !rows.some((row) => row.id === `radius ${unit}`)) {
      const at = rows.findIndex((row) => BEFORE.some((name) => row.id.startsWith(name)));
      const row = { id: `radius ${unit}`, title: "radius", unit, limits: [], words: "" };
      rows.splice(at < 0 ? rows.length : at, 0, row);
    }
    return rows;
  }

  // Sizes of nuclei over time, in the unit of the row.
  courses(unit) {
    const scale = unit === "nm" ? this.told.nm_per_px : 1;
    const found = [];
    for (const event of this.events.values()) {
      if (!event.course?.length) continue;
      const t = event.course.map(([at]) => at);
      found.push({ uid: event.uid, t, v: event.course.map(([, radius]) => scale * radius) });
    }
    return found;
  }

  // How far content had moved by a frame, [dy, dx] px: from the nearest one before it that is
  // known. A view that is further than the analysis tells its own drift.
  driftAt(frame) {
    const known = this.told?.drift ?? [];
    const own = this.view !== null && this.view.acq === this.told?.acq ? this.view : null;
    if (own !== null && this.behind(own.frame) > 0 && this.behind(frame) > 0) return own.drift;
    if (known.length === 0) return [0, 0];
    let at = known.length - 1;
    while (at > 0 && known[at][0] > frame) at -= 1;
    const [, dy, dx] = known[at];
    return [dy, dx];
  }

  // By how many frames the drift that is known is behind a frame; 0 if no more than usual.
  behind(frame) {
    const last = this.told?.drift.at(-1)?.[0] ?? frame;
    return frame - last > USUAL_FRAMES ? frame - last : 0;
  }

  // Until when a line is known: as long as anything of its chain is.
  knownUntil(line) {
    const chain = line.id.split(".")[0];
    let until = 0;
    for (const { id, t } of this.lines.values()) {
      if (id.split(".")[0] === chain) until = Math.max(until, t.at(-1) ?? 0);
    }
    return until;
  }

  // Events, the latest news first.
  latest() {
    return [...this.events.values()].reverse();
  }

  // Time of day of a time of the record, ms since 1970.
  wallMs(t) {
    return this.told.origin_ms + 1000 * t;
  }

  // What an acquisition is called: by the time of day at which it began.
  acquisition(acq) {
    const mark = this.marks.find((one) => one.acq === acq);
    if (mark === undefined) return "an earlier acquisition";
    return `the acquisition of ${new Date(this.wallMs(mark.t)).toLocaleTimeString("en-GB")}`;
  }

  #takeLine({ id, row, label, holds, every, after, t, v, band, low, high }) {
    const line = this.lines.get(id) ?? { id, t: [], v: [], low: [], high: [], band: "" };
    let kept = after === null ? 0 : line.t.length;
    while (kept > 0 && line.t[kept - 1] > after) kept -= 1;
    for (const name of ["t", "v", "low", "high"]) line[name].length = kept;
    for (let i = 0; i < t.length; i += 1) {
      line.t.push(t[i]);
      line.v.push(v[i] ?? NaN);
      line.low.push(low?.[i] ?? NaN);
      line.high.push(high?.[i] ?? NaN);
    }
    Object.assign(line, { row, label, holds, every, band: band ?? line.band });
    line.gaps = holds || id.startsWith("channel") ? [] : gapsOf(line);
    this.lines.set(id, line);
  }
}

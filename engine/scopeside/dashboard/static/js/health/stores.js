// What holds frames: the memory that the detector fills (slab), and the recording.

import { bytes, duration, percent, whole } from "../amounts.js";
import { h } from "../dom.js";
import { fillBar, makeBar } from "./bars.js";
import { Facts } from "./facts.js";

export class Slab {
  #bar = makeBar("memory for frames in use");
  #facts = new Facts();
  element = h("div", {}, this.#bar, this.#facts.element);

  fill({ slab, rates }) {
    const share = slab.slots ? slab.in_use / slab.slots : 0;
    const text = slab.slots ? `${whole(slab.in_use)} of ${whole(slab.slots)} slots` : "no batch yet";
    fillBar(this.#bar, share, text, share >= 1 ? "bad" : share > 0.75 ? "warn" : "ok");
    this.#facts.fill([
      ["size", bytes(slab.bytes)],
      ["comes", `${whole(rates.frames_per_s)} frames/s, ${bytes(1e9 * (rates.gb_per_s ?? 0))}/s`],
      ["received", `${whole(rates.frames)} frames, ${bytes(rates.bytes)}`],
      ["the detector waits", `${percent(slab.waits_share)} of the last 5 s`],
    ]);
  }
}

const STATES = {
  ok: "ok",
  starting: "starting",
  lagging: "LAGGING: the disk is slower than the detector",
  disk_full: "DISK FULL",
  disk_failed: "THE DISK CANNOT BE WRITTEN TO",
  lost: "GIVEN UP",
};

export class Recording {
  #bar = makeBar("spool");
  #facts = new Facts();
  #none = h("p.none", {}, "nothing is recorded: the pipeline has no [record]");
  element = h("div", {}, this.#bar, this.#facts.element, this.#none);

  fill(record) {
    const isThere = record.state !== undefined;
    this.#bar.hidden = this.#facts.element.hidden = !isThere;
    this.#none.hidden = isThere;
    if (!isThere) return;
    const share = record.spool_share ?? 0;
    const level = share > 0.75 ? "bad" : share > 0.25 ? "warn" : "ok";
    fillBar(this.#bar, share, `spool ${percent(share)} full`, level);
    this.#facts.fill([
      ["state", STATES[record.state] ?? record.state],
      ["comes, written", `${whole(record.in_mb_per_s)} MB/s, ${whole(record.disk_mb_per_s)} MB/s`],
      ["waits for the disk", bytes(record.backlog_bytes)],
      ["spool full in", full(record)],
      ["free on the disk", free(record)],
      ["recorded", `${whole(record.frames)} frames, ${bytes(record.bytes)}`],
      ["not recorded", lost(record.lost)],
      ...open(record.open),
    ]);
  }
}

function full({ full_in_s: s }) {
  return s === null || s === undefined ? "it does not fill" : duration(s);
}

function free({ free_bytes: left, disk_mb_per_s: pace }) {
  if (left === null || left === undefined) return "not known yet";
  return pace > 0 ? `${bytes(left)}, ${duration(left / (1e6 * pace))} at this pace` : bytes(left);
}

function lost(causes) {
  const all = Object.entries(causes ?? {});
  return all.length ? all.map(([cause, n]) => `${whole(n)} ${cause}`).join(", ") : "none";
}

function open(runs) {
  return Object.values(runs ?? {}).map((run) => [
    "being written",
    `${run.folder}: ${whole(run.frames)} frames, ${bytes(run.bytes)}`,
  ]);
}

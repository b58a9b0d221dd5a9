// Acquisitions: those under way with their progress, and the last that are over.

import { clock, whole } from "../amounts.js";
import { h } from "../dom.js";
import { fillBar, makeBar } from "./bars.js";
import { Rows } from "./rows.js";
import { sign } from "./signs.js";

export function openRows() {
  return new Rows(
    [
      { head: "acquisition", text: (one) => one.id },
      { head: "since", text: (one) => clock(one.started_ms, { seconds: true }) },
      { head: "kind", text: (one) => one.kind },
      { head: "detector", text: (one) => one.detector },
      { head: "frames", make: () => makeBar("frames received"), fill: fillProgress },
    ],
    "none is open",
    "acquisitions under way",
  );
}

function fillProgress(bar, { received, frames, missing }) {
  const of = frames ? ` of ${whole(frames)}` : "";
  const text = `${whole(received)}${of} frames, ${whole(missing)} missing`;
  fillBar(bar, frames ? received / frames : 0, text, missing ? "warn" : "ok");
}

const LEVELS = { complete: "ok", stopped: "ok", incomplete: "warn", failed: "bad" };

export function endedRows() {
  return new Rows(
    [
      { head: "", make: () => h("span"), fill: fillSign },
      { head: "acquisition", text: (one) => one.id },
      { head: "since", text: (one) => clock(one.started_ms, { seconds: true }) },
      { head: "state", text: (one) => (one.reason ? `${one.state}: ${one.reason}` : one.state) },
      { head: "received", number: true, text: received },
      { head: "missing", number: true, text: (one) => whole(one.missing) },
      { head: "account", text: (one) => (one.closed ? "closed" : "open") },
    ],
    "none is over yet",
    "acquisitions that are over",
  );
}

function received({ received: n, frames }) {
  return frames ? `${whole(n)} of ${whole(frames)}` : whole(n);
}

function fillSign(element, { state }) {
  const level = LEVELS[state] ?? "warn";
  if (element.dataset.level === level) return;
  element.dataset.level = level;
  element.replaceChildren(sign(level));
}

// Chains (edges of the engine): rates, what waits, what is lost and why.

import { duration, perSecond, whole } from "../amounts.js";
import { h } from "../dom.js";
import { fillCurve, makeCurve } from "./bars.js";
import { Rows } from "./rows.js";
import { sign } from "./signs.js";

export function chainRows(page) {
  return new Rows(
    [
      { head: "chain", text: (edge) => edge.name },
      { head: "processed", number: true, text: (edge) => perSecond(edge.processed_per_s) },
      { head: "2 min", make: makeCurve, fill: (curve, edge) => fillCurve(curve, edge.curve) },
      { head: "frames", number: true, text: done },
      { head: "not processed, last 5 s", text: lostNow },
      { head: "batches waiting", number: true, text: (edge) => whole(edge.queued) },
      { head: "held", number: true, text: (edge) => whole(edge.held) },
      { head: "workers", number: true, text: workers },
      { head: "behind", number: true, text: behind },
      { head: "newest result", number: true, text: (edge) => resultAge(page, edge) },
    ],
    "no chain yet",
    "chains",
  );
}

function done({ processed, announced }) {
  return `${whole(processed)} of ${whole(announced)}`;
}

function workers({ workers: n, degraded }) {
  return degraded ? `${whole(n)} (given up)` : whole(n);
}

function behind({ behind_s: s }) {
  return s === null ? "stands still" : duration(s);
}

function lostNow({ lost_per_s: lost }) {
  const causes = Object.entries(lost);
  return causes.length ? causes.map(([cause, n]) => `${perSecond(n)} ${cause}`).join(", ") : "0";
}

function resultAge(page, { name, result_ms: ms }) {
  if (name === "record") return "–";
  return ms === null ? "none yet" : `${duration(Math.max(0, page.live.ageMs(ms)) / 1000)} ago`;
}

export function lossRows() {
  return new Rows(
    [
      { head: "", make: () => h("span"), fill: fillSign },
      { head: "chain", text: (loss) => loss.edge },
      { head: "frames", number: true, text: (loss) => whole(loss.frames) },
      { head: "last minute", number: true, text: (loss) => (loss.new ? `+${whole(loss.new)}` : "0") },
      { head: "cause", text: (loss) => `${loss.outcome}: ${loss.cause}` },
      { head: "because", text: (loss) => loss.why },
      { head: "what to do", text: (loss) => loss.what_to_do || "nothing; it was asked for" },
    ],
    "no frame was lost",
    "frames not processed, by cause",
  );
}

function fillSign(element, { level }) {
  if (element.dataset.level === level) return;
  element.dataset.level = level;
  element.replaceChildren(sign(level));
}

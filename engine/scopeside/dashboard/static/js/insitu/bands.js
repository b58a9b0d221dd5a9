// The bands beside a line, and where a line has a gap.

import { firstFrom } from "./slices.js";

const SAMPLED = 64; // distances that tell how far apart points usually are
const WIDE = 6; // times the usual distance: a gap
const LEAST_GAP_S = 3;

// Polygons {x, y} between the lower and the upper ends of {t, low, high} in a stretch of time,
// of about `most` points at most. A band ends where an end is missing, and at `breaks`.
export function bandsOf({ t, low, high }, start, end, most, breaks = []) {
  const from = Math.max(0, firstFrom(t, start) - 1);
  const to = Math.min(t.length, firstFrom(t, end) + 2);
  const step = Math.max(1, Math.ceil((2 * (to - from)) / most));
  const torn = new Set(breaks.map((when) => firstFrom(t, when)));
  const found = { x: [], y: [] };
  let part = [];
  for (let at = from; at < to; at += 1) {
    const isKnown = Number.isFinite(low[at]) && Number.isFinite(high[at]);
    if (!isKnown || torn.has(at)) {
      putPolygon(found, part);
      part = [];
    }
    if (!isKnown) continue;
    const last = part.at(-1);
    if (last !== undefined && last.count < step) {
      last.low = Math.min(last.low, low[at]);
      last.high = Math.max(last.high, high[at]);
      last.t1 = t[at];
      last.count += 1;
    } else {
      part.push({ t0: t[at], t1: t[at], low: low[at], high: high[at], count: 1 });
    }
  }
  putPolygon(found, part);
  return found;
}

// Times at which a line goes on after a gap: much longer without a point than usual.
export function gapsOf({ t }) {
  if (t.length < 8) return [];
  const every = Math.ceil(t.length / SAMPLED);
  const distances = [];
  for (let i = 1; i < t.length; i += every) distances.push(t[i] - t[i - 1]);
  distances.sort((a, b) => a - b);
  const usual = distances[Math.floor(0.9 * (distances.length - 1))];
  const least = Math.max(LEAST_GAP_S, WIDE * usual);
  const found = [];
  for (let i = 1; i < t.length; i += 1) if (t[i] - t[i - 1] > least) found.push(t[i]);
  return found;
}

function putPolygon(found, part) {
  if (part.length === 0 || (part.length === 1 && part[0].t0 === part[0].t1)) return;
  const x = part.flatMap(({ t0, t1 }) => (t0 === t1 ? [t0] : [t0, t1]));
  const ends = (name) => part.flatMap((one) => (one.t0 === one.t1 ? [one[name]] : [one[name], one[name]]));
  found.x.push([...x, ...x.toReversed()]);
  found.y.push([...ends("high"), ...ends("low").toReversed()]);
}

// The part of a line that a plot shows, with no more points than it has pixels.

const LITTLE_S = 1e-6;

// Points of {t, v} between `start` and `end`, and one beyond each, at most about `most`:
// neighbours become their least and their largest. A line is torn at each of `breaks`.
export function sliceOf({ t, v }, start, end, most, breaks = []) {
  const from = Math.max(0, firstFrom(t, start) - 1);
  const to = Math.min(t.length, firstFrom(t, end) + 2);
  const step = Math.max(1, Math.ceil((2 * (to - from)) / most));
  const found = { t: [], v: [] };
  const torn = breaks.filter((when) => when > t[from] && when <= t[to - 1]).sort((a, b) => a - b);
  const edges = [...torn.map((when) => firstFrom(t, when)), to];
  let at = from;
  for (const [number, edge] of edges.entries()) {
    for (; at < edge; at += step) putPart(found, t, v, at, Math.min(edge, at + step));
    at = edge;
    if (number < torn.length) put(found, torn[number], NaN);
  }
  return found;
}

// The same line with a point at each step, for what stays till another value comes.
// It does not stay beyond any of `breaks`.
export function held({ t, v }, now, breaks = []) {
  const found = { t: [], v: [] };
  for (let i = 0; i < t.length; i += 1) {
    const torn = breaks.find((when) => when > t[i - 1] && when <= t[i]);
    if (i > 0) put(found, torn === undefined ? t[i] : torn - LITTLE_S, v[i - 1]);
    put(found, t[i], v[i]);
  }
  if (t.length > 0 && now > t.at(-1)) put(found, now, v.at(-1));
  return found;
}

// Index of the first time not before `when`.
export function firstFrom(t, when) {
  let low = 0;
  let high = t.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (t[middle] < when) low = middle + 1;
    else high = middle;
  }
  return low;
}

// Index of the last point not after a time; -1 before the first.
export function indexAt(t, when) {
  const at = firstFrom(t, when);
  return t[at] === when ? at : at - 1;
}

function putPart(found, t, v, from, to) {
  if (to - from < 3) for (let i = from; i < to; i += 1) put(found, t[i], v[i]);
  else putExtremes(found, t, v, from, to);
}

function putExtremes(found, t, v, from, to) {
  let least = from;
  let largest = from;
  for (let i = from; i < to; i += 1) {
    if (!(v[i] >= v[least])) least = i;
    if (!(v[i] <= v[largest])) largest = i;
  }
  put(found, t[Math.min(least, largest)], v[Math.min(least, largest)]);
  if (least !== largest) put(found, t[Math.max(least, largest)], v[Math.max(least, largest)]);
}

function put(found, t, v) {
  found.t.push(t);
  found.v.push(v);
}

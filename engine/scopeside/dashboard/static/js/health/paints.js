// From frame to pixel, as this tab measures it: the ages of images when they are on the
// screen, over the last minute in which there were any.

const MOST = 2000;
const MINUTE_MS = 60_000;

export class Paints {
  #kept = []; // {atMs, ageMs, frameAgeMs}, oldest first

  constructor(live) {
    live.addEventListener("painted", ({ detail }) => {
      this.#kept.push({ atMs: Date.now(), ...detail });
      if (this.#kept.length > MOST) this.#kept.splice(0, MOST / 2);
    });
  }

  // {count, lastMs, published: {p50, p95}, frame: {p50, p95}}, ms; null before the first.
  summary() {
    const lastMs = this.#kept.at(-1)?.atMs;
    if (lastMs === undefined) return null;
    this.#kept = this.#kept.filter((one) => lastMs - one.atMs < MINUTE_MS);
    const frames = this.#kept.map((one) => one.frameAgeMs).filter((age) => age !== undefined);
    return {
      count: this.#kept.length,
      lastMs,
      published: quantiles(this.#kept.map((one) => one.ageMs)),
      frame: quantiles(frames),
    };
  }
}

function quantiles(ages) {
  const sorted = Float64Array.from(ages).sort();
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  return { p50: at(0.5), p95: at(0.95) };
}

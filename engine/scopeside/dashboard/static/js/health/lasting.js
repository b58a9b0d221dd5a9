// What of the sentences is seen, so that the banner does not flicker: one appears when it
// has lasted for a second, and stays for three when it is over. No clock of its own.

export const APPEARS_MS = 1000;
export const STAYS_MS = 3000;
const ORDER = ["bad", "warn", "ok"];

export class Lasting {
  #known = new Map(); // about -> {sentence, firstMs, shownMs, overMs}

  // Take what is said now; return what is to be seen, worst first, `over` what is past.
  see(sentences, nowMs) {
    const now = new Map(sentences.map((one, place) => [one.about, { ...one, place }]));
    for (const [about, sentence] of now) {
      const known = this.#known.get(about);
      if (known === undefined) {
        this.#known.set(about, { sentence, firstMs: nowMs, shownMs: null, overMs: null });
      } else {
        Object.assign(known, { sentence, overMs: null });
      }
    }
    for (const [about, one] of this.#known) {
      if (!now.has(about)) one.overMs ??= nowMs;
      const isShort = one.overMs !== null && one.shownMs === null;
      if (isShort || (one.overMs !== null && nowMs - one.overMs >= STAYS_MS)) {
        this.#known.delete(about);
      } else if (nowMs - one.firstMs >= APPEARS_MS) {
        one.shownMs ??= nowMs;
      }
    }
    return [...this.#known.values()]
      .filter((one) => one.shownMs !== null)
      .map((one) => ({ ...one.sentence, over: one.overMs !== null }))
      .sort((a, b) => rank(a) - rank(b) || a.place - b.place);
  }
}

function rank({ level, over }) {
  return ORDER.indexOf(level) + (over ? ORDER.length : 0);
}

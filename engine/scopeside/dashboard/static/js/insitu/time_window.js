// The time that all plots show: all of it, the newest, or what somebody has chosen.

const SHORTEST_S = 2;
const LEAST_S = 10; // so much is shown at the beginning
const ROOM = 0.02; // of the window, right of the newest

export class TimeWindow extends EventTarget {
  start = 0;
  end = LEAST_S;
  now = 0; // the newest time
  mode = "all"; // or "live": the newest stretch; or "fixed"

  // Take the newest time.
  advance(now) {
    this.now = Math.max(now, 0);
    if (this.mode === "all") this.#put(0, this.#all());
    else if (this.mode === "live") this.#put(this.#last() - this.span, this.#last());
  }

  get span() {
    return this.end - this.start;
  }

  showAll() {
    this.mode = "all";
    this.#put(0, this.#all());
  }

  // Go on with the newest, as much of it as is shown now: at most a minute after all.
  goLive() {
    const span = this.mode === "all" ? Math.min(60, this.span) : this.span;
    this.mode = "live";
    this.#put(this.#last(span) - span, this.#last(span));
  }

  // Show a stretch that somebody has chosen.
  choose(start, end) {
    const span = Math.max(SHORTEST_S, end - start);
    const middle = (start + end) / 2;
    this.mode = "fixed";
    this.#put(middle - span / 2, middle + span / 2);
  }

  // Zoom about a time; while it is live, about the newest.
  zoom(factor, about = this.mode === "live" ? this.#last() : (this.start + this.end) / 2) {
    const span = Math.max(SHORTEST_S, this.span * factor);
    const real = span / this.span;
    const start = about - (about - this.start) * real;
    if (this.mode === "live") this.#put(start, start + span);
    else this.choose(start, start + span);
  }

  // Move by a part of what is shown.
  move(share) {
    this.choose(this.start + share * this.span, this.end + share * this.span);
  }

  // Have a time in sight.
  reveal(t) {
    if (t >= this.start && t <= this.end) return;
    this.choose(t - this.span / 2, t + this.span / 2);
  }

  #all() {
    return Math.max(LEAST_S, this.now * (1 + ROOM));
  }

  #last(span = this.span) {
    return this.now + ROOM * span;
  }

  #put(start, end) {
    if (start === this.start && end === this.end) return;
    this.start = start;
    this.end = end;
    this.dispatchEvent(new Event("change"));
  }
}

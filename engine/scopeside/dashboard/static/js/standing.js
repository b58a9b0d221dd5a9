// How this tab stands to what it shows: whether it is live, and how old it is if not.
// Told as attributes of <html> (data-link, data-engine), so that all that is old is greyed.

const SILENT_MS = 3500; // the engine is asked twice a second, and has 3 s to answer
const STARTS =
  "The engine is starting: the first start compiles kernels, which can take a minute.";

export class Standing extends EventTarget {
  #live;

  // "connecting" and "lost": no connection to the page's server; "gone": it has ended, as
  // it does with its engine; "none": no engine yet; "ended": the engine has ended;
  // "silent": it does not answer; "live".
  state = "connecting";
  health = null; // what was said last under the topic
  ageMs = 0; // of what is seen

  // The event "change" comes with each news, and twice a second.
  constructor(live) {
    super();
    this.#live = live;
    const hear = (health) => {
      this.health = health;
      this.#look();
    };
    live.topic("health", hear, { unseen: true }); // the title says how things are
    live.addEventListener("state", () => {
      if (live.state === "lost") this.#look();
    });
    setInterval(() => this.#look(), 500);
  }

  // When the server was lost, or the engine ended, ms since 1970 by this tab's clock.
  get endedMs() {
    return this.#live.lostSince ?? this.health?.ended_ms ?? null;
  }

  // Why the page has no place for this tab; empty if it has.
  get turnedAway() {
    return this.#live.turnedAway;
  }

  get isLive() {
    return this.state === "live";
  }

  // What to say where nothing is there yet, as long as the engine starts; else empty.
  get startsWords() {
    return this.isLive && this.health.phase === "starting" ? STARTS : "";
  }

  #look() {
    [this.state, this.ageMs] = this.#found();
    const { dataset } = document.documentElement;
    if (dataset.link !== this.#live.state) dataset.link = this.#live.state;
    if (dataset.engine !== this.state) dataset.engine = this.state;
    this.dispatchEvent(new Event("change"));
  }

  #found() {
    const { health } = this;
    const live = this.#live;
    if (live.state === "lost") return [live.saidGoodbye ? "gone" : "lost", live.silentMs];
    if (live.state === "connecting" || health === null) return ["connecting", 0];
    if (health.ended_ms !== null) return ["ended", live.ageMs(health.ended_ms)];
    if (health.t_ms === null) return ["none", 0];
    const ageMs = live.ageMs(health.t_ms);
    return [ageMs > SILENT_MS ? "silent" : "live", Math.max(0, ageMs)];
  }
}

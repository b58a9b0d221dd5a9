// What is written at an image of how it is: caption, age, why there is no newer one, frozen.

import { Caption, Freshness } from "./caption.js";
import { everyTick } from "./ticking.js";
import { ageWords, clock } from "./units.js";

export class Saying {
  #element;
  #stage;
  #live;
  #scales;
  #fresh = new Freshness();
  #caption = new Caption();
  #tick = null;

  constructor(element, stage, live, scales) {
    this.#element = element;
    this.#stage = stage;
    this.#live = live;
    this.#scales = scales;
  }

  get caption() {
    return this.#caption.element;
  }

  set title(text) {
    this.#caption.title(text);
    this.#stage.element.setAttribute(
      "aria-label",
      `${text}: arrow keys move the cursor, Enter picks, plus and minus zoom`,
    );
  }

  // Another result is shown from now on.
  begin() {
    this.#fresh = new Freshness();
  }

  // A version has come.
  heard(header) {
    this.#fresh.heard(header);
  }

  // Call `say()` four times a second as long as `isNeeded()`.
  watch(say, isNeeded) {
    this.#tick ??= everyTick(() => {
      say();
      if (!isNeeded()) this.rest();
    });
  }

  rest() {
    this.#tick?.();
    this.#tick = null;
  }

  // `header`: of what is painted, null: nothing; `invalid`: of what came after it, or null;
  // `isShown`: updates are wanted; `frozenAt`: ms or null; `hasNewer`: something waits.
  say({ header, invalid, isShown, frozenAt, hasNewer }) {
    const newest = invalid ?? header;
    if (newest === null) {
      this.#element.classList.add("empty");
      this.#stage.notice("nothing yet", "");
      return;
    }
    const shown = header ?? newest;
    const seen = shown.t_frame_ms || shown.t_published_ms;
    const ageMs = seen ? this.#live.ageMs(seen) : null;
    const isFrozen = frozenAt !== null;
    const mayBeOld = isShown && !isFrozen;
    const isOld = mayBeOld && (this.#live.state === "lost" || this.#fresh.isOverdue(newest));
    const age = ageMs === null ? "old" : ageWords(ageMs);
    const reason = newest.valid === false ? newest.reason || "invalid" : "";
    this.#element.toggleAttribute("data-stale", isOld);
    this.#element.toggleAttribute("data-invalid", reason !== "");
    const said = isOld || isFrozen ? Math.max(ageMs, 2000) : ageMs;
    this.#caption.say(newest, said, this.#scales.letGo(newest));
    const notice = [reason, isOld ? age : ""].filter(Boolean).join(" · ");
    this.#stage.notice(notice, isFrozen ? frozenWords(frozenAt, hasNewer) : "");
  }
}

function frozenWords(atMs, hasNewer) {
  return `FROZEN since ${clock(atMs)}${hasNewer ? " · newer is there" : ""}`;
}

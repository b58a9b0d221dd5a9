// Sends changes while something is dragged: at most so many a second, one under way at a
// time, the latest wins, and the last is always sent.

const EVERY_MS = 200;

export class Sender {
  #send;
  #idle;
  #next = null; // {key: value} that waits
  #underWay = false;
  #sentAt = -Infinity;
  #timer = null;

  // `send(values)` returns a promise that does not reject; `idle()` is called when all that
  // was offered is answered.
  constructor(send, idle) {
    this.#send = send;
    this.#idle = idle;
  }

  // Whether there is anything that was offered and not answered.
  get busy() {
    return this.#underWay || this.#next !== null;
  }

  offer(values) {
    this.#next = { ...this.#next, ...values };
    this.#go();
  }

  // Forget what was not sent yet.
  drop() {
    this.#next = null;
  }

  #go() {
    if (this.#next === null || this.#underWay || this.#timer !== null) return;
    const wait = this.#sentAt + EVERY_MS - performance.now();
    if (wait > 0) {
      this.#timer = setTimeout(() => {
        this.#timer = null;
        this.#go();
      }, wait);
      return;
    }
    this.#sendNow();
  }

  async #sendNow() {
    const values = this.#next;
    this.#next = null;
    this.#underWay = true;
    this.#sentAt = performance.now();
    await this.#send(values);
    this.#underWay = false;
    if (this.#next === null) this.#idle();
    else this.#go();
  }
}

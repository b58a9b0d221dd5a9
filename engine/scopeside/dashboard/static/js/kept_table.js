// A small table that this browser keeps over a reload: bounded, and of one version. What
// cannot be read is ignored, and said in `trouble`.

const REST_MS = 300; // while a hand is on a slider nothing is written

export class KeptTable extends EventTarget {
  #name;
  #options;
  #unwritten = new Map();
  #timer = null;
  trouble = ""; // the event "trouble" says that it has changed

  // `what`: what is kept, in words; `most`: entries; `isGood(value)`: whether one can be used.
  constructor(name, { what, version, most, isGood }) {
    super();
    this.#name = name;
    this.#options = { what, version, most, isGood };
    addEventListener("pagehide", () => this.flush());
  }

  // What is kept under a key; undefined: nothing.
  get(key) {
    return this.#unwritten.has(key) ? this.#unwritten.get(key) : this.#read().get(key);
  }

  // Keep a value soon; undefined: nothing any more.
  set(key, value) {
    this.#unwritten.delete(key);
    this.#unwritten.set(key, value);
    this.#timer ??= setTimeout(() => this.flush(), REST_MS);
  }

  // Write what is not written yet.
  flush() {
    clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#unwritten.size === 0) return;
    const all = this.#read(); // another tab may have written meanwhile
    for (const [key, value] of this.#unwritten) {
      all.delete(key); // what was used last stays longest
      if (value !== undefined) all.set(key, value);
    }
    this.#unwritten.clear();
    const { version, most } = this.#options;
    this.#attempt(() => {
      const entries = [...all].slice(-most);
      localStorage.setItem(this.#name, JSON.stringify({ version, entries }));
    });
  }

  // Forget all; the event "clear" says so.
  clear() {
    this.#unwritten.clear();
    this.#attempt(() => localStorage.removeItem(this.#name));
    this.#say("");
    this.dispatchEvent(new Event("clear"));
  }

  #read() {
    const { what, version, isGood } = this.#options;
    let text = null;
    this.#attempt(() => (text = localStorage.getItem(this.#name)));
    if (text === null) return new Map();
    try {
      const kept = JSON.parse(text);
      if (kept.version !== version) throw new Error("of another version");
      const good = kept.entries.filter(([key, value]) => typeof key === "string" && isGood(value));
      if (good.length < kept.entries.length) this.#say(`some of ${what} could not be read`);
      return new Map(good);
    } catch {
      this.#say(`${what}, as kept in this browser, cannot be read: all is as usual`);
      return new Map();
    }
  }

  #attempt(action) {
    try {
      action();
    } catch (error) {
      this.#say(`this browser keeps nothing over a reload: ${error.message}`);
    }
  }

  #say(trouble) {
    if (trouble === this.trouble) return;
    this.trouble = trouble;
    this.dispatchEvent(new Event("trouble"));
  }
}

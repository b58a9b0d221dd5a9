// The socket to the page's server: says what this tab wants, hands out what comes, and
// comes back by itself when the server does.

import { token } from "./ask.js";

const RETRY_MS = 500;
const SILENT_MS = 3500; // the server beats every second
const OPENS_MS = 5000; // a server that accepts and says nothing is left after this

const LATE_MS = 2000;
const SET_MS = 1000; // beats that are later than this were held up, or a clock was set
const SURE_MS = 2500; // so long the beats must say the same until a clock was set
const GOING_AWAY = 1001; // RFC 6455, 7.4.1
const NO_PLACE = 4001; // seats.py
const NO_PLACE_RETRY_MS = 10_000;

export class Live extends EventTarget {
  #socket = null;
  #images = new Map(); // id -> {key, hz, paint, plane}
  #topics = new Map(); // name -> {listeners: Set, value, unseen}
  #next = 0;
  #heardMs = Date.now(); // also counts while the machine sleeps, unlike performance.now()
  #openedMs = 0;
  #checkedMs = 0;
  #retry = null;
  #laterSince = null; // performance.now(): since then all beats are late
  #hello = null;
  #asked = false;

  // "connecting", "open" or "lost"; the event "state" says that it has changed.
  // The event "painted" tells key and age, ms, of each image when it is on the screen.
  state = "connecting";
  lostSince = null; // ms since 1970, while lost
  turnedAway = ""; // why there is no place for this tab, while it is lost
  saidGoodbye = false; // the server ended as it should; if not, it was cut off
  // Smallest difference of arrival and sending: what this clock is ahead of the server's.
  clockAheadMs = null;

  start() {
    this.#open();
    setInterval(() => this.#check(), 500);
    for (const name of ["online", "pageshow"]) addEventListener(name, () => this.#check());
    document.addEventListener("visibilitychange", () => {
      this.#check();
      this.#want(); // a hidden tab paints nothing, so it wants next to nothing
    });
  }

  // Have `paint(header, pixels)` called with each new version of a result. It returns
  // when the image is painted, or a promise of that; only then the next one is sent.
  // Returns a function that ends it. `plane`: which, of a result with several.
  image(key, hz, paint, plane = null) {
    const id = `i${(this.#next += 1)}`;
    this.#images.set(id, { key, hz, paint, plane });
    this.#want();
    return () => {
      this.#images.delete(id);
      this.#want();
    };
  }

  // Have `listener(value)` called with what is said under a topic, and at once with what
  // was said last. Returns a function that ends it.
  // `unseen`: also while nobody sees the tab, as for its title.
  topic(name, listener, { unseen = false } = {}) {
    let topic = this.#topics.get(name);
    if (topic === undefined) {
      topic = { listeners: new Set(), value: undefined, unseen };
      this.#topics.set(name, topic);
      this.#want();
    }
    if (unseen && !topic.unseen) this.#want();
    topic.unseen ||= unseen;
    topic.listeners.add(listener);
    if (topic.value !== undefined) listener(topic.value);
    return () => {
      topic.listeners.delete(listener);
      if (topic.listeners.size > 0 || this.#topics.get(name) !== topic) return;
      this.#topics.delete(name);
      this.#want();
    };
  }

  // What was said last under a topic that somebody listens to.
  last(name) {
    return this.#topics.get(name)?.value;
  }

  // Age now of what happened at `tMs` by the server's clock, whatever clock this tab has.
  ageMs(tMs) {
    return Date.now() - (this.clockAheadMs ?? 0) - tMs;
  }

  // How long the server has said nothing, ms.
  get silentMs() {
    return Math.max(0, Date.now() - this.#heardMs);
  }

  #open() {
    const socket = new WebSocket(`ws://${location.host}/live`, protocols());
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#openedMs = Date.now();
    socket.onopen = () => {
      if (socket === this.#socket) this.#want();
    };
    socket.onmessage = (event) => {
      if (socket === this.#socket) this.#hear(event.data);
    };
    socket.onclose = ({ code, reason }) => {
      if (socket !== this.#socket) return;
      this.turnedAway = code === NO_PLACE ? reason : "";
      this.saidGoodbye ||= code === GOING_AWAY;
      this.#leave();
    };
  }

  // Leave a connection that is silent; its own end may never be told.
  #check() {
    const now = Date.now();
    this.#heardMs = Math.min(this.#heardMs, now); // the clock was set back: count from here
    this.#openedMs = Math.min(this.#openedMs, now);
    const isLate = now - this.#checkedMs > LATE_MS;
    this.#checkedMs = now;
    // After a pause of this tab's own, what has come meanwhile is to be heard first.
    if (this.#socket === null || isLate) return;
    const silent = this.state === "open" && this.silentMs > SILENT_MS;
    const mute = this.state !== "open" && now - this.#openedMs > OPENS_MS;
    if (silent || mute) this.#leave();
  }

  #leave() {
    const socket = this.#socket;
    this.#socket = null;
    socket.close();
    if (this.state !== "lost") {
      this.lostSince = Date.now();
      this.#become("lost");
    }
    clearTimeout(this.#retry);
    const waitMs = this.turnedAway === "" ? RETRY_MS : NO_PLACE_RETRY_MS;
    this.#retry = setTimeout(() => this.#open(), waitMs);
  }

  #become(state) {
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }

  #want() {
    if (this.#asked) return; // many wishes in one turn are one message
    this.#asked = true;
    queueMicrotask(() => {
      this.#asked = false;
      const images = {};
      if (!document.hidden) {
        for (const [id, { key, hz, plane }] of this.#images) images[id] = { key, hz, plane };
      }
      // What was said last of all others is said again when the tab is seen.
      const topics = [...this.#topics].filter(([, { unseen }]) => unseen || !document.hidden);
      this.#say({ want: { images, topics: topics.map(([name]) => name) } });
    });
  }

  #say(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) {
      this.#socket.send(JSON.stringify(message));
    }
  }

  #hear(data) {
    this.#heardMs = Date.now();
    if (data instanceof ArrayBuffer) {
      this.#hearImage(data);
      return;
    }
    const said = JSON.parse(data);
    if (said.hello) this.#greeted(said.hello);
    if (said.beat) this.#beaten(said.beat);
    if (said.topic !== undefined) {
      const topic = this.#topics.get(said.topic);
      if (topic === undefined) return;
      topic.value = said.value;
      for (const listener of topic.listeners) attempt(() => listener(said.value));
    }
  }

  #beaten(beat) {
    const ahead = Date.now() - beat;
    const now = performance.now();
    if (this.#laterSince === undefined) this.clockAheadMs = null; // of another connection
    if (ahead <= (this.clockAheadMs ?? Infinity) + SET_MS) this.#laterSince = null;
    else this.#laterSince ??= now;
    // What was held up while this tab slept comes all at once: the ages of what it brings
    // must not be taken for a clock's error. A clock that was set stays so.
    const isSet = this.#laterSince !== null && now - this.#laterSince > SURE_MS;
    this.clockAheadMs = isSet ? ahead : Math.min(this.clockAheadMs ?? Infinity, ahead);
    if (isSet) this.#laterSince = null;
  }

  #greeted(hello) {
    if (this.#hello !== null && this.#hello.version !== hello.version) {
      location.reload(); // another version of scopeside serves now
      return;
    }
    if (this.#hello !== null && this.#hello.page !== hello.page) {
      // Another process serves: what the last one said is nothing to go by.
      for (const topic of this.#topics.values()) topic.value = undefined;
    }
    this.#hello = hello;
    this.#laterSince = undefined; // what comes first was held up by nobody
    this.lostSince = null;
    this.saidGoodbye = false;
    this.turnedAway = "";
    this.#become("open");
  }

  async #hearImage(buffer) {
    const length = new Uint8Array(buffer, 0, 1)[0];
    const id = new TextDecoder().decode(new Uint8Array(buffer, 1, length));
    const { header, pixels } = pictureOf(buffer, Math.ceil((1 + length) / 8) * 8);
    const image = this.#images.get(id);
    try {
      await image?.paint(header, pixels);
    } finally {
      this.#say({ painted: [id, header.number] });
    }
    if (image === undefined || document.hidden) return;
    const detail = { key: header.key, ageMs: this.ageMs(header.t_published_ms) };
    if (header.t_frame_ms) detail.frameAgeMs = this.ageMs(header.t_frame_ms);
    this.dispatchEvent(new CustomEvent("painted", { detail }));
  }
}

// What is said in the handshake: one of ours, and the token in letters that are allowed.
function protocols() {
  const bytes = [...new TextEncoder().encode(token() ?? "")];
  const hex = bytes.map((one) => one.toString(16).padStart(2, "0")).join("");
  return hex === "" ? ["scopeside"] : ["scopeside", `token.${hex}`];
}

// One listener that fails keeps nothing from the others: HOLD hears what a view cannot show.
function attempt(action) {
  try {
    action();
  } catch (error) {
    reportError(error);
  }
}

const ARRAYS = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, f4: Float32Array };

// Read a message of picture.py that begins at `at`, a multiple of 8.
export function pictureOf(buffer, at = 0) {
  const length = new DataView(buffer).getUint32(at, true);
  const text = new TextDecoder().decode(new Uint8Array(buffer, at + 4, length));
  const header = JSON.parse(text);
  const count = (header.sent ?? header.shape).reduce((a, b) => a * b, 1);
  return { header, pixels: new ARRAYS[header.dtype](buffer, at + 4 + length, count) };
}

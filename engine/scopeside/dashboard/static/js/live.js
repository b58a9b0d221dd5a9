// The socket to the page's server: says what this tab wants, hands out what comes, and
// comes back by itself when the server does.

const RETRY_MS = 500;
const SILENT_MS = 3500; // the server beats every second

export class Live extends EventTarget {
  #socket = null;
  #images = new Map(); // id -> {key, hz, paint}
  #topics = new Map(); // name -> {listeners: Set, value}
  #next = 0;
  #heard = 0;
  #hello = null;
  #asked = false;

  // "connecting", "open" or "lost"; the event "state" says that it has changed.
  state = "connecting";
  lostSince = null; // ms since 1970, while lost
  // Smallest difference of arrival and sending: what this clock is ahead of the server's.
  clockAheadMs = null;

  start() {
    this.#open();
    // A tab that nobody sees paints nothing, and so wants nothing to paint.
    document.addEventListener("visibilitychange", () => this.#want());
    setInterval(() => {
      if (this.state === "open" && performance.now() - this.#heard > SILENT_MS) {
        this.#socket.close();
        this.#lost();
      }
    }, 500);
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
  topic(name, listener) {
    let topic = this.#topics.get(name);
    if (topic === undefined) {
      topic = { listeners: new Set(), value: undefined };
      this.#topics.set(name, topic);
      this.#want();
    }
    topic.listeners.add(listener);
    if (topic.value !== undefined) listener(topic.value);
    return () => topic.listeners.delete(listener);
  }

  // What was said last under a topic that somebody listens to.
  last(name) {
    return this.#topics.get(name)?.value;
  }

  // Age now of what was seen by the detector at `tFrameMs`, whatever clock this tab has.
  ageMs(tFrameMs) {
    return Date.now() - (this.clockAheadMs ?? 0) - tFrameMs;
  }

  #open() {
    const socket = new WebSocket(`ws://${location.host}/live`);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    socket.onopen = () => {
      this.#heard = performance.now();
      this.#want();
    };
    socket.onmessage = (event) => {
      if (socket === this.#socket) this.#hear(event.data);
    };
    socket.onclose = () => {
      if (socket !== this.#socket) return;
      this.#lost();
      setTimeout(() => this.#open(), RETRY_MS);
    };
  }

  #lost() {
    if (this.state !== "lost") {
      this.lostSince = Date.now();
      this.#become("lost");
    }
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
      for (const [id, { key, hz, plane }] of document.hidden ? [] : this.#images) {
        images[id] = { key, hz, plane };
      }
      this.#say({ want: { images, topics: [...this.#topics.keys()] } });
    });
  }

  #say(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) {
      this.#socket.send(JSON.stringify(message));
    }
  }

  #hear(data) {
    this.#heard = performance.now();
    if (data instanceof ArrayBuffer) {
      this.#hearImage(data);
      return;
    }
    const said = JSON.parse(data);
    if (said.hello) this.#greeted(said.hello);
    if (said.beat) {
      const ahead = Date.now() - said.beat;
      this.clockAheadMs = Math.min(this.clockAheadMs ?? Infinity, ahead);
      if (ahead < 0 || ahead > 1000) this.clockAheadMs = ahead; // a clock was set
    }
    if (said.topic !== undefined) {
      const topic = this.#topics.get(said.topic);
      if (topic === undefined) return;
      topic.value = said.value;
      for (const listener of topic.listeners) listener(said.value);
    }
  }

  #greeted(hello) {
    if (this.#hello !== null && this.#hello.version !== hello.version) {
      location.reload(); // another version of scopeside serves now
      return;
    }
    this.#hello = hello;
    this.lostSince = null;
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

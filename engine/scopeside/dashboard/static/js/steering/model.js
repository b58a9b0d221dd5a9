// What can be steered: the processors of the running pipeline, with the parameters that
// hold, and those that are being asked for.

import { command, MAY_ONLY_LOOK, mayChange } from "../ask.js";
import { Sender } from "./sender.js";
import { same } from "./values.js";

// Events: "forms" (another pipeline), "state" (what holds), both after it is here; of a
// processor: "change".
export class Model extends EventTarget {
  forms = { pipeline: null, processors: [], problem: "" };
  state = { running: false, processors: {} };
  processors = new Map(); // by "chain.processor"
  #next = new Map(); // by the same: what steering_next.py tells

  constructor(page) {
    super();
    page.live.topic("steering_forms", (forms) => this.#takeForms(forms));
    page.live.topic("steering", (state) => this.#takeState(state));
    page.live.topic("steering_next", (all) => this.#takeNext(all));
  }

  // Why nothing at all can be changed from here; empty if it can.
  get whyNot() {
    if (!mayChange()) return MAY_ONLY_LOOK;
    return this.state.running ? "" : "no engine runs";
  }

  // Of the pattern that shapes are drawn on, where the acquisition says it.
  get frame() {
    const [rows, columns] = this.state.frame_shape ?? [0, 0];
    const { centre_px: centrePx, descan_px: descanPx } = this.state;
    return { rows, columns, centrePx, descanPx };
  }

  #takeForms(forms) {
    // Told once more after a break of the connection: what a person has entered stays.
    if (same(forms, this.forms)) return;
    this.forms = forms;
    const named = forms.processors.map((form) => [form.name, new Processor(this, form)]);
    this.processors = new Map(named);
    this.#tellState();
    this.dispatchEvent(new Event("forms"));
  }

  #takeState(state) {
    this.state = state;
    this.#tellState();
    this.dispatchEvent(new Event("state"));
  }

  #takeNext(all) {
    this.#next = new Map(all.map((one) => [one.processor, one]));
    for (const processor of this.processors.values()) processor.tell();
  }

  // The change of a processor that waits for the end of an acquisition, or the last that did.
  nextOf(name) {
    return this.#next.get(name) ?? null;
  }

  #tellState() {
    for (const processor of this.processors.values()) {
      processor.take(this.state.processors[processor.form.name]);
    }
  }
}

export class Processor extends EventTarget {
  #model;
  #draft = {}; // {key: value} asked for, and not yet among what holds
  #answered = 0; // the version that was last given to us
  #sentInDrag = false;
  #sender = new Sender(
    (values) => this.#send(values),
    () => this.#settleAndTell(),
  );

  told = { version: 1, params: {}, versions: [], acquisition: "", frame: 0, waiting: false };
  dragging = false;
  problem = ""; // why the last change was refused

  constructor(model, form) {
    super();
    this.#model = model;
    this.form = form;
  }

  // The parameters as they are, or are asked to be.
  get params() {
    const asked = Object.entries(this.#draft);
    return asked.reduce((all, [key, value]) => put(all, key, value), this.told.params);
  }

  // Why nothing of it can be changed now; empty if it can.
  get whyNot() {
    return this.#model.whyNot || this.form.why_not;
  }

  // Whether a key says what is measured: it stays as it is while an acquisition runs.
  isFixed(key) {
    const field = this.form.fields.find((one) => one.key === key.split(".", 1)[0]);
    return this.form.live && field?.fixed === true;
  }

  // Whether a change of it would have to wait now.
  waits(key) {
    return this.isFixed(key) && this.#model.state.open;
  }

  get next() {
    return this.#model.nextOf(this.form.name);
  }

  // "dragged", "asked" or "holds", of a key; of all of it without one.
  stateOf(key = null) {
    const keys = Object.keys(this.#draft);
    const mine = key === null ? keys.length > 0 : keys.some((one) => one === key);
    if (mine && this.dragging) return "dragged";
    return mine ? "asked" : "holds";
  }

  // Since when what holds does, in words.
  get since() {
    const { version, acquisition, frame, waiting } = this.told;
    if (waiting) return `version ${version} waits for a frame`;
    if (version === 1) return "version 1, as in the pipeline file";
    if (acquisition === "") return `version ${version} since the start of an acquisition`;
    if (acquisition !== this.#model.state.acquisition) {
      return `version ${version} since before this acquisition`;
    }
    return `version ${version} since frame ${frame.toLocaleString("en")}`;
  }

  take(told) {
    if (told === undefined) return;
    this.told = told;
    this.#settle();
    this.dispatchEvent(new Event("change"));
  }

  begin() {
    this.dragging = true;
    this.#sentInDrag = false;
  }

  // Show values at once and send them, as fast as the engine takes them.
  drag(values) {
    this.problem = "";
    this.#draft = { ...this.#draft, ...values };
    this.#sender.offer(values);
    this.dispatchEvent(new Event("change"));
  }

  // The drag is over, here or (with `back`, the values before it) not at all.
  release(back = null) {
    if (back !== null) {
      this.#sender.drop();
      if (this.#sentInDrag) this.drag(back);
    }
    this.dragging = false;
    this.#settleAndTell();
  }

  // Set values; resolves to the answer, rejects with the reason.
  async set(values) {
    this.problem = "";
    const { engine } = this.#model.forms; // the one that is seen: never another
    const answer = await command("set_params", { processor: this.form.name, values, engine });
    this.#answered = Math.max(this.#answered, answer.version);
    this.dispatchEvent(new Event("change"));
    return answer;
  }

  // Have a change wait for the end of the acquisition: see steering_next.py.
  setNext(change) {
    const { engine } = this.#model.forms;
    return command("set_next", { processor: this.form.name, engine, ...change });
  }

  cancelNext() {
    return command("cancel_next", { id: this.next.id });
  }

  // Say beside its shapes what cannot be, until the next change.
  complain(why) {
    this.problem = why;
    this.tell();
  }

  tell() {
    this.dispatchEvent(new Event("change"));
  }

  async #send(values) {
    this.#sentInDrag = true;
    try {
      await this.set(values);
    } catch (error) {
      this.problem = error.message;
      this.dispatchEvent(new Event("change"));
    }
  }

  #settleAndTell() {
    this.#settle();
    this.dispatchEvent(new Event("change"));
  }

  // Once all is answered, and the engine's own word on it is here, that word counts. What
  // was refused goes back by this to what holds.
  #settle() {
    const said = this.told.version >= this.#answered;
    if (said && !this.dragging && !this.#sender.busy) this.#draft = {};
  }
}

// `params` with a value in its place; a key such as a.b leads into a table.
export function put(params, key, value) {
  const [head, ...rest] = key.split(".");
  if (rest.length === 0) return { ...params, [head]: value };
  return { ...params, [head]: put(params[head] ?? {}, rest.join("."), value) };
}

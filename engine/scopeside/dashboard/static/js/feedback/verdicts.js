// The last verdicts, newest first: state by word and shape, and why. Equal ones in a row
// are counted.

import { h } from "../dom.js";
import { secondsOf, timeOfDay } from "./times.js";

const MOST = 50; // the guard keeps no more
const SHAPES = {
  sent: "→",
  done: "✓",
  refused: "⊘",
  failed: "✕",
  waiting: "◇",
  observed: "○",
  lapsed: "⌛",
};

export class Verdicts {
  #rows = [];
  #body = h("div.rows");
  #live;
  #tell;
  element = h(
    "section.panel.verdicts",
    { "aria-label": "verdicts" },
    h("h2", {}, "Last verdicts"),
    this.#body,
  );

  // `tell(id)`: show the story of one.
  constructor(page, tell) {
    this.#live = page.live;
    this.#tell = tell;
  }

  hear(list) {
    const shown = grouped(list.slice(0, MOST));
    while (this.#rows.length < shown.length) {
      const row = new Row(this.#tell);
      this.#rows.push(row);
      this.#body.append(row.element);
    }
    for (const [index, row] of this.#rows.entries()) row.show(shown[index]);
    this.turn();
  }

  // Time has passed.
  turn() {
    for (const row of this.#rows) row.turn(this.#live);
  }
}

// Equal neighbours as one: the newest of them, and how many they are.
export function grouped(list) {
  const groups = [];
  for (const one of list) {
    const last = groups.at(-1);
    if (last !== undefined && isSame(last, one)) last.count += 1;
    else groups.push({ ...one, count: 1 });
  }
  return groups;
}

function isSame(a, b) {
  return ["words", "state", "cause", "reason"].every((name) => a[name] === b[name]);
}

class Row {
  #time = h("span.number.dim");
  #state = h("span.state");
  #what = h("span");
  #why = h("span.why.dim");
  #count = h("span.count.number");
  #one = null;
  element;

  constructor(tell) {
    this.element = h(
      "button.row-of",
      { type: "button", title: "tell its story", onclick: () => tell(this.#one.id) },
      this.#time, this.#state, this.#what, this.#why, this.#count,
    );
  }

  show(one) {
    this.element.hidden = one === undefined;
    this.#one = one ?? null;
    if (one === undefined) return;
    this.element.dataset.state = one.state;
    set(this.#time, timeOfDay(one.t_ms));
    set(this.#state, `${SHAPES[one.state] ?? "·"} ${stateText(one)}`);
    set(this.#what, one.words || one.id);
    set(this.#why, one.reason);
    if (this.element.title !== one.id) this.element.title = one.id;
  }

  turn(live) {
    const count = this.#one?.count ?? 1;
    this.#count.hidden = count === 1;
    if (count === 1) return;
    const often = count >= MOST ? `${count} times or more` : `${count} times`;
    set(this.#count, `${often}, last ${secondsOf(live.ageMs(this.#one.t_ms))} ago`);
  }
}

// "⊘ refused: step; too far …"
export function verdictText(one) {
  const reason = one.reason === "" ? "" : `; ${one.reason}`;
  return `${SHAPES[one.state] ?? "·"} ${stateText(one)}${reason}`;
}

function stateText(one) {
  const told = one.cause !== "" && one.state !== "done";
  return told ? `${one.state}: ${one.cause.replaceAll("_", " ")}` : one.state;
}

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

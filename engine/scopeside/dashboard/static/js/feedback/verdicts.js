// The last verdicts, newest first: state by word and shape, and why.

import { h } from "../dom.js";
import { timeOfDay } from "./times.js";

const MOST = 50;
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
  #tell;
  element = h(
    "section.panel.verdicts",
    { "aria-label": "verdicts" },
    h("h2", {}, "Last verdicts"),
    this.#body,
  );

  // `tell(id)`: show the story of one.
  constructor(tell) {
    this.#tell = tell;
  }

  hear(list) {
    const shown = list.slice(0, MOST);
    while (this.#rows.length < shown.length) {
      const row = new Row(this.#tell);
      this.#rows.push(row);
      this.#body.append(row.element);
    }
    for (const [index, row] of this.#rows.entries()) row.show(shown[index]);
  }
}

class Row {
  #time = h("span.number.dim");
  #state = h("span.state");
  #what = h("span");
  #why = h("span.why.dim");
  #id = "";
  element;

  constructor(tell) {
    this.element = h(
      "button.row-of",
      { type: "button", title: "tell its story", onclick: () => tell(this.#id) },
      this.#time, this.#state, this.#what, this.#why,
    );
  }

  show(one) {
    this.element.hidden = one === undefined;
    if (one === undefined) return;
    this.#id = one.id;
    this.element.dataset.state = one.state;
    set(this.#time, timeOfDay(one.t_ms));
    set(this.#state, `${SHAPES[one.state] ?? "·"} ${stateText(one)}`);
    set(this.#what, one.action || one.id);
    set(this.#why, one.reason);
    if (this.element.title !== one.id) this.element.title = one.id;
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

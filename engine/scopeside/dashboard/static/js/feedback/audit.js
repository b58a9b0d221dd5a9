// The audit log: search from its end, page by page, and the story of one entry.

import { question } from "../ask.js";
import { h } from "../dom.js";
import { AuditForm } from "./audit_form.js";
import { AuditRows } from "./audit_rows.js";
import { Story } from "./story.js";
import { timeOfDay } from "./times.js";

const PAGE = 40; // rows that a search goes on for by itself

export class AuditPanel {
  #form = new AuditForm((wanted) => this.#begin(wanted));
  #story = new Story();
  #rows = new AuditRows((row) => this.tell(row.id || row.n));
  #progress = h("span.number.dim", { role: "status" });
  #more = button("older …", () => this.#goOn(PAGE));
  #stop = button("Stop", () => this.#stopHere());
  #checked = h("p.checked", {}, "The chain is checked once the log is looked at.");
  #search = 0; // counts searches: pieces of an older one are let go
  #next = null; // what the server calls the rest of this search
  #isStopped = false; // by a person: the search can be gone on with
  #visible = false;
  #isThere = false; // whether a guard has said where its log lies
  #begun = false;
  #hasFailed = false;
  #newest = 0; // n of the newest row that a search without a filter has shown
  #newer = button("", () => this.#begin({}));
  element = h(
    "section.panel.audit",
    { "aria-label": "audit log" },
    h("div.row.head", {}, h("h2", {}, "Audit log"), this.#checked),
    this.#form.element,
    h(
      "div.found",
      {},
      h(
        "div.list",
        {},
        this.#newer,
        this.#rows.element,
        h("div.row", {}, this.#more, this.#stop, this.#progress),
      ),
      this.#story.element,
    ),
  );

  show() {
    this.#visible = true;
    if (this.#hasFailed) this.#begun = this.#hasFailed = false;
    this.#beginOnce();
  }

  hear(guard) {
    const isHeard = guard !== null && guard.silent_s === null;
    this.#isThere = guard !== null && (this.#isThere || isHeard);
    this.#beginOnce();
  }

  hide() {
    this.#visible = false; // a search does not go on by itself behind another view
  }

  // Tell the story of an id or a number.
  tell(id) {
    this.#story.show(id);
  }

  hearChecked(checked) {
    const [state, text] = checkedText(checked);
    this.#checked.dataset.state = state;
    if (this.#checked.textContent !== text) this.#checked.textContent = text;
    this.#checked.title = checked?.path ?? "";
    const newer = this.#newest > 0 ? (checked?.n ?? 0) - this.#newest : 0;
    this.#newer.hidden = newer <= 0;
    this.#newer.textContent = `${newer} newer ${newer === 1 ? "record" : "records"}: show`;
  }

  // Without a guard there is no log to ask for.
  #beginOnce() {
    if (this.#visible && this.#isThere && !this.#begun) this.#begin({});
  }

  #begin(wanted) {
    this.#begun = true;
    this.#search += 1;
    this.#rows.clear();
    this.#next = wanted;
    this.#newest = 0;
    this.#newer.hidden = true;
    this.#goOn(PAGE);
  }

  // Go on until so many more are found; a tab asks for the next piece when it has one.
  async #goOn(count) {
    const number = this.#search;
    const until = this.#rows.count + count;
    this.#isStopped = false;
    this.#more.hidden = true;
    try {
      while (this.#next !== null && this.#rows.count < until && !this.#rows.full) {
        const found = await question("audit", this.#next);
        if (number !== this.#search) return;
        this.#take(found);
        this.#stop.hidden = false; // one that is over at once needs none
        if (!this.#visible || this.#isStopped) break;
      }
      this.#stop.hidden = true;
      this.#more.hidden = this.#next === null || this.#rows.full;
    } catch (error) {
      if (number !== this.#search) return;
      this.#stop.hidden = true;
      this.#progress.textContent = error.message;
      this.#hasFailed = true; // shown again, it asks again
    }
  }

  #stopHere() {
    this.#isStopped = true;
    this.#stop.hidden = true;
  }

  #take(found) {
    if (this.#next.more === undefined && Object.keys(this.#next).length === 0) {
      this.#newest = Number(found.rows[0]?.n ?? 0);
    }
    this.#rows.add(found.rows);
    this.#next = found.more === null ? null : { more: found.more };
    this.#progress.textContent = progressText(found, this.#rows);
  }
}

function button(label, onclick) {
  return h("button", { type: "button", hidden: true, onclick }, label);
}

function progressText(found, rows) {
  const looked = found.looked_at.toLocaleString("en");
  const time = new Date(found.back_to_ms).toLocaleString("en-GB");
  const back = found.back_to_ms === null ? "" : `, back to ${time}`;
  const left = `; ${Math.ceil(100 * found.left)} % of the log is left`;
  const all = found.more === null ? "; that is all" : left;
  const end = rows.full ? "; narrow the search to see older ones" : all;
  return `${rows.count === 0 ? "nothing found in " : ""}${looked} records${back}${end}`;
}

// [state, text]: whether the chain holds, as far as it was followed.
function checkedText(checked) {
  if (checked?.failed !== undefined) return ["bad", `✕ not checked: ${checked.failed}`];
  if (!checked) return ["", "not checked yet"];
  const records = `${checked.records.toLocaleString("en")} records`;
  if (checked.n_faults > 0) {
    const first = `${checked.n_faults} faults, the first: ${checked.faults[0]}`;
    return ["bad", `✕ CHANGED, ${first} (scopeside audit verify)`];
  }
  if (checked.left_bytes > 1000) {
    const left = (checked.left_bytes / 1e6).toFixed(1);
    return ["", `… checks the chain: ${records} sound so far, ${left} MB to go`];
  }
  const last = `${checked.n}:${checked.hash.slice(0, 12)}…`;
  return ["ok", `✓ chain sound: ${records}, the last is ${last} (${timeOfDay(Date.now())})`];
}

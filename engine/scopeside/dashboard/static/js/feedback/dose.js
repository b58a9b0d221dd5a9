// Dose against budget: a bar with numbers; the hatched end is what it may be at most.

import { h } from "../dom.js";

const ROWS = [
  ["here", "here_e_per_A2", "budget_e_per_A2", "where the beam is now"],
  ["highest", "highest_e_per_A2", "budget_e_per_A2", "at the place with the most"],
  ["run", "run_e_per_A2", "run_budget_e_per_A2", "of all places together"],
];

export class DosePanel {
  #rows = ROWS.map((row) => new DoseRow(...row));
  #words = h("p.number");
  #loud = h("p.loud", { hidden: true });
  element = h(
    "section.panel.dose",
    { "aria-label": "dose" },
    h("h2", {}, "Dose"),
    this.#loud,
    ...this.#rows.map((row) => row.element),
    this.#words,
  );

  hear(guard) {
    const known = guard !== null && guard.silent_s === null;
    this.element.hidden = guard === null;
    this.element.dataset.old = !known;
    if (!known) return;
    const { dose } = guard;
    this.#loud.hidden = !dose?.lacking;
    set(this.#loud, dose?.lacking ? `NOT ENFORCED: ${dose.lacking}` : "");
    for (const row of this.#rows) row.show(dose);
    const none = "not counted: the pipeline file has no [control.dose]";
    set(this.#words, dose === null ? none : rest(dose));
  }
}

// What stands beside the bars: rate, what is left, what is not counted yet, the beam.
function rest(dose) {
  const isDark = dose.blanked === true;
  const parts = [
    typeof dose.blanked === "boolean" ? (isDark ? "beam blanked: no dose" : "beam on") : "",
    dose.enforced === false && !dose.lacking ? "counted, without a budget" : "",
    isDark ? "" : said("rate", dose.rate_e_per_A2_s, "e⁻/Å²/s"),
    said("left", dose.left_e_per_A2, `e⁻/Å² of ${dose.left_of ?? ""}`),
    said("pending", dose.pending_e_per_A2, "e⁻/Å²"),
  ];
  return parts.filter(Boolean).join(" · ");
}

function said(name, value, unit) {
  return typeof value === "number" ? `${name} ${short(value)} ${unit}` : "";
}

class DoseRow {
  #key;
  #budget;
  #nominal = h("div.nominal");
  #upper = h("div.upper");
  #bar = h("div.bar", { "aria-hidden": "true" }, this.#nominal, this.#upper);
  #text = h("span.number");
  element;

  constructor(name, key, budget, title) {
    this.#key = key;
    this.#budget = budget;
    const head = h("div.head", {}, h("span", {}, name), this.#text);
    const about = `${title}: best estimate (at most)`;
    this.element = h("div.dose-row", { title: about }, head, this.#bar);
  }

  show(dose) {
    const pair = dose?.[this.#key];
    this.element.hidden = !Array.isArray(pair) || pair.length !== 2;
    if (this.element.hidden) return;
    const [nominal, upper] = pair;
    const budget = dose[this.#budget];
    const has = typeof budget === "number" && budget > 0;
    this.#bar.hidden = !has;
    if (has) {
      const part = (value) => Math.min(100, Math.max(0, (100 * value) / budget));
      this.#nominal.style.width = `${part(nominal)}%`;
      this.#upper.style.width = `${part(upper) - part(nominal)}%`;
      this.element.dataset.level = upper >= budget ? "bad" : upper >= 0.8 * budget ? "warn" : "ok";
    }
    const percent = Math.floor((100 * upper) / budget); // 100 % is not said before it is
    const of = has ? ` of ${short(budget)} e⁻/Å², ${percent} %` : " e⁻/Å²";
    set(this.#text, `${short(nominal)} (≤ ${short(upper)})${of}`);
  }
}

function short(value) {
  if (typeof value !== "number") return "?";
  return String(Number(value.toPrecision(3))).replaceAll("-", "−");
}

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

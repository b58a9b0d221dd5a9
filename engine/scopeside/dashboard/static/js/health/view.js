// Health: how the engine is, in tables, and what each thing means.

import { h } from "../dom.js";
import { chainRows, lossRows } from "./chains.js";
import { Facts } from "./facts.js";
import { engineFacts, tabFacts } from "./facts_said.js";
import { sentencesOf } from "./local.js";
import { Matters } from "./matters.js";
import { channelRows, latencies, latencyRows, noteRows } from "./others.js";
import { processRows } from "./processes.js";
import { endedRows, openRows } from "./runs.js";
import { Recording, Slab } from "./stores.js";

export const name = "Health";

export function mount(root, page) {
  const view = new Health(root, page);
  return { show: () => view.show(), hide: () => view.hide() };
}

class Health {
  #page;
  #vitals = null;
  #stretch = 1; // how many times rarer than asked images are sent
  #ends = [];
  #matters;
  #chains;
  #losses = lossRows();
  #processes = processRows();
  #slab = new Slab();
  #recording = new Recording();
  #open = openRows();
  #ended = endedRows();
  #channels = channelRows();
  #latency = latencyRows();
  #notes = noteRows();
  #tab = new Facts();
  #engine = new Facts();
  #onChange = () => this.#tick();

  constructor(root, page) {
    this.#page = page;
    this.#matters = new Matters(page);
    this.#chains = chainRows(page);
    this.#notes.element.classList.add("notes");
    root.append(
      h(
        "div.grid",
        {},
        panel("What is the matter", this.#matters.element, "full"),
        panel("Chains", this.#chains.element, "full"),
        panel("Acquisitions under way", this.#open.element, "wide"),
        panel("Frames not processed", this.#losses.element, "wide"),
        panel("Processes", this.#processes.element, "wide"),
        panel("Memory for frames", this.#slab.element),
        panel("Recording and disk", this.#recording.element),
        panel("Latency", this.#latency.element),
        panel("This page", this.#tab.element),
        panel("Engine", this.#engine.element),
        panel("Channels", this.#channels.element, "wide"),
        panel("Acquisitions that are over", this.#ended.element, "wide"),
        panel("Notes of the engine", this.#notes.element, "wide"),
      ),
    );
  }

  show() {
    const { live } = this.#page;
    this.#ends = [
      live.topic("vitals", (vitals) => {
        this.#vitals = vitals;
        this.#fill(vitals);
      }),
      live.topic("pace", ({ stretch }) => {
        this.#stretch = stretch;
      }),
    ];
    this.#page.standing.addEventListener("change", this.#onChange);
    this.#tick();
  }

  hide() {
    for (const end of this.#ends.splice(0)) end();
    this.#page.standing.removeEventListener("change", this.#onChange);
  }

  #fill(vitals) {
    this.#chains.fill(vitals.edges);
    this.#losses.fill(vitals.losses);
    this.#processes.fill(vitals.processes);
    this.#slab.fill(vitals);
    this.#recording.fill(vitals.record);
    this.#open.fill(vitals.open);
    this.#ended.fill(vitals.ended);
    this.#channels.fill(vitals.channels);
    this.#notes.fill(vitals.notes);
    this.#latency.fill(latencies(vitals.latency_ms));
    this.#engine.fill(engineFacts(vitals));
  }

  #tick() {
    const { standing } = this.#page;
    const notes = standing.isLive ? standing.health.sentences.filter(isNote) : [];
    this.#matters.fill([...sentencesOf(standing), ...notes]);
    this.#tab.fill(tabFacts(this.#page, this.#vitals, this.#stretch));
  }
}

function isNote(sentence) {
  return sentence.level === "ok";
}

function panel(title, content, ...classes) {
  return h(["section.panel", ...classes].join("."), { "aria-label": title }, h("h2", {}, title), content);
}

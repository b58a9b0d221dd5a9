// In situ: the movie as it was taken and with its drift taken out, what happens in it, and all
// numbers over the time of the experiment.

import { h } from "../dom.js";
import { Events } from "./events.js";
import { Pane } from "./pane.js";
import { Plots } from "./plots.js";
import { Record } from "./record.js";

export const name = "In situ";

const TOGGLES = { events: true, candidates: false, tracks: true, tails: true, outlines: false, labels: true };
const KEPT = "scopeside.insitu.shows";
const ZOOM = 4;
// The plots, or what else has the focus, handle them: here they are only listed.
const KEYS = {
  "← →": "plots: earlier, later",
  "+ −": "plots: shorter time, longer time (also Ctrl and the wheel)",
  Home: "plots: the whole experiment",
  End: "plots: follow the newest",
  Enter: "fold or unfold a plot by its name; choose an event",
};

export function mount(root, page) {
  const record = new Record();
  const shows = { ...TOGGLES, ...kept() };
  record.wantsOutlines = shows.outlines;
  const panes = [
    new Pane(page, record, {
      name: "raw",
      title: "Movie",
      roles: ["raw", "frame"],
      help: help("The frames as they come are not shown: a chain has to give them.", 'kind = "frame"'),
      shows: () => shows,
    }),
    new Pane(page, record, {
      name: "corrected",
      title: "Drift-corrected",
      roles: ["specimen"],
      help: help(
        "No result lies in coordinates of the specimen: a chain has to take the drift out.",
        'kind = "denoise"\ncoordinates = "specimen"',
      ),
      shows: () => shows,
    }),
  ];
  const events = new Events(record);
  const plots = new Plots(record);
  const failure = h("p.failure", { role: "alert", hidden: true });
  const movie = h("div.movie", {}, ...panes.map((pane) => pane.element));
  root.append(h("div.insitu", {}, h("div.left", {}, toggles(), movie, failure, plots.element), events.element));

  const lag = h("span.lag.number", { role: "status" });
  root.querySelector(".toggles").append(lag);
  const sayLag = () => {
    const frames = record.behind(Math.max(...panes.map((pane) => pane.frame)));
    const text = frames > 0 ? `▲ marks are ${frames} frames behind the movie` : "";
    if (lag.textContent !== text) lag.textContent = text;
  };
  const update = () => {
    sayLag();
    failure.hidden = record.failure === "";
    failure.textContent = record.failure && `The record of the experiment cannot be read: ${record.failure}`;
    for (const pane of panes) pane.update();
    events.update();
    plots.update();
  };
  record.addEventListener("news", update);
  // What a pipeline lacks cannot be told before its first results are here.
  page.standing.addEventListener("change", () => {
    const { state, health } = page.standing;
    const waits = state !== "live" || health.phase === "starting";
    root.firstChild.toggleAttribute("data-waits", waits);
  });
  events.onchoose = (event) => {
    for (const pane of panes) pane.choose(event);
    plots.choose(event);
  };
  events.onzoom = (event) => {
    for (const pane of panes) pane.choose(event, ZOOM);
  };
  for (const pane of panes) {
    pane.onpick = (event) => events.choose(event);
    pane.onpaint = () => {
      sayLag();
      for (const one of panes) one.move(); // one picture may tell the drift of the other
    };
  }

  for (const [key, what] of Object.entries(KEYS)) page.keys.add(key, what, null, { where: name });

  let isShown = false;
  page.live.topic("insitu", () => isShown && record.ask());

  function toggles() {
    const boxes = Object.keys(TOGGLES).map((what) => {
      const box = h("input", { type: "checkbox", checked: shows[what], "data-shows": what });
      box.addEventListener("change", () => {
        shows[what] = box.checked;
        localStorage.setItem(KEPT, JSON.stringify(shows));
        record.wantsOutlines = shows.outlines;
        if (what === "outlines" && box.checked) record.ask();
        for (const pane of panes) pane.update();
      });
      return h("label", {}, box, what);
    });
    const choices = h("span.choices", {}, ...panes.map((pane) => pane.choice));
    return h("div.toggles", { role: "group", "aria-label": "what is drawn on the images" }, ...boxes, choices);
  }

  return {
    show() {
      isShown = true;
      for (const pane of panes) pane.show();
      record.ask();
    },
    hide() {
      isShown = false;
      for (const pane of panes) pane.hide();
    },
  };
}

// What was chosen to be drawn; kept in this browser.
function kept() {
  try {
    return JSON.parse(localStorage.getItem(KEPT) ?? "{}");
  } catch {
    return {}; // somebody else has written there
  }
}

// In words, how to get a picture that there is not.
function help(words, lines) {
  const toml = `[[chain]]\nname = "view"\nedge = "latest"\n\n[[chain.processor]]\n${lines}`;
  const how = h("div.how", {}, h("p", {}, words, " Put this into the pipeline file:"), h("pre", {}, toml));
  return h("div.help.dim", {}, h("p.waits", {}, "No image has come yet."), how);
}

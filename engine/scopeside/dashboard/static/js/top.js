// What is always at the top: the engine's state, the theme, the keys, and
// (feedback/stops.js) the buttons that stop. Also the title of the tab, for who looks
// elsewhere.

import { age, clock, whole } from "./amounts.js";
import { h } from "./dom.js";
import { mountStops } from "./feedback/stops.js";

export function mountTop(page) {
  const engine = h("span.engine", { id: "engine-state" }, "connecting …");
  const theme = h(
    "button.quiet",
    { id: "theme", title: "light or dark (key t)", onclick: turn },
    "◐",
  );
  theme.setAttribute("aria-label", "switch between light and dark");
  const keys = h(
    "button.quiet",
    { id: "show-keys", title: "list of keys (key ?)", onclick: () => page.keys.show() },
    "?",
  );
  keys.setAttribute("aria-label", "list of keys");
  document.getElementById("state").append(engine, pace(page), theme, keys);
  page.standing.addEventListener("change", () => {
    const [mark, text] = said(page.standing);
    const line = `${mark} ${text}`;
    if (engine.textContent !== line) engine.textContent = line;
    const title = `${mark} ${short(page.standing)} – scopeside`;
    if (document.title !== title) document.title = title;
  });
  page.keys.add("t", "light or dark", turn);
  mountStops(document.getElementById("stops"), page);
}

// Whether images come less often than they could, and how often (pace.py).
function pace(page) {
  const said = h("span", {
    id: "pace",
    hidden: true,
    title: "no core has time to spare, and frames come first: each image is sent less often",
  });
  page.live.topic("pace", ({ stretch }) => {
    said.hidden = stretch < 1.5;
    said.textContent = `images every ${Math.min(stretch / 10, 1).toFixed(1)} s`;
  });
  return said;
}

// A sign, whose shape tells, and the words.
function said({ state, health, ageMs, endedMs }) {
  const rate = `${whole(health?.frames_per_s ?? 0)} frames/s`;
  switch (state) {
    case "live":
      return [isBad(health) ? "!" : "●", `${health.phase} · ${rate}`];
    case "silent":
      return ["!", `no answer for ${age(ageMs)}`];
    case "ended":
      if (health.killed) return ["!", `stopped at ${clock(endedMs)}`];
      return ["■", `ended at ${clock(endedMs)}`];
    case "gone":
      return ["■", `ended at ${clock(endedMs)}`];
    case "none":
      return ["○", "no engine"];
    case "lost":
      return ["!", `no connection for ${age(ageMs)}`];
    default:
      return ["○", "connecting …"];
  }
}

// Ages stay out of the title: it would never rest.
function short(standing) {
  switch (standing.state) {
    case "live":
      return `${whole(standing.health.frames_per_s)} frames/s`;
    case "silent":
      return "stale";
    case "lost":
      return "no connection";
    default:
      return said(standing)[1];
  }
}

function isBad(health) {
  return health.sentences.some((one) => one.level === "bad");
}

function turn() {
  const root = document.documentElement;
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("scopeside.theme", root.dataset.theme);
  window.dispatchEvent(new Event("theme"));
}

// What is always at the top: the engine's state, the theme, and (feedback/stops.js) the
// buttons that stop.

import { h } from "./dom.js";
import { mountStops } from "./feedback/stops.js";

export function mountTop(page) {
  const state = document.getElementById("state");
  const engine = h("span.engine", { id: "engine-state" }, "connecting …");
  const theme = h("button.quiet", { id: "theme", title: "light or dark (key t)", onclick: turn }, "◐");
  theme.setAttribute("aria-label", "switch between light and dark");
  state.append(engine, theme);
  page.live.topic("status", (status) => {
    const rate = status.rates?.frames_per_s ?? 0;
    engine.textContent = `${status.phase} · ${rate.toLocaleString("en", { maximumFractionDigits: 0 })} frames/s`;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "t" && !event.ctrlKey && event.target === document.body) turn();
  });
  mountStops(document.getElementById("stops"), page);
}

function turn() {
  const root = document.documentElement;
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("scopeside.theme", root.dataset.theme);
  window.dispatchEvent(new Event("theme"));
}

// The page: its views, and what is always there.

import { Live } from "./live.js";
import { h } from "./dom.js";
import { mountTop } from "./top.js";
import { mountBanner } from "./health/banner.js";
import * as images from "./images/view.js";
import * as steering from "./steering/view.js";
import * as insitu from "./insitu/view.js";
import * as feedback from "./feedback/view.js";
import * as health from "./health/view.js";

// Each has `name`, `key`, and `mount(root, page)`, which returns {show(), hide()}: a view
// that is not seen wants no images.
const VIEWS = [images, steering, insitu, feedback, health];

const page = { live: new Live() };
window.scopeside = page; // for tests, and for who is curious

const main = document.getElementById("main");
const tabs = document.getElementById("views");
const mounted = new Map();
let current = null;

function show(view) {
  if (current === view) return;
  if (current !== null) {
    mounted.get(current).parts?.hide?.();
    mounted.get(current).root.hidden = true;
    mounted.get(current).tab.setAttribute("aria-selected", "false");
  }
  current = view;
  const one = mounted.get(view);
  one.root.hidden = false;
  one.tab.setAttribute("aria-selected", "true");
  one.parts ??= view.mount(one.root, page);
  one.parts?.show?.();
  sessionStorage.setItem("scopeside.view", view.name);
}

for (const [index, view] of VIEWS.entries()) {
  const id = `view-${view.name.toLowerCase().replaceAll(/\W/g, "")}`;
  const root = h("section.view", { id, hidden: true, role: "tabpanel", "aria-label": view.name });
  const tab = h(
    "button.tab",
    {
      role: "tab",
      "aria-selected": "false",
      "aria-controls": id,
      title: `${view.name} (key ${index + 1})`,
      onclick: () => show(view),
    },
    view.name,
  );
  mounted.set(view, { root, tab, parts: null });
  tabs.append(tab);
  main.append(root);
}

page.show = (name) => show(VIEWS.find((view) => view.name === name) ?? VIEWS[0]);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event)) return;
  const view = VIEWS[Number(event.key) - 1];
  if (view !== undefined) show(view);
});

// Whether a key belongs to what the focus is on.
export function isTyping(event) {
  const path = event.composedPath()[0];
  return path instanceof HTMLInputElement || path instanceof HTMLTextAreaElement || path instanceof HTMLSelectElement;
}

mountTop(page);
mountBanner(document.getElementById("banner"), page);
page.live.start();
page.show(sessionStorage.getItem("scopeside.view"));

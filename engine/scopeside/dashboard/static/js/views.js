// The views, one seen at a time, and their tabs: a tablist as ARIA describes it (arrow
// keys move, Home and End go to the ends, only the tab that is seen is a Tab stop).

import { h } from "./dom.js";

const KEPT = "scopeside.view";

export class Views {
  #page;
  #tabs;
  #main;
  #views = new Map(); // name -> {view, root, tab, parts}
  #current = null;

  constructor(page, tabs, main) {
    this.#page = page;
    this.#tabs = tabs;
    this.#main = main;
    tabs.addEventListener("keydown", (event) => this.#move(event));
  }

  // `view` has `name` and `mount(root, page)`, which returns {show(), hide()}: a view that
  // is not seen wants no images. It is mounted when it is seen first.
  add(view) {
    const id = `view-${view.name.toLowerCase().replaceAll(/\W/g, "")}`;
    const key = String(this.#views.size + 1);
    const root = h("section.view", {
      id,
      hidden: true,
      role: "tabpanel",
      tabindex: "-1",
      "aria-labelledby": `tab-${id}`,
    });
    const tab = h(
      "button.tab",
      {
        id: `tab-${id}`,
        role: "tab",
        tabindex: "-1",
        "aria-selected": "false",
        "aria-controls": id,
        title: `${view.name} (key ${key})`,
        onclick: () => this.show(view.name),
      },
      view.name,
    );
    this.#views.set(view.name, { view, root, tab, parts: null });
    this.#tabs.append(tab);
    this.#main.append(root);
    this.#page.keys.add(key, `view: ${view.name}`, () => this.show(view.name));
  }

  // The name of the view that is seen.
  get current() {
    return this.#current?.view.name ?? null;
  }

  // Show a view; the first, if there is none of that name.
  show(name) {
    const next = this.#views.get(name) ?? this.#views.values().next().value;
    const before = this.#current;
    if (next === before) return;
    const hadFocus = before?.root.contains(document.activeElement);
    if (before !== null) this.#leave(before);
    this.#current = next;
    next.root.hidden = false;
    next.tab.setAttribute("aria-selected", "true");
    next.tab.tabIndex = 0;
    this.#attempt(next, () => (next.parts ??= next.view.mount(next.root, this.#page)));
    this.#attempt(next, () => next.parts?.show?.());
    if (hadFocus) next.root.focus();
    sessionStorage.setItem(KEPT, next.view.name);
  }

  // Show the view that this tab showed before it was loaded anew.
  resume() {
    this.show(sessionStorage.getItem(KEPT));
  }

  // Put the focus into the view.
  enter() {
    this.#current?.root.focus();
  }

  #leave(one) {
    this.#attempt(one, () => one.parts?.hide?.());
    one.root.hidden = true;
    one.tab.setAttribute("aria-selected", "false");
    one.tab.tabIndex = -1;
  }

  // One view that fails takes nothing else with it, and says so where it is missed.
  #attempt(one, action) {
    try {
      action();
    } catch (error) {
      one.root.append(h("p.failed", { role: "alert" }, `this view has failed: ${error.message}`));
      reportError(error);
    }
  }

  #move(event) {
    const all = [...this.#views.values()];
    const at = all.indexOf(this.#current);
    const to = {
      ArrowRight: (at + 1) % all.length,
      ArrowLeft: (at + all.length - 1) % all.length,
      Home: 0,
      End: all.length - 1,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.show(all[to].view.name);
    all[to].tab.focus();
  }
}

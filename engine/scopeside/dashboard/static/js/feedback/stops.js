// HOLD and BLANK, and the mode of feedback: always in reach where there is a guard.

import { MAY_ONLY_LOOK, mayChange } from "../ask.js";
import { h } from "../dom.js";
import { ModeChip } from "./mode_chip.js";
import { StopButton } from "./stop_button.js";

// Heard before anybody else's keys, and so only listed there.
const KEYS = {
  h: "HOLD: nothing more is sent to the microscope (with feedback)",
  "⇧B": "BLANK the beam, and hold (with feedback)",
};

export function mountStops(root, page) {
  const chip = new ModeChip(page);
  const hold = new StopButton("hold", "HELD", "h");
  const blank = new StopButton("blank", "BLANKED", "⇧B");
  const alert = alertUnder(document.getElementById("top"));
  const told = new Map();
  for (const button of [hold, blank]) {
    button.element.hidden = true;
    button.addEventListener("tell", ({ detail }) => {
      told.set(button, detail);
      alert.say([...told].filter(([, text]) => text !== ""));
    });
  }
  root.append(chip.element, hold.element, blank.element);
  let guarded = false;
  page.live.topic("guard", (guard) => {
    guarded = guard !== null;
    chip.hear(guard);
    for (const button of [hold, blank]) {
      button.element.hidden = !guarded;
      button.hear(guard);
    }
  });
  const press = (event) => {
    const button = buttonOf(event, hold, blank);
    if (button === null || !guarded) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (mayChange()) button.press();
    else alert.say([[button, `Nothing was asked: ${MAY_ONLY_LOOK}.`]]);
  };
  for (const [key, what] of Object.entries(KEYS)) page.keys.add(key, what);
  document.addEventListener("keydown", press, true); // before anybody else's keys
}

// Which button a key presses; null: none, or a text is being written.
function buttonOf(event, hold, blank) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return null;
  if (isWriting(event.composedPath()[0])) return null;
  const key = event.key.toLowerCase();
  if (key === "h") return hold;
  return key === "b" && event.shiftKey ? blank : null;
}

const NO_TEXT = new Set(["range", "checkbox", "radio", "button", "submit", "color"]);

// A slider or a box to tick takes no letters: there the keys work as well.
function isWriting(element) {
  if (element instanceof HTMLInputElement) return !NO_TEXT.has(element.type);
  return element instanceof HTMLTextAreaElement || element?.isContentEditable === true;
}

// A strip that says in loud words what has failed, with a button to ask again.
function alertUnder(top) {
  const element = h("div.stop-alert", { id: "stop-alert", role: "alert", hidden: true });
  top.after(element);
  return {
    say(told) {
      element.hidden = told.length === 0;
      element.replaceChildren(
        ...told.map(([button, text]) =>
          h(
            "p",
            {},
            h("strong", {}, text),
            h(
              "button",
              { onclick: () => button.press(), disabled: !mayChange() },
              `${button.what} again`,
            ),
          ),
        ),
      );
    },
  };
}

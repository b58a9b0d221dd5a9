// Feedback: how far it may go, what waits for a person, what was decided, dose, audit log.

import { MAY_ONLY_LOOK, mayChange } from "../ask.js";
import { h } from "../dom.js";
import { AuditPanel } from "./audit.js";
import { DosePanel } from "./dose.js";
import { ModePanel } from "./mode_panel.js";
import { nonePanel } from "./none.js";
import { Proposals } from "./proposals.js";
import { ReadbackPanel } from "./readback.js";
import { Verdicts } from "./verdicts.js";

export const name = "Feedback";

const TURN_MS = 250;
const NO_SAFETY_SYSTEM =
  "scopeside is no safety system: the instrument's own interlocks and controls stay.";
// Elements with the focus handle them: here they are only listed.
const KEYS = {
  a: "accept the proposal that has the focus",
  d: "decline the proposal that has the focus",
  "↑ ↓": "from row to row of the audit log",
  Enter: "the story of a row, or of a verdict",
};

export function mount(root, page) {
  const audit = new AuditPanel();
  const mode = new ModePanel(page);
  const proposals = new Proposals(page);
  const verdicts = new Verdicts(page, (id) => audit.tell(id));
  const dose = new DosePanel();
  const readback = new ReadbackPanel(page);
  const none = nonePanel();
  const grid = h(
    "div.feedback",
    { hidden: true }, // until a guard is heard of
    h("div.left", {}, mode.element, dose.element, readback.element),
    proposals.element,
    verdicts.element,
    audit.element,
  );
  const why = `Nothing can be changed here: ${MAY_ONLY_LOOK}.`;
  const look = h("p.only-look", { hidden: mayChange() }, why);
  root.append(h("p.no-safety", {}, NO_SAFETY_SYSTEM), look, none, grid);

  page.live.topic("guard", (guard) => {
    none.hidden = guard !== null;
    grid.hidden = guard === null;
    audit.hear(guard);
    mode.hear(guard);
    proposals.hear(guard);
    dose.hear(guard);
    readback.hear(guard);
  });
  page.live.topic("guard_verdicts", (list) => {
    verdicts.hear(list);
    proposals.hearVerdicts(list);
  });
  page.live.topic("audit_checked", (checked) => audit.hearChecked(checked));
  page.live.addEventListener("state", () => mode.turn());

  for (const [key, what] of Object.entries(KEYS)) page.keys.add(key, what, null, { where: name });

  let timer = null;
  const turn = () => {
    mode.turn();
    proposals.turn();
    verdicts.turn();
    readback.turn();
  };
  return {
    show() {
      turn();
      timer ??= setInterval(turn, TURN_MS);
      audit.show();
    },
    hide() {
      clearInterval(timer);
      timer = null;
      audit.hide();
    },
  };
}

// What stands in place of all else where the pipeline has no feedback: how to get it.

import { h } from "../dom.js";

const BEGIN = `[control]
mode = "observe"   # proposals are written down, nothing is sent
adapter = { kind = "…" }   # your microscope: docs/microscopes.md
audit = "audit.jsonl"`;

export function nonePanel() {
  return h(
    "section.panel.no-feedback",
    { "aria-label": "no feedback", hidden: true },
    h("h2", {}, "There is no feedback in this pipeline"),
    h(
      "p",
      {},
      "Its file has no [control]: nothing is proposed and nothing is sent to the microscope, " +
        "so there is nothing to arm, to hold or to read in an audit log.",
    ),
    h("p", {}, "To have it, begin with this in the pipeline file:"),
    h("pre", {}, BEGIN),
    h(
      "p",
      {},
      "docs/guard.md says what it may do and its limits; examples/feedback.toml is a whole " +
        "example with a simulated microscope.",
    ),
  );
}

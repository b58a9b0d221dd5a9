// What is looked for in the audit log.

import { h } from "../dom.js";

const STATES = [
  "", "done", "sent", "waiting", "refused", "failed", "observed", "lapsed", "CHANGED",
];

export class AuditForm {
  element;

  // `search(wanted)`: only what is filled in, times in ms since 1970.
  constructor(search) {
    const states = STATES.map((state) => h("option", { value: state }, state || "any state"));
    this.element = h(
      "form.row.search",
      {
        role: "search",
        onsubmit: (event) => {
          event.preventDefault();
          search(this.#wanted());
        },
        onreset: () => search({}),
      },
      field("text", h("input", { type: "search", name: "text", maxlength: 200, size: 14 })),
      field("action", h("input", { type: "search", name: "action", maxlength: 60, size: 10 })),
      field("state", h("select", { name: "state" }, ...states)),
      field("person or rule", h("input", { type: "search", name: "who", maxlength: 60, size: 10 })),
      field("id or number", h("input", { type: "search", name: "id", maxlength: 200, size: 10 })),
      field("from", h("input", { type: "datetime-local", name: "from_ms", step: 1 })),
      field("to", h("input", { type: "datetime-local", name: "to_ms", step: 1 })),
      h("button", { type: "submit" }, "Search"),
      h("button.quiet", { type: "reset" }, "Clear"),
    );
  }

  #wanted() {
    const wanted = {};
    for (const [name, value] of new FormData(this.element)) {
      if (value === "") continue;
      wanted[name] = name.endsWith("_ms") ? new Date(value).getTime() : value;
    }
    return wanted;
  }
}

function field(label, input) {
  return h("label.field", {}, h("span.dim", {}, label), input);
}

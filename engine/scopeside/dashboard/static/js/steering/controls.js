// One control for each kind of field of fields.py. A control is {element, get(), set(value),
// disable(why)}: `get` returns the value or throws an Error that says what is expected.

import { h } from "../dom.js";
import { parse, shown } from "./values.js";

const NONE = "none";

// `edited()` is called when a person has changed it; `id` is that of what the label names.
export function controlOf(field, id, edited) {
  switch (field.control) {
    case "switch":
      if (!field.optional) return toggle(id, edited);
      return choice({ ...field, choices: [true, false] }, id, edited);
    case "choice":
      return choice(field, id, edited);
    case "several":
      return several(field, id, edited);
    case "either":
      return either(field, id, edited);
    default:
      return text(field, id, edited);
  }
}

function text(field, id, edited) {
  const isNumber = field.control === "number" || field.control === "whole";
  const input = h("input", {
    id,
    type: "text",
    class: isNumber ? "short" : "long",
    inputmode: isNumber ? "decimal" : null,
    placeholder: field.optional ? NONE : "",
    autocomplete: "off",
    spellcheck: "false",
    oninput: edited,
  });
  return {
    element: input,
    get: () => parse(field, input.value),
    set: (value) => {
      put(input, shown(field, value));
      // As wide as what stands in it, as far as there is room.
      if (!isNumber) input.style.minWidth = `min(100%, ${input.value.length + 3}ch)`;
    },
    disable: (why) => disable(input, why),
  };
}

function toggle(id, edited) {
  const input = h("input", { id, type: "checkbox", onchange: edited });
  return {
    element: input,
    get: () => input.checked,
    set: (value) => {
      input.checked = Boolean(value);
    },
    disable: (why) => disable(input, why),
  };
}

function choice(field, id, edited) {
  const values = [...(field.optional ? [null] : []), ...field.choices];
  const select = h("select", { id, onchange: edited });
  select.append(...options(values));
  return {
    element: select,
    get: () => values[Number(select.value)],
    set: (value) => put(select, String(values.findIndex((one) => one === (value ?? null)))),
    disable: (why) => disable(select, why),
  };
}

function several(field, id, edited) {
  const boxes = field.choices.map((value) => {
    const input = h("input", { type: "checkbox", onchange: edited });
    return { value, input, label: h("label.one", {}, input, String(value)) };
  });
  const element = h("span.several", { id, role: "group" }, ...boxes.map(({ label }) => label));
  let order = []; // as it was: the order of results is the file's
  return {
    element,
    get: () => {
      const chosen = boxes.filter(({ input }) => input.checked).map(({ value }) => value);
      if (chosen.length === 0 && field.optional) return null;
      if (chosen.length < (field.least ?? 0)) throw new Error("choose one or more");
      const kept = order.filter((one) => chosen.includes(one));
      return [...kept, ...chosen.filter((one) => !order.includes(one))];
    },
    set: (value) => {
      order = value ?? [];
      for (const { value: one, input } of boxes) input.checked = order.includes(one);
    },
    disable: (why) => {
      for (const { input } of boxes) disable(input, why);
    },
  };
}

// A word, or a value of another kind: which of them is chosen, then it is entered.
function either(field, id, edited) {
  const words = [...(field.optional ? [null] : []), ...field.choices];
  const others = field.others.map((one, i) => {
    return { field: one, control: controlOf(one, `${id}-${i}`, edited) };
  });
  const select = h("select", { id, onchange: () => (look(), edited()) });
  select.append(
    ...options(words),
    ...others.map((one, i) => h("option", { value: words.length + i }, called(one.field))),
  );
  const element = h("span.either", {}, select, ...others.map(({ control }) => control.element));
  const chosen = () => others[Number(select.value) - words.length];
  const look = () => {
    for (const one of others) one.control.element.hidden = one !== chosen();
  };
  look();
  return {
    element,
    get: () => chosen()?.control.get() ?? words[Number(select.value)] ?? null,
    set: (value) => {
      const word = words.findIndex((one) => one === (value ?? null));
      const other = others.findIndex((one) => suits(one.field, value));
      put(select, String(word >= 0 ? word : words.length + Math.max(0, other)));
      if (word < 0) chosen()?.control.set(value);
      look();
    },
    disable: (why) => {
      disable(select, why);
      for (const { control } of others) control.disable(why);
    },
  };
}

function options(values) {
  const words = values.map((value) => (value === null ? NONE : String(value)));
  return words.map((word, i) => h("option", { value: i }, word));
}

function called({ control, most }) {
  const names = { number: "a number", whole: "a whole number", file: "a file", text: "text" };
  if (control === "numbers") return most === undefined ? "numbers" : `${most} numbers`;
  return names[control] ?? "a value";
}

function suits({ control }, value) {
  if (typeof value === "number") return control === "number" || control === "whole";
  if (typeof value === "string") return control === "file" || control === "text";
  const isFlat = Array.isArray(value) && value.every((one) => typeof one === "number");
  return control === "value" || control === (isFlat ? "numbers" : "table");
}

function put(input, value) {
  if (input.value !== value) input.value = value;
}

function disable(input, why) {
  input.disabled = why !== "";
  input.title = why;
}

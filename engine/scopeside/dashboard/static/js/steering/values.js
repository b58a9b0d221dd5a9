// Values as a person writes them, checked by the limits of their field.

// The value that a text means; throws an Error that says what is expected.
export function parse(field, text) {
  const trimmed = text.trim();
  if (trimmed === "") return empty(field);
  switch (field.control) {
    case "number":
    case "whole":
      return checked(field, number(trimmed, field.control === "whole"));
    case "numbers":
      return numbers(field, trimmed);
    case "value":
      return json(trimmed);
    default:
      return trimmed;
  }
}

// A value as it is shown in a text field.
export function shown(field, value) {
  if (value === null || value === undefined) return "";
  if (field.control === "numbers") return value.join(", ");
  if (field.control === "value") return JSON.stringify(value).replaceAll(",", ", ").replaceAll(":", ": ");
  return String(value);
}

// The limits of a field in words; empty if there are none.
export function limits(field) {
  const { min, above, max, below } = field;
  const low = min !== undefined ? `${min} or more` : above !== undefined ? `more than ${above}` : "";
  const high = max !== undefined ? `${max} or less` : below !== undefined ? `less than ${below}` : "";
  if (min !== undefined && max !== undefined) return `${min} to ${max}`;
  return [low, high].filter((one) => one !== "").join(", ");
}

export function same(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}

function empty(field) {
  if (field.optional) return null;
  if (field.control === "numbers" && !field.least) return [];
  throw new Error("expected a value");
}

function number(text, whole) {
  const value = Number(text.replace("−", "-"));
  if (!Number.isFinite(value)) throw new Error("expected a number");
  if (whole && !Number.isInteger(value)) throw new Error("expected a whole number");
  return value;
}

function checked(field, value) {
  const { min, above, max, below } = field;
  const fits =
    value >= (min ?? -Infinity) &&
    value <= (max ?? Infinity) &&
    (above === undefined || value > above) &&
    (below === undefined || value < below);
  if (!fits) throw new Error(`expected ${limits(field)}`);
  return value;
}

function numbers(field, text) {
  const parts = text.replaceAll(/[[\]]/g, " ").split(/[,;\s]+/).filter((one) => one !== "");
  const found = parts.map((one) => checked(field, number(one, field.whole)));
  const { least = 0, most = Infinity } = field;
  if (found.length < least || found.length > most) {
    const count = least === most ? least : most === Infinity ? `${least} or more` : `${least} to ${most}`;
    throw new Error(`expected ${count} numbers, not ${found.length}`);
  }
  return found;
}

function json(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('expected a value such as [[1, 2], [3, 4]] or {"disk": [64, 64, 20]}');
  }
}

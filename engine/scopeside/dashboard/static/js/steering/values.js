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
  if (field.control === "value") return spaced(JSON.stringify(value));
  return String(value);
}

// The limits of a field in words; empty if there are none.
export function limits(field) {
  const { min, above, max, below } = field;
  if (min !== undefined && max !== undefined) return `${min} to ${max}`;
  const words = [];
  if (min !== undefined) words.push(`${min} or more`);
  if (above !== undefined) words.push(`more than ${above}`);
  if (max !== undefined) words.push(`${max} or less`);
  if (below !== undefined) words.push(`less than ${below}`);
  return words.join(", ");
}

export function same(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}

// JSON with a space behind each comma and colon that is not inside a text.
function spaced(text) {
  return text.replace(/("(?:[^"\\]|\\.)*")|([,:])/g, (_, quoted, sign) => quoted ?? `${sign} `);
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
    const range = most === Infinity ? `${least} or more` : `${least} to ${most}`;
    const count = least === most ? least : range;
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

// Numbers and units in words: lengths, angles, ages.

const LENGTHS = [
  [1e-3, "mm"],
  [1e-6, "µm"],
  [1e-9, "nm"],
  [1e-10, "Å"],
  [1e-12, "pm"],
];
const ANGLES = [
  [1, "rad"],
  [1e-3, "mrad"],
  [1e-6, "µrad"],
];

// The unit in which `size` (m, rad, 1/m or px) is best read: {per, unit}; value = size / per.
export function unitFor(size, base) {
  if (base === "1/m") return { per: 1e9, unit: "1/nm" };
  const known = { m: LENGTHS, rad: ANGLES }[base];
  if (known === undefined) return { per: 1, unit: base };
  const found = known.find(([per]) => Math.abs(size) >= 0.9999 * per) ?? known.at(-1);
  return { per: found[0], unit: found[1] };
}

// `size` in its best unit: "12.3 nm".
export function quantity(size, base, significant = 3) {
  const { per, unit } = unitFor(size, base);
  return `${number(size / per, significant)} ${unit}`.trim();
}

// Made once: toLocaleString makes a formatter each time, which took longer than a paint.
const FINE = new Intl.NumberFormat("en", { maximumFractionDigits: 12 });
const PLAIN = new Intl.NumberFormat("en");

// The largest 1, 2 or 5 times a power of ten that is not above `most`.
export function roundBelow(most) {
  const ten = 10 ** Math.floor(Math.log10(most) + 1e-9);
  return [5, 2, 1].map((n) => n * ten).find((n) => n <= most * (1 + 1e-9)) ?? ten;
}

// A number with so many significant digits, without zeros that say nothing.
export function number(value, significant = 4) {
  if (Number.isNaN(value)) return "no value";
  if (!Number.isFinite(value)) return value > 0 ? "+∞" : "−∞";
  const size = Math.abs(value);
  const text =
    size !== 0 && (size >= 1e7 || size < 1e-4)
      ? value.toExponential(significant - 1).replace(/\.?0+e/, "e").replace("e+", "e")
      : FINE.format(Number(value.toPrecision(significant)));
  return text.replaceAll("-", "−");
}

// A whole number, exactly: "1,234,567".
export function whole(value) {
  return PLAIN.format(value).replace("-", "−");
}

const AGES = [
  [86400, "day"],
  [3600, "h"],
  [60, "min"],
  [1, "s"],
];

// An age in words: "12 s old".
export function ageWords(ms) {
  const seconds = Math.max(0, ms) / 1000;
  const [size, name] = AGES.find(([one]) => seconds >= one) ?? [1, "s"];
  const count = Math.floor(seconds / size);
  return `${count} ${name}${name === "day" && count !== 1 ? "s" : ""} old`;
}

// A time of the day, as the clock on the wall says it.
export function clock(ms) {
  return new Date(ms).toLocaleTimeString("en-GB");
}

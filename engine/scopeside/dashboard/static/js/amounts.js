// Amounts as a person reads them, each with its unit.

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const SIZES = ["B", "kB", "MB", "GB", "TB"];

// 12345 -> "12,345"; what is not there is "–".
export function whole(number) {
  return isNumber(number) ? WHOLE.format(number) : "–";
}

// Small rates keep a digit: "2,001/s", "0.4/s".
export function perSecond(number) {
  if (!isNumber(number)) return "–";
  return `${number < 10 ? trimmed(number, 1) : whole(number)}/s`;
}

// Bytes in powers of ten: "12 MB", "1.3 TB".
export function bytes(number) {
  if (!isNumber(number)) return "–";
  let [value, unit] = [number, 0];
  while (value >= 1000 && unit < SIZES.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${value < 10 && unit > 0 ? value.toFixed(1) : value.toFixed(0)} ${SIZES[unit]}`;
}

// Seconds as "0.4 s", "12 s", "5 min", "1 h 20 min".
export function duration(seconds) {
  if (!isNumber(seconds)) return "–";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${seconds.toFixed(0)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

// Whole seconds, for ages that tick: "7 s", "3 min".
export function age(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  return seconds < 10 ? `${seconds} s` : duration(seconds);
}

export function percent(share) {
  return isNumber(share) ? `${(100 * share).toFixed(0)} %` : "–";
}

// Milliseconds: "4.3 ms", "120 ms", "1.2 s".
export function milliseconds(ms) {
  if (!isNumber(ms)) return "–";
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms < 10 ? ms.toFixed(1) : ms.toFixed(0)} ms`;
}

// Time of day of ms since 1970: "14:03" or "14:03:12".
export function clock(ms, { seconds = false } = {}) {
  if (!isNumber(ms)) return "–";
  const text = new Date(ms).toTimeString();
  return text.slice(0, seconds ? 8 : 5);
}

function trimmed(number, digits) {
  return String(Number(number.toFixed(digits)));
}

function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

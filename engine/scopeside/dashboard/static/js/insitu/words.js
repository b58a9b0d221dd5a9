// How the in-situ view says times and numbers, and which shape stands for which event: no
// state is told by colour alone.

import { svg } from "../dom.js";

// Seconds as 0:12, 3:05 or 1:02:03, with a fraction where that is asked for.
export function duration(seconds, digits = 0) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  const sign = seconds < 0 ? "−" : "";
  const unit = 10 ** digits;
  const all = Math.round(Math.abs(seconds) * unit) / unit;
  const hours = Math.floor(all / 3600);
  const minutes = Math.floor((all % 3600) / 60);
  const rest = (all % 60).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  return hours ? `${sign}${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${sign}${minutes}:${rest}`;
}

// How long ago, in one unit.
export function ago(seconds) {
  if (seconds === null || !Number.isFinite(seconds)) return "";
  if (seconds < 1) return "now";
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  return `${Math.round(seconds / 3600)} h ago`;
}

// A number with as many digits as one reads.
export function short(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2).replace("-", "−");
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : 2;
  return value.toFixed(Number.isInteger(value) ? 0 : digits).replace("-", "−");
}

// A value of a line with its band: ± where that is what the band says, else from, to.
export function withBand({ v, low, high, band }, at) {
  const value = short(v[at]);
  if (!Number.isFinite(low[at]) || !Number.isFinite(high[at])) return value;
  if (band.startsWith("±")) return `${value} ± ${short((high[at] - low[at]) / 2)}`;
  const to = low[at] < 0 ? "…" : "–";
  return `${value} (${short(low[at])}${to}${short(high[at])})`;
}

export function percent(share) {
  return share === null || share === undefined ? "" : `${Math.round(100 * share)} %`;
}

const WORDS = {
  confirmed: "confirmed",
  candidate: "candidate",
  dissolved: "dissolved",
  rejected: "rejected",
  coalescence: "coalescence",
  attachment: "attachment",
  split: "split",
  change_point: "change of growth",
  identities_lost: "identities lost",
};

// What an event is: its status if it is a nucleus, else its kind.
export function stateOf(event) {
  return event.kind === "nucleus" ? event.status : event.kind;
}

export function stateWords(event) {
  return WORDS[stateOf(event)] ?? stateOf(event);
}

export function nameOf(event) {
  if (event.kind === "nucleus") return `nucleus ${event.id}`;
  return event.kind === "change_point" ? `particle ${event.id}` : String(event.id);
}

// The outline of a state's shape about (0, 0), as large as a circle of radius `r`.
export function outline(state, r) {
  switch (state) {
    case "confirmed":
    case "candidate":
      return `M${-r} 0A${r} ${r} 0 1 0 ${r} 0A${r} ${r} 0 1 0 ${-r} 0Z`;
    case "dissolved":
      return `M${-r} ${-r}H${r}V${r}H${-r}Z`;
    case "rejected":
      return `M${-r} ${-r}L${r} ${r}M${-r} ${r}L${r} ${-r}`;
    case "change_point":
      return `M0 ${-r}L${r} ${r}H${-r}Z`;
    default:
      return `M0 ${-1.3 * r}L${1.3 * r} 0L0 ${1.3 * r}L${-1.3 * r} 0Z`;
  }
}

// The shape beside words.
export function glyph(state) {
  const path = svg("path", { d: outline(state, 5), "vector-effect": "non-scaling-stroke" });
  return svg("svg", { class: `glyph ${state}`, viewBox: "-8 -8 16 16", "aria-hidden": "true" }, path);
}

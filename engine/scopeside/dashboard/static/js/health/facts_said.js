// Facts on the engine as a whole, and on the page as this tab sees it.

import { age, clock, duration, milliseconds, whole } from "../amounts.js";

export function engineFacts(vitals) {
  return [
    ["pipeline", vitals.pipeline],
    ["phase", vitals.phase],
    ["runs for", duration(vitals.seconds)],
    ["folder", vitals.folder],
    ...Object.entries(vitals.servers),
  ];
}

export function tabFacts({ live, standing, paints }, vitals, stretch) {
  const seen = paints.summary();
  const answers = standing.state === "live" || standing.state === "silent";
  const facts = [
    ["tabs open", vitals === null ? "–" : whole(vitals.tabs)],
    ["connection", live.state === "open" ? "open" : `lost for ${age(live.silentMs)}`],
    ["engine's last answer", answers ? `${age(standing.ageMs)} ago` : "–"],
    ["images are sent", rarer(stretch)],
  ];
  if (seen === null) return [...facts, ["frame to pixel", "no image was painted yet"]];
  const last = clock(seen.lastMs, { seconds: true });
  const words = ({ p50, p95 }) => `p50 ${milliseconds(p50)}, p95 ${milliseconds(p95)}`;
  return [
    ...facts,
    ["frame to pixel", words(seen.frame)],
    ["result to pixel", words(seen.published)],
    ["measured", `${whole(seen.count)} images in a minute, the last at ${last}`],
  ];
}

// The server sends fewer images while the machine has no time to spare.
function rarer(stretch) {
  if (stretch <= 1) return "as often as asked";
  return `${stretch.toFixed(1)} times rarer: the machine has no time to spare`;
}

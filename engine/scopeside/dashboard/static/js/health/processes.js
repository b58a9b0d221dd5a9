// Processes of the engine: state, what they take of the machine, restarts.

import { bytes, duration, percent, whole } from "../amounts.js";
import { Rows } from "./rows.js";

export function processRows() {
  return new Rows(
    [
      { head: "process", text: (one) => one.name },
      { head: "state", text: stateOf },
      { head: "pid", number: true, text: (one) => one.pid ?? "–" },
      { head: "runs on", text: (one) => one.device ?? "–" },
      { head: "restarts", number: true, text: restarts },
      { head: "CPU (of one core)", number: true, text: (one) => percent(one.cpu_share) },
      { head: "memory", number: true, text: (one) => bytes(one.resident_bytes) },
      { head: "busy", number: true, text: (one) => share(one, one.busy_s) },
      { head: "blocked", number: true, text: (one) => share(one, one.blocked_s) },
    ],
    "no process yet",
    "processes",
  );
}

const STATES = { degraded: "GIVEN UP", starting: "starting", running: "running", ended: "ended" };

function stateOf({ state, alive }) {
  const word = STATES[state] ?? state;
  return state === "running" && !alive ? "died" : word;
}

function restarts({ restarts: n, restarted_ago_s: agoS }) {
  return agoS === null ? whole(n) : `${whole(n)}, ${duration(agoS)} ago`;
}

// Part of the time since the process was started.
function share({ busy_s: busy, blocked_s: blocked, starved_s: starved }, seconds) {
  const all = busy + blocked + starved;
  return all > 0 ? percent(seconds / all) : "–";
}

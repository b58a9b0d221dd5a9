// Channels, latencies and notes of the engine: their rows.

import { clock, duration, milliseconds, whole } from "../amounts.js";
import { Rows } from "./rows.js";

export function channelRows() {
  return new Rows(
    [
      { head: "channel", text: (one) => one.name },
      { head: "value", number: true, text: valueOf },
      { head: "age", number: true, text: (one) => duration(one.age_s) },
      { head: "samples", number: true, text: (one) => whole(one.samples) },
      { head: "frames without", number: true, text: (one) => whole(one.without_sample) },
      { head: "state", text: (one) => (one.reason ? `${one.state}: ${one.reason}` : one.state) },
    ],
    "the pipeline has no channels",
    "channels",
  );
}

function valueOf({ value, unit }) {
  return typeof value === "number" ? `${Number(value.toPrecision(5))} ${unit}` : "–";
}

export function latencyRows() {
  const column = (key) => ({ head: key, number: true, text: (one) => milliseconds(one[key]) });
  return new Rows(
    [{ head: "from … to", text: (one) => one.what }, ...["p50", "p95", "p99", "max"].map(column)],
    "no frame has become a result yet",
    "latency",
  );
}

const SPANS = {
  frame_to_result: "frame to result",
  frame_to_command: "frame to command",
};

export function latencies(said) {
  return Object.entries(said)
    .filter(([, summary]) => summary)
    .map(([span, summary]) => ({ what: SPANS[span] ?? span, ...summary }));
}

export function noteRows() {
  return new Rows(
    [
      { head: "when", text: (note) => clock(note.t_ns / 1e6, { seconds: true }) },
      { head: "from", text: (note) => note.from },
      { head: "note", text: (note) => note.text },
    ],
    "no note yet",
    "notes of the engine",
  );
}

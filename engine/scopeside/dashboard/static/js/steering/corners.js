// Corners of a polygon that come and go: by keys on a corner, by a double click on an edge.

import { nearestEdge, withCorner, withoutCorner } from "./geometry.js";

// What a key on handle `what` brings: {pose, focus} with the handle that has the focus then,
// {why} if it cannot be, null if the key is not for corners.
export function byKey(key, { kind, pose }, what) {
  if (kind !== "polygon" || !/^p\d+$/.test(what)) return null;
  const i = Number(what.slice(1));
  if (key === "Insert" || key === "+") return { pose: withCorner(pose, i), focus: `p${i + 1}` };
  if (key !== "Delete" && key !== "Backspace") return null;
  const left = withoutCorner(pose, i);
  if (left === null) return { why: "a polygon keeps three corners" };
  return { pose: left, focus: `p${Math.max(0, i - 1)}` };
}

// The same for a double click at (row, column) on the outline.
export function byDoubleClick({ kind, pose }, y, x) {
  if (kind !== "polygon") return null;
  const i = nearestEdge(pose, y, x);
  return { pose: withCorner(pose, i, [y, x]), focus: `p${i + 1}` };
}

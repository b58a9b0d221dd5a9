// From the parameters of a processor to shapes on the pattern, and back: which keys change
// when a shape is dragged.

import { KINDS, short } from "./geometry.js";

const FREE = ["rectangle", "polygon"]; // these have no centre to leave out

// All shapes of a processor's parameters. `frame`: {rows, columns, centrePx, descanPx}.
export function shapesOf(form, params, frame) {
  const found = [];
  for (const field of form.fields) {
    const value = params[field.key];
    if (field.control === "tables" && field.fields.some((one) => one.key in KINDS)) {
      for (const [name, detector] of Object.entries(value ?? {})) {
        found.push(detectorShape(form, params, `${field.key}.${name}`, name, detector, frame));
      }
    } else if (isDetector(value)) {
      found.push(detectorShape(form, params, field.key, field.key, value, frame));
    }
  }
  if (form.kind === "dpc") found.push(ringShape(form, params, frame));
  return found.filter((shape) => shape !== null);
}

// What is to be set so that a shape has this pose: {key: value}.
export function valuesOf(shape, pose) {
  if (shape.kind === "rectangle") {
    return { [shape.key]: [pose.y0, pose.x0, pose.y1, pose.x1] };
  }
  if (shape.kind === "polygon") return { [shape.key]: pose.points };
  const values = shape.kind === "ring" ? ringValues(shape, pose) : roundValues(shape, pose);
  const isMoved = pose.cy !== shape.pose.cy || pose.cx !== shape.pose.cx;
  if (shape.centre === "shared" && isMoved) values.centre = [pose.cy, pose.cx];
  return values;
}

// A shape in words: what it is, where, how large.
export function wordsOf({ kind, pose }) {
  const where = pose.cy === undefined ? "" : `centre (${short(pose.cy)}, ${short(pose.cx)}) px, `;
  return `${kind}: ${where}${KINDS[kind].words(pose)}`;
}

// -- parts -----------------------------------------------------------------------------

function isDetector(value) {
  const isTable = typeof value === "object" && value !== null && !Array.isArray(value);
  const [key, ...more] = isTable ? Object.keys(value) : [];
  return key in KINDS && more.length === 0 && Array.isArray(value[key]);
}

function detectorShape(form, params, key, name, detector, frame) {
  const kind = Object.keys(detector).find((one) => one in KINDS && detector[one]);
  if (kind === undefined) return null; // a mask from a file
  const numbers = detector[kind];
  const shape = {
    id: `${form.name}/${key}`,
    processor: form.name,
    name,
    kind,
    key: `${key}.${kind}`,
    centre: "own",
    note: "",
  };
  if (kind === "rectangle") {
    const [y0, x0, y1, x1] = numbers;
    return { ...shape, pose: { y0, x0, y1, x1 } };
  }
  if (kind === "polygon") return { ...shape, pose: { points: numbers } };
  const { names } = KINDS[kind];
  const rest = numbers.slice(-names.length);
  const pose = Object.fromEntries(names.map((one, i) => [one, rest[i]]));
  if (numbers.length === names.length + 2) {
    return { ...shape, pose: { cy: numbers[0], cx: numbers[1], ...pose } };
  }
  return { ...shape, ...centreOf(params, frame, pose) };
}

function ringShape(form, params, frame) {
  const valueOf = (key) => params[key] ?? form.fields.find((one) => one.key === key)?.default;
  const reach = Math.min(frame.rows, frame.columns) / 2;
  const pose = {
    r_in: valueOf("inner_px") ?? 0,
    r_out: valueOf("outer_px") ?? reach,
    start_deg: valueOf("start_deg") ?? 0,
    segments: valueOf("segments") ?? 4,
  };
  const shape = { id: `${form.name}/ring`, processor: form.name, name: "ring", kind: "ring" };
  return { ...shape, key: "", note: "", ...centreOf(params, frame, pose) };
}

// Where a shape lies that leaves its centre to the processor.
function centreOf(params, frame, pose) {
  const put = (centre, [cy, cx], note) => ({ centre, note, pose: { cy, cx, ...pose } });
  const { centre } = params;
  if (Array.isArray(centre)) return put("shared", centre, "moves all that share `centre`");
  const descan = params.descan ?? (centre === "calibration" ? frame.descanPx : null);
  if (Array.isArray(descan)) {
    const where = [descan[0][0], descan[1][0]];
    return put("follows", where, "follows the beam; drawn where it is at position (0, 0)");
  }
  if (centre !== "find" && frame.centrePx) {
    return put("follows", frame.centrePx, "its centre is that of the calibration");
  }
  const middle = [(frame.rows - 1) / 2, (frame.columns - 1) / 2];
  const why = centre === "find" ? "follows the centre of mass of each frame" : "no centre is set";
  return put("follows", middle, `${why}; drawn in the middle`);
}

function roundValues(shape, pose) {
  const numbers = KINDS[shape.kind].names.map((name) => pose[name]);
  return { [shape.key]: shape.centre === "own" ? [pose.cy, pose.cx, ...numbers] : numbers };
}

function ringValues(shape, pose) {
  const keys = { r_in: "inner_px", r_out: "outer_px", start_deg: "start_deg" };
  const changed = Object.keys(keys).filter((name) => pose[name] !== shape.pose[name]);
  return Object.fromEntries(changed.map((name) => [keys[name], pose[name]]));
}

// Whether a shape can be moved as a whole.
export function isMovable(shape) {
  return FREE.includes(shape.kind) || shape.centre !== "follows";
}

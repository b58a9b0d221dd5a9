// Shapes on a pattern: how each is drawn, and which points of it can be dragged. A pose is
// plain numbers in pixels of the pattern, as docs/processors.md has them: (row, column),
// azimuth 0° to the right and 90° down.

const LEAST = 0.1; // px: what a shape keeps of its size when it is dragged

// Each kind: `names` of its numbers behind the centre; `outline(pose)` as an SVG path;
// `handles(pose)`: {id, what, y, x, drag(y, x), step(dy, dx)}, which return a new pose.
export const KINDS = {
  disk: {
    names: ["r"],
    outline: ({ cy, cx, r }) => circle(cy, cx, r),
    handles: (pose) => [radius(pose, "r", "radius", 0)],
    words: ({ r }) => `radius ${px(r)}`,
  },
  annulus: {
    names: ["r_in", "r_out"],
    outline: ({ cy, cx, r_in, r_out }) => circle(cy, cx, r_out) + circle(cy, cx, r_in),
    handles: (pose) => [
      radius(pose, "r_out", "outer radius", 0),
      radius(pose, "r_in", "inner radius", 90),
    ],
    words: ({ r_in, r_out }) => `radii ${short(r_in)} to ${px(r_out)}`,
  },
  segment: {
    names: ["r_in", "r_out", "from_deg", "to_deg"],
    outline: sector,
    handles: (pose) => {
      const middle = pose.from_deg + span(pose) / 2;
      return [
        radius(pose, "r_out", "outer radius", middle),
        radius(pose, "r_in", "inner radius", middle),
        azimuth(pose, "from_deg", "first edge"),
        azimuth(pose, "to_deg", "last edge"),
      ];
    },
    words: ({ r_in, r_out, from_deg, to_deg }) =>
      `radii ${short(r_in)} to ${px(r_out)}, ${short(from_deg)}° to ${short(to_deg)}°`,
  },
  ring: {
    names: ["r_in", "r_out", "start_deg"],
    outline: spokes,
    handles: (pose) => [
      radius(pose, "r_out", "outer radius", pose.start_deg + 180 / pose.segments),
      radius(pose, "r_in", "inner radius", pose.start_deg + 180 / pose.segments),
      azimuth(pose, "start_deg", "first edge"),
    ],
    words: ({ segments, r_in, r_out, start_deg }) =>
      `${segments} segments, radii ${short(r_in)} to ${px(r_out)}, from ${short(start_deg)}°`,
  },
  rectangle: {
    outline: ({ y0, x0, y1, x1 }) => polygon(corners(y0, x0, y1, x1)),
    handles: (pose) => [
      corner(pose, "y0", "x0", "upper left corner"),
      corner(pose, "y0", "x1", "upper right corner"),
      corner(pose, "y1", "x1", "lower right corner"),
      corner(pose, "y1", "x0", "lower left corner"),
    ],
    words: ({ y0, x0, y1, x1 }) =>
      `rows ${short(y0)} to ${px(y1)}, columns ${short(x0)} to ${px(x1)}`,
  },
  polygon: {
    // What belongs to the polygon are the pixels whose centres are inside.
    outline: ({ points }) => polygon(points),
    handles: (pose) => pose.points.map((_, i) => vertex(pose, i)),
    words: ({ points }) => `${points.length} corners`,
  },
};

// A polygon with one more corner, in the middle of the edge behind corner `i` or at `where`.
export function withCorner(pose, i, where = null) {
  const [a, b] = [pose.points[i], pose.points[(i + 1) % pose.points.length]];
  const [y, x] = where ?? [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
  return { ...pose, points: pose.points.toSpliced(i + 1, 0, at(y, x)) };
}

// A polygon without corner `i`; null: three are the least.
export function withoutCorner(pose, i) {
  return pose.points.length > 3 ? { ...pose, points: pose.points.toSpliced(i, 1) } : null;
}

// The edge of a polygon that is nearest to a point: the corner that it begins with.
export function nearestEdge({ points }, y, x) {
  const distances = points.map((a, i) => distance(a, points[(i + 1) % points.length], y, x));
  return distances.indexOf(Math.min(...distances));
}

function distance([ay, ax], [by, bx], y, x) {
  const [dy, dx] = [by - ay, bx - ax];
  const along = ((y - ay) * dy + (x - ax) * dx) / (dy * dy + dx * dx || 1);
  const t = Math.min(1, Math.max(0, along));
  return Math.hypot(y - ay - t * dy, x - ax - t * dx);
}

// The pose moved by so much.
export function moved(pose, dy, dx) {
  if (pose.points) return { ...pose, points: pose.points.map(([y, x]) => at(y + dy, x + dx)) };
  if (pose.y0 !== undefined) {
    const { y0, x0, y1, x1 } = pose;
    return { ...pose, y0: tidy(y0 + dy), x0: tidy(x0 + dx), y1: tidy(y1 + dy), x1: tidy(x1 + dx) };
  }
  return { ...pose, cy: tidy(pose.cy + dy), cx: tidy(pose.cx + dx) };
}

// The point by which a shape is moved: (row, column).
export function middleOf(pose) {
  if (pose.points) return mean(pose.points);
  if (pose.y0 !== undefined) return [(pose.y0 + pose.y1) / 2, (pose.x0 + pose.x1) / 2];
  return [pose.cy, pose.cx];
}

// The uppermost point: where the name is written.
export function topOf(pose) {
  if (pose.points) return pose.points.reduce((a, b) => (b[0] < a[0] ? b : a));
  if (pose.y0 !== undefined) return [pose.y0, (pose.x0 + pose.x1) / 2];
  if (pose.from_deg !== undefined) {
    return polar(pose, pose.r_out, pose.from_deg + span(pose) / 2);
  }
  return [pose.cy - (pose.r ?? pose.r_out), pose.cx];
}

// Numbers as a person would write them: hundredths at most.
export function tidy(value) {
  return Math.round(value * 100) / 100;
}

export function short(value) {
  return String(tidy(value));
}

function px(value) {
  return `${short(value)} px`;
}

function at(y, x) {
  return [tidy(y), tidy(x)];
}

// -- handles ---------------------------------------------------------------------------

function radius(pose, name, what, degrees) {
  const [y, x] = polar(pose, pose[name], degrees);
  const set = (value) => ({ ...pose, [name]: tidy(within(pose, name, value)) });
  return {
    id: name,
    what,
    y,
    x,
    drag: (toY, toX) => set(Math.hypot(toY - pose.cy, toX - pose.cx)),
    step: (dy, dx) => set(pose[name] + dx - dy),
  };
}

function within(pose, name, value) {
  const least = name === "r_out" ? pose.r_in + LEAST : 0;
  const most = name === "r_in" ? pose.r_out - LEAST : Infinity;
  return Math.min(most, Math.max(least, value));
}

function azimuth(pose, name, what) {
  const [y, x] = polar(pose, (pose.r_in + pose.r_out) / 2, pose[name]);
  const set = (degrees) => {
    const turned = { ...pose, [name]: tidy(degrees) };
    const isWhole = name !== "start_deg" && span(turned) === 0;
    return isWhole || Math.abs(turned[name]) > 360 ? pose : turned;
  };
  return {
    id: name,
    what,
    y,
    x,
    drag: (toY, toX) => {
      const degrees = (Math.atan2(toY - pose.cy, toX - pose.cx) * 180) / Math.PI;
      // The same angle, the turn that is nearest to where it was.
      return set(degrees + 360 * Math.round((pose[name] - degrees) / 360));
    },
    step: (dy, dx) => set(pose[name] + dx + dy),
  };
}

function corner(pose, row, column, what) {
  const put = (y, x) => {
    const { y0, x0, y1, x1 } = pose;
    const toY = row === "y0" ? Math.min(y, y1 - LEAST) : Math.max(y, y0 + LEAST);
    const toX = column === "x0" ? Math.min(x, x1 - LEAST) : Math.max(x, x0 + LEAST);
    return { ...pose, [row]: tidy(toY), [column]: tidy(toX) };
  };
  const [y, x] = [pose[row], pose[column]];
  return { id: row + column, what, y, x, drag: put, step: (dy, dx) => put(y + dy, x + dx) };
}

function vertex(pose, i) {
  const [y, x] = pose.points[i];
  const put = (toY, toX) => ({ ...pose, points: pose.points.with(i, at(toY, toX)) });
  const what = `corner ${i + 1}`;
  return { id: `p${i}`, what, y, x, drag: put, step: (dy, dx) => put(y + dy, x + dx) };
}

// -- paths -----------------------------------------------------------------------------

function polar({ cy, cx }, r, degrees) {
  const angle = (degrees * Math.PI) / 180;
  return [cy + r * Math.sin(angle), cx + r * Math.cos(angle)];
}

// Degrees from the first edge to the last, rising; 0 if they are the same.
function span({ from_deg, to_deg }) {
  return (((to_deg - from_deg) % 360) + 360) % 360;
}

function circle(cy, cx, r) {
  return `M${cx - r} ${cy}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`;
}

function sector(pose) {
  const { r_in, r_out, from_deg, to_deg } = pose;
  const large = span(pose) > 180 ? 1 : 0;
  const points = [
    polar(pose, r_in, from_deg),
    polar(pose, r_out, from_deg),
    polar(pose, r_out, to_deg),
    polar(pose, r_in, to_deg),
  ].map(([y, x]) => `${x} ${y}`);
  const [a, b, c, d] = points;
  const back = r_in > 0 ? `A${r_in} ${r_in} 0 ${large} 0 ${a}` : "";
  return `M${a}L${b}A${r_out} ${r_out} 0 ${large} 1 ${c}L${d}${back}Z`;
}

function spokes(pose) {
  const { cy, cx, r_in, r_out, start_deg, segments } = pose;
  let path = circle(cy, cx, r_out) + (r_in > 0 ? circle(cy, cx, r_in) : "");
  for (let i = 0; i < segments; i += 1) {
    const degrees = start_deg + (360 * i) / segments;
    const [inY, inX] = polar(pose, r_in, degrees);
    const [outY, outX] = polar(pose, r_out, degrees);
    path += `M${inX} ${inY}L${outX} ${outY}`;
  }
  return path;
}

function corners(y0, x0, y1, x1) {
  return [
    [y0, x0],
    [y0, x1],
    [y1, x1],
    [y1, x0],
  ];
}

function polygon(points) {
  return `M${points.map(([y, x]) => `${x} ${y}`).join("L")}Z`;
}

function mean(points) {
  const sum = points.reduce(([a, b], [y, x]) => [a + y, b + x], [0, 0]);
  return [sum[0] / points.length, sum[1] / points.length];
}

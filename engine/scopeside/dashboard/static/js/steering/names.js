// Where the names of shapes stand: inside the pattern, also where their shape is not, and
// not over each other.

const GAP = 0.4; // between a shape and its name, in heights of letters

// The place of a name, which is added to `names`: those that have one already. All in pixels
// of the pattern.
export function placeName({ name, top, left }, height, columns, names) {
  const half = 0.35 * height * name.textContent.length;
  const above = Math.max(top - GAP * height, height);
  const place = { half, left: Math.max(half, Math.min(columns - half, left)), top: above };
  const covers = (other) =>
    Math.abs(other.top - place.top) < height &&
    Math.abs(other.left - place.left) < half + other.half;
  for (let i = 0; i < names.length && names.some(covers); i += 1) place.top -= height;
  if (place.top < height) place.top = above; // no room above
  names.push(place);
  return place;
}

// Images that share zoom and cursor: those of one group that have the same shape.

const groups = new Map(); // name -> Set of images

// Have an image in a group; returns a function that takes it out.
export function join(name, image) {
  if (!groups.has(name)) groups.set(name, new Set());
  groups.get(name).add(image);
  return () => {
    groups.get(name)?.delete(image);
    if (groups.get(name)?.size === 0) groups.delete(name);
  };
}

// The others of the same shape.
export function others(name, image) {
  return [...(groups.get(name) ?? [])].filter(
    (one) => one !== image && one.rows === image.rows && one.columns === image.columns,
  );
}

// How large a pixel is, told under the topic "scales" (scale.py): it may come after the
// picture.

export class Scales {
  #live;
  #changed;

  constructor(live, changed) {
    this.#live = live;
    this.#changed = changed;
  }

  // Listen; returns a function that ends it.
  follow() {
    return this.#live.topic("scales", this.#changed);
  }

  // {size, unit, axis_names, …} of the picture with this header, or null.
  of({ acq, axes, meta }) {
    const known = this.#live.last("scales")?.[acq];
    if (!known) return null;
    if (axes?.includes("scan_y")) return known.scan;
    if (!axes?.includes("y") || known.frame === null) return null;
    const binning = Number.isInteger(meta?.binning) ? meta.binning : 1;
    if (binning === 1) return known.frame;
    const size = known.frame.size.map((one) => one * binning);
    const centre_px = known.frame.centre_px?.map((one) => (one + 0.5) / binning - 0.5);
    return { ...known.frame, size, centre_px };
  }
}

// What is known of the acquisition that a picture is of: how large a pixel is, told under the
// topic "scales" (scale.py), which may come after the picture; what its edges let go.

// Causes of the ledger that are a policy, and no loss.
const ON_PURPOSE = ["superseded", "sampled_out", "no_event"];

export class Scales {
  #live;
  #changed;

  constructor(live, changed) {
    this.#live = live;
    this.#changed = changed;
  }

  // Listen; returns a function that ends it.
  follow() {
    const ends = ["scales", "status"].map((name) => this.#live.topic(name, this.#changed));
    return () => ends.forEach((end) => end());
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

  // Whether it shows angles: the beam is then a thousand times brighter than what is around.
  isDiffraction({ acq, axes, form, pattern, pixel }) {
    if (form !== "scalar") return false;
    if (pattern?.row !== undefined || pixel?.unit === "rad") return true; // of a position
    const isFrame = axes?.includes("y") && axes.includes("x");
    return isFrame && this.#acquisition(acq)?.acquisition?.kind === "scan4d";
  }

  // How many frames of the picture's acquisition its chain has let go on purpose.
  letGo({ acq, chain }) {
    const dropped = this.#acquisition(acq)?.edges?.[chain]?.dropped ?? {};
    return ON_PURPOSE.reduce((sum, cause) => sum + (dropped[cause] ?? 0), 0);
  }

  #acquisition(acq) {
    const status = this.#live.last("status");
    return status?.open?.[acq] ?? status?.acquisitions?.[acq];
  }
}

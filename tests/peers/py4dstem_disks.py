"""Has py4DSTEM find disks; for the Python beside py4DSTEM.

    python py4dstem_disks.py FRAMES.npz PEAKS.npz

FRAMES.npz holds `frames` (rows, columns, height, width), `probe` (height, width), a
convergence disk, and `radius`, px; PEAKS.npz gets `peaks` (frames, n, 2), NaN-padded.
"""

import sys
import time

import numpy as np
import py4DSTEM


def main(source, target):
    with np.load(source) as given:
        frames, radius = given["frames"], float(given["radius"])
        probe = py4DSTEM.Probe(given["probe"].astype(np.float32))
    cube = py4DSTEM.DataCube(frames)
    probe.get_kernel(mode="sigmoid", radii=(0, 4 * radius))
    began = time.thread_time()
    vectors = cube.find_Bragg_disks(
        probe.kernel,
        corrPower=1,
        sigma_cc=1,
        subpixel="multicorr",
        upsample_factor=16,
        minRelativeIntensity=0.002,
        minPeakSpacing=2.4 * radius,
        edgeBoundary=int(2 * radius),
        maxNumPeaks=64,
    )
    spent = time.thread_time() - began
    rows, columns = frames.shape[:2]
    peaks = np.full((rows * columns, 64, 2), np.nan)
    for f in range(rows * columns):
        found = vectors.raw[f // columns, f % columns].data
        peaks[f, : len(found), 0] = found["qx"]
        peaks[f, : len(found), 1] = found["qy"]
    np.savez(target, peaks=peaks, seconds=spent)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""How long it takes to calibrate from four rows of a scan, and to fill in its gaps.

    python bench/stem_calibrate.py

One thread; thread CPU time, best of several runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.scan import Scan
from scopeside_processors.stem.calibrate import Calibrate
from scopeside_processors.stem.inpaint import inpaint

Row = tuple[str, str, float, str, str]
BATCH = 16


def rows() -> list[Row]:
    """Return (what, size, value, unit, target) for each measurement."""
    return [row for side in (128, 256) for row in _calibration(side)] + _inpainting()


def _calibration(side: int) -> list[Row]:
    """Measure four rows of 256: taking them in, and what is worked out of them."""
    rng = np.random.default_rng(0)
    row, column = np.indices((side, side))
    disk = np.clip(side / 8 + 0.5 - np.hypot(row - side / 2, column - side / 2), 0, 1)
    frames = rng.poisson(2 * disk, (1024, side, side)).astype(np.uint16)
    known = {"semi_angle_rad": 0.02}
    about = Acquisition(
        "a",
        (side, side),
        frames.dtype,
        "scan4d",
        scan=Scan((256, 256)),
        calibration=known,
    )
    index = np.arange(len(frames))
    Calibrate.prepare(about)

    def take() -> Calibrate:
        one = Calibrate(about, Calibrate.Params())
        for first in range(0, len(frames), BATCH):
            part = slice(first, first + BATCH)
            one.process(Batch(frames[part], index[part], index[part]))
        return one

    size = f"4 rows of 256, {side}² u16"
    taken = _best(take, 5)
    whole = _best(lambda: list(take().results()), 5)
    return [
        ("calibrate: take in", size, len(frames) / taken, "frames/s", ""),
        ("calibrate: results", size, 1e3 * (whole - taken), "ms", ""),
        ("calibrate: in all", size, 1e3 * whole, "ms", ""),
    ]


def _inpainting() -> list[Row]:
    rng, found = np.random.default_rng(0), []
    for side in (256, 512):
        row, column = np.indices((side, side))
        image = np.cos(column / 9) + np.sin(row / 7 + column / 30)
        for share in (0.1, 0.3, 0.5):
            mask = rng.random(image.shape) < share
            spent = _best(lambda: inpaint(image, mask), 5)  # noqa: B023 - called at once
            size = f"{side}², {share:.0%} visited"
            found.append(("inpaint", size, 1e3 * spent, "ms", ""))
    return found


def _best(run: Callable[[], object], times: int) -> float:
    run()
    spent = []
    for _ in range(times):
        began = time.thread_time()
        run()
        spent.append(time.thread_time() - began)
    return min(spent)


if __name__ == "__main__":
    for what, size, value, unit, target in rows():
        print(f"{what:20} {size:28} {value:12,.1f} {unit:10} {target}")

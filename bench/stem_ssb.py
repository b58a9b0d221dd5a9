"""How fast single-side-band ptychography is, and how near to the truth.

    python bench/stem_ssb.py [--seconds 2]

Rates are those of one thread, in thread CPU time, with everything that `process` does:
frames are gathered from memory, rows transformed and summed. "image": with an image at
every interval that the processor chooses. The best of several passes counts. What it is
compared with is the direct evaluation: sparse masks, one for each lens, applied to each
frame (scipy, one thread, without the gathering of pixels).
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import sparse

ROOT = Path(__file__).resolve().parents[1]
for part in ("engine", "adapters", "processors", "."):
    sys.path.insert(0, str(ROOT / part))

from scopeside.acquisition import Acquisition  # noqa: E402 - found by the lines above
from scopeside.batch import Batch  # noqa: E402
from scopeside.scan import Scan  # noqa: E402
from scopeside_processors.stem.calibration import Calibration, wavelength_m  # noqa: E402
from scopeside_processors.stem.overlaps import cells_of, overlaps_of  # noqa: E402
from scopeside_processors.stem.probe import Aberrations  # noqa: E402
from scopeside_processors.stem.ssb import SingleSideBand  # noqa: E402
from scopeside_processors.stem.trotters import trotters_of  # noqa: E402

ENERGY_EV, SEMI_RAD = 80e3, 0.025
BATCH_BYTES = 2 << 20


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    size: str
    rate: float
    unit: str
    ratio: float
    against: str
    target: str


@dataclass(frozen=True)
class Case:
    """A scan: positions along a side, radius of the disk and side of a frame, px."""

    positions: int
    radius: float
    side: int
    target: str
    defocus_m: float = 0.0

    @property
    def acquisition(self) -> Acquisition:
        """It, with steps that show all that the beam can."""
        known = {
            "beam_energy_eV": ENERGY_EV,
            "semi_angle_rad": SEMI_RAD,
            "scan_step_m": wavelength_m(ENERGY_EV) / (4.05 * SEMI_RAD),
            "detector_rad_per_px": SEMI_RAD / self.radius,
            "centre_px": ((self.side - 1) / 2 + 0.2, (self.side - 1) / 2),
        }
        return Acquisition(
            "bench",
            (self.side, self.side),
            np.dtype("<u2"),
            kind="scan4d",
            scan=Scan((self.positions, self.positions)),
            calibration=known,
        )


CASES = (
    Case(64, 10.3, 64, "100,000"),
    Case(256, 16, 64, "25,000"),
    Case(256, 16, 64, "25,000", defocus_m=10e-9),
    Case(512, 32, 128, ""),
)


def rate(case: Case, seconds: float, *, images: bool) -> float:
    """Return positions per second of one thread."""
    # Binning would make it faster; what is measured is the disk as it is.
    params = SingleSideBand.Params(
        binning=1,
        defocus_m=case.defocus_m,
        every_rows=None if images else case.positions,
    )
    rows = min(case.positions, 32)
    frames = np.random.default_rng(0).poisson(2, (rows * case.positions, 64, 64))
    pixels = np.zeros((len(frames), case.side, case.side), np.uint16)
    low = (case.side - 64) // 2
    pixels[:, low : low + 64, low : low + 64] = frames
    index = np.arange(len(pixels))
    size = max(1, BATCH_BYTES // pixels[0].nbytes)
    best, until = math.inf, time.perf_counter() + seconds
    while best == math.inf or time.perf_counter() < until:
        processor = SingleSideBand(case.acquisition, params)
        began = time.thread_time()
        for start in range(0, len(pixels), size):
            part = slice(start, start + size)
            processor.process(Batch(pixels[part], index[part], index[part]))
            if images:
                list(processor.results())
        best = min(best, time.thread_time() - began)
    return len(pixels) / best


def direct_rate(case: Case, seconds: float) -> float:
    """Return positions per second of masks that are applied to each frame."""
    calibration = Calibration.of(case.acquisition)
    overlaps = overlaps_of(calibration, (case.positions, case.positions))
    cells = cells_of(overlaps, 1)
    lenses = trotters_of(overlaps, cells, Aberrations(defocus_m=1e-30), 0.0)
    sizes = lenses.runs[:, 1] - lenses.runs[:, 0]
    column = np.concatenate([np.arange(a, b) for a, b in lenses.runs])
    held = np.concatenate([[0], np.cumsum(sizes)])[lenses.bounds]
    shape = (len(lenses.bounds) - 1, cells.count)
    masks = sparse.csr_matrix((np.ones(len(column), "f4"), column, held), shape=shape)
    frames = np.random.default_rng(0).poisson(2, (cells.count, 16)).astype("f4")
    turn = np.exp(1j * np.arange(shape[0]))[:, None].astype("c8")
    sums = np.zeros((shape[0], 1), np.complex64)
    best, until = math.inf, time.perf_counter() + seconds
    while best == math.inf or time.perf_counter() < until:
        began = time.thread_time()
        sums += ((masks @ frames) * turn).sum(axis=1, keepdims=True)
        best = min(best, time.thread_time() - began)
    return frames.shape[1] / best


def ssb_rows(seconds: float = 2.0) -> list[Row]:
    """Measure all cases."""
    found = []
    for case in CASES:
        direct = direct_rate(case, seconds) if case.positions < 512 else math.nan
        name = "ssb" + (", defocus" if case.defocus_m else "")
        size = f"{case.positions}², r = {case.radius:g} px"
        for images in (False, True):
            speed = rate(case, seconds, images=images)
            label = name + (", images" if images else "")
            ratio = speed / direct
            found.append(
                Row(label, size, speed, "positions/s", ratio, "direct", case.target)
            )
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    table = Table("what", "size", "rate", "unit", "ratio", "against", "target")
    for row in ssb_rows(parser.parse_args().seconds):
        ratio = "" if math.isnan(row.ratio) else f"{row.ratio:.1f}"
        speed = f"{row.rate:,.0f}"
        table.add_row(
            row.name, row.size, speed, row.unit, ratio, row.against, row.target
        )
    Console().print(table)


if __name__ == "__main__":
    main()

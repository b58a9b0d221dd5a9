"""How fast com and dpc count, and what the images cost that are made of them.

    python bench/stem_com.py [--seconds 1]

Frames lie in memory larger than the caches and are taken in batches of 2 MiB on one
core; times are those of the thread's processor, the best of several passes. Events are
those of 1000 hits a frame. An image is what a publication computes anew: it is not
computed at all where nothing new was seen.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
for part in ("engine", "adapters", "processors", "."):
    sys.path.insert(0, str(ROOT / part))

from scopeside.acquisition import Acquisition, Scan  # noqa: E402 - found by the lines above
from scopeside.batch import Batch  # noqa: E402
from scopeside.events import EventBatch, pack_events  # noqa: E402
from scopeside_processors.stem.com import CentreOfMass  # noqa: E402
from scopeside_processors.stem.dpc import Dpc  # noqa: E402

LIBRARY_BYTES = 128 << 20
BATCH_BYTES = 2 << 20
SIDES = (96, 192, 256, 512)
SCANS = (64, 256, 512, 1024)
HITS = 1000
KNOWN = {
    "beam_energy_eV": 80e3,
    "semi_angle_rad": 20e-3,
    "scan_step_m": [1e-10, 1e-10],
}
Processor = CentreOfMass | Dpc


@dataclass(frozen=True)
class Row:
    """One line of the table; `ratio` is to `against`, None where nothing is."""

    name: str
    size: str
    rate: float
    unit: str
    ratio: float | None = None
    against: str = ""
    target: str = ""


def best_s(work: Callable[[], Any], seconds: float) -> float:
    """Return the shortest processor time of `work`, s."""
    work()  # compiled, or loaded from the cache
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.thread_time()
        work()
        best = min(best, time.thread_time() - began)
    return best


def about(side: int, scan: int, encoding: Any = "frames") -> Acquisition:
    """Return a scan of u16 frames of `side`² pixels, with a disk of a fifth of it."""
    known = {**KNOWN, "detector_rad_per_px": [0.1 / side, 0.1 / side]}
    return Acquisition(
        "bench",
        (side, side),
        np.dtype("<u2"),
        "scan4d",
        scan=Scan((scan, scan)),
        calibration=known,
        encoding=encoding,
    )


def counting(side: int, seconds: float) -> list[Row]:
    """Return how fast frames are counted, against reading their memory."""
    n, size = LIBRARY_BYTES // (2 * side * side), max(1, BATCH_BYTES // (2 * side**2))
    few = np.random.default_rng(0).poisson(1.0, (32, side, side)).astype("<u2")
    frames = np.concatenate([few] * -(-n // 32))[:n]
    index = np.arange(n)
    batches = [
        Batch(frames[i : i + size], index[i : i + size], index[i : i + size])
        for i in range(0, n, size)
    ]
    words = frames.reshape(-1).view(np.uint64)
    read_s = best_s(words.sum, seconds)

    def fed(cls: type[Processor]) -> float:
        def work() -> None:
            processor = cls(about(side, 1024), cls.Params())
            for batch in batches:
                processor.process(batch)

        return best_s(work, seconds)

    return [
        Row(name, f"{side}² u16", n / took, "frames/s", read_s / took, "reading")
        for name, took in (("com", fed(CentreOfMass)), ("dpc, 4 segments", fed(Dpc)))
    ]


def events(seconds: float) -> list[Row]:
    """Return how fast events are counted, hits a second."""
    frames = 2000
    rng = np.random.default_rng(0)
    place = np.repeat(np.arange(frames), HITS)
    words = pack_events(place, 1, rng.integers(0, 256 * 256, len(place)))
    index = np.arange(frames)
    batch = EventBatch(words, index, index, (256, 256), np.dtype("<u2"))
    rows = []
    for name, cls in (("com", CentreOfMass), ("dpc, 4 segments", Dpc)):
        processor: Processor = cls(about(256, 64, "events"), cls.Params())
        took = best_s(lambda p=processor: p.process_events(batch), seconds)
        rate = len(words) / took
        rows.append(Row(f"{name}, events", "256²", rate, "hits/s", target="3e8"))
    return rows


def images(scan: int, seconds: float) -> list[Row]:
    """Return how long each image of a scan takes once it is asked for."""
    acquisition = about(8, scan)
    index = np.arange(scan * scan)
    frames = np.random.default_rng(0).poisson(3, (len(index), 8, 8)).astype("<u2")
    whole = CentreOfMass(acquisition, CentreOfMass.Params())
    whole.process(Batch(frames, index, index))
    list(whole.results())
    rows = []
    for name, params in (
        ("field", {"of": ("field",)}),
        ("icom, periodic", {"of": ("icom",)}),
        ("icom, mirror", {"of": ("icom",), "boundary": "mirror"}),
        ("charge", {"of": ("charge",)}),
        ("field_colour", {"of": ("field_colour",)}),
        ("icom, descan fitted", {"of": ("icom",), "descan": "fit"}),
    ):

        def work(params: Any = params) -> None:
            whole.change(CentreOfMass.Params(**params))  # forgets what was drawn
            list(whole.results())

        took = best_s(work, seconds)
        rows.append(Row(name, f"scan {scan}²", 1e3 * took, "ms/image"))
    took = best_s(lambda: list(whole.results()), seconds)
    rows.append(Row("icom, nothing new", f"scan {scan}²", 1e3 * took, "ms/image"))
    return rows


def rows(seconds: float = 1.0) -> list[Row]:
    """Return the table."""
    found = [row for side in SIDES for row in counting(side, seconds)]
    found += events(seconds)
    return found + [row for scan in SCANS for row in images(scan, seconds)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=1.0)
    table = Table("what", "size", "rate", "unit", "ratio", "against", "target")
    for row in rows(parser.parse_args().seconds):
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        rate = f"{row.rate:,.0f}" if row.rate >= 1000 else f"{row.rate:.3g}"
        table.add_row(
            row.name, row.size, rate, row.unit, ratio, row.against, row.target
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()

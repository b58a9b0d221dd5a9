"""What it costs to look at a frame of a movie, and to keep account of its dose.

    python bench/insitu_dose.py [--seconds 1]

Times are those of one thread's processor, the best of several passes over frames that
lie in memory larger than the caches.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
for part in ("engine", "adapters", "processors", "."):
    sys.path.insert(0, str(ROOT / part))

from scopeside.acquisition import Acquisition  # noqa: E402 - found by the lines above
from scopeside.batch import Batch  # noqa: E402
from scopeside_processors.insitu.dose import Dose  # noqa: E402
from scopeside_processors.insitu.incoming import Incoming  # noqa: E402

LIBRARY_BYTES = 128 << 20
SIDES = (512, 1024, 2048, 4096)
TARGET_MS = {("a frame's condition", 512): 0.15, ("a frame's condition", 4096): 8.0}
KNOWN = {"counts_per_electron": 1.0, "pixel_size_m": 2e-10, "frame_time_s": 0.04}


@dataclass(frozen=True)
class Row:
    """One line of the table; `target` is None where none was set."""

    name: str
    size: str
    ms: float
    target: float | None = None


def rows(seconds: float = 1.0) -> list[Row]:
    """Return milliseconds a frame, u16, for each side."""
    found = []
    for side in SIDES:
        n = max(4, LIBRARY_BYTES // (2 * side * side))
        few = np.random.default_rng(0).poisson(10.0, (4, side, side)).astype("<u2")
        frames = np.concatenate([few] * -(-n // 4))[:n]
        frames[:, 0, 0] = np.arange(n)  # no two of them are the same picture
        about = Acquisition("bench", (side, side), frames.dtype, calibration=KNOWN)
        incoming, dose = Incoming(about), Dose(about, Dose.Params())
        for name, work in (
            ("a frame's condition", lambda i, f=frames, x=incoming: x.look(f[i], i)),
            ("dose", lambda i, f=frames, x=dose: x.process(_batch(f, i))),
        ):
            took = _best_ms(work, n, seconds / 2)
            target = TARGET_MS.get((name, side))
            found.append(Row(name, f"{side}² u16", took, target))
    return found


def _batch(frames: np.ndarray, i: int) -> Batch:
    at = np.array([i])
    return Batch(frames[i : i + 1], at, at)


def _best_ms(work, n: int, seconds: float) -> float:
    """Return the shortest processor time of `work` for one of `n` frames, ms."""
    work(0)
    best, until, i = float("inf"), time.perf_counter() + seconds, 0
    while time.perf_counter() < until:
        i = (i + 1) % n
        began = time.thread_time()
        work(i)
        best = min(best, time.thread_time() - began)
    return 1e3 * best


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=1.0)
    table = Table("what", "size", "ms a frame", "target")
    for row in rows(parser.parse_args().seconds):
        target = "" if row.target is None else f"≤ {row.target:g}"
        table.add_row(row.name, row.size, f"{row.ms:.3f}", target)
    Console(width=90).print(table)


if __name__ == "__main__":
    main()

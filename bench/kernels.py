"""How fast one core counts: the kernels of processors, against reading the memory.

    python bench/kernels.py [--seconds 1] [--sizes 256x256:uint8 …] [--json FILE]

Frames lie in memory larger than the caches and are taken in batches of 2 MiB, as a
worker takes them ("both": one after the other on each batch). What it is compared with
is a plain sum over the same memory as numbers of 64 bits, measured in between; the best
of several passes counts. "hot": the same batch again and again, from the cache.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
for part in ("engine", "adapters", "processors", "."):
    sys.path.insert(0, str(ROOT / part))

from bench.throughput import cpu_name, parse  # noqa: E402 - found by the lines above

from scopeside_processors.kernels.virtual import Runs, runs_of, sum_runs  # noqa: E402
from scopeside_processors.stem import detectors  # noqa: E402
from scopeside_processors.stem.com import centre_of_mass  # noqa: E402

SIZES = (
    "96x96:uint16",
    "192x192:uint16",
    "256x256:uint8",
    "256x256:uint16",
    "512x512:uint16",
    "256x256:uint32",
    "256x256:float32",
)
LIBRARY_BYTES = 256 << 20
BATCH_BYTES = 2 << 20
Work = Callable[[np.ndarray], Any]


@dataclass
class Row:
    """What was measured of one size."""

    size: str
    read_gb_per_s: float
    gb_per_s: dict[str, float]
    hot_gb_per_s: dict[str, float]
    frames_per_s: dict[str, float]


def rings_of(shape: tuple[int, int]) -> Runs:
    """Return a disk and two annuli."""
    centre, r = ((shape[0] - 1) / 2, (shape[1] - 1) / 2), min(shape)
    return runs_of(
        [
            detectors.disk(shape, centre, 0.1 * r),
            detectors.annulus(shape, centre, 0.15 * r, 0.3 * r),
            detectors.annulus(shape, centre, 0.3 * r, 0.5 * r),
        ]
    )


def works(shape: tuple[int, int]) -> dict[str, Work]:
    """Return what is done with a batch, by name."""
    rings = rings_of(shape)

    def virtual(frames: np.ndarray) -> None:
        sum_runs(frames, rings)

    def both(frames: np.ndarray) -> None:
        sum_runs(frames, rings)
        centre_of_mass(frames)

    return {"virtual": virtual, "com": centre_of_mass, "both": both}


def read(frames: np.ndarray) -> int:
    """Read the memory, and do as little as can be with it."""
    return int(frames.reshape(-1).view(np.uint64).sum())


def measure(size: str, seconds: float) -> Row:
    """Measure everything on frames of one size."""
    shape, dtype = parse(size)
    frame = shape[0] * shape[1] * dtype.itemsize
    n, batch = LIBRARY_BYTES // frame, max(1, BATCH_BYTES // frame)
    rng = np.random.default_rng(0)
    few = rng.poisson(1.0, (64, *shape)).astype(dtype)
    library = np.concatenate([few] * -(-n // 64))[:n]
    batches = [library[i : i + batch] for i in range(0, n, batch)]
    todo: dict[str, Work] = {"read": read, **works(shape)}
    best = dict.fromkeys(todo, float("inf"))
    hot = dict.fromkeys(todo, float("inf"))
    until = time.perf_counter() + seconds * len(todo)
    for work in todo.values():
        work(batches[0])  # compiled, or loaded from the cache
    while time.perf_counter() < until:
        for name, work in todo.items():
            best[name] = min(best[name], timed(work, batches))
            hot[name] = min(hot[name], timed(work, batches[:1] * 8) / 8)
    rates = {name: library.nbytes / best[name] / 1e9 for name in todo}
    return Row(
        size,
        rates.pop("read"),
        rates,
        {name: batches[0].nbytes / hot[name] / 1e9 for name in rates},
        {name: n / best[name] for name in rates},
    )


def timed(work: Work, batches: list[np.ndarray]) -> float:
    """Return the time that the batches take, s."""
    began = time.perf_counter()
    for batch in batches:
        work(batch)
    return time.perf_counter() - began


def table(rows: list[Row]) -> Table:
    """Return the rows as a table."""
    names = list(rows[0].gb_per_s)
    found = Table(title=f"GB/s of one core (hot), 1000 frames/s; {cpu_name()}")
    for name in ("frames", "read", *names, *names):
        found.add_column(name, justify="right")
    for row in rows:
        rates = [f"{row.gb_per_s[k]:.1f} ({row.hot_gb_per_s[k]:.1f})" for k in names]
        counts = [f"{row.frames_per_s[k] / 1e3:.0f}" for k in names]
        found.add_row(row.size, f"{row.read_gb_per_s:.1f}", *rates, *counts)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="for each column")
    parser.add_argument("--sizes", nargs="+", default=list(SIZES))
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    rows = [measure(size, asked.seconds) for size in asked.sizes]
    Console(width=110).print(table(rows))
    if asked.json is not None:
        found = {"cpu": cpu_name(), "rows": [asdict(row) for row in rows]}
        asked.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()

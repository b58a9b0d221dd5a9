"""How fast one thread counts with the fused pass: four rings, rest, total, moments.

    python bench/stem_fused.py [--seconds 3]

Frames lie in memory, 300 MB from a multiple of 64 bytes on, and are taken in one call;
"in batches" in calls of 2 MiB, as a worker takes them. "Reading" is the faster of two
plain sums over the same memory as numbers of 64 bits. What is compared is measured in
turns; times are those of the thread's processor, the best of many. LiberTEM sums the
four rings alone, without rest, total and moments, on one thread from the same array.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numba
import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
for part in ("engine", "adapters", "processors", "."):
    sys.path.insert(0, str(ROOT / part))

from scopeside.acquisition import Acquisition  # noqa: E402 - found by the lines above
from scopeside.batch import Batch  # noqa: E402
from scopeside_processors.kernels.fused import fused_sums, path_of  # noqa: E402
from scopeside_processors.kernels.virtual import Runs, runs_of  # noqa: E402
from scopeside_processors.stem.detectors import annulus  # noqa: E402
from scopeside_processors.stem.one_pass import everywhere  # noqa: E402
from scopeside_processors.stem.sum import Sum  # noqa: E402
from scopeside_processors.stem.virtual import Virtual  # noqa: E402

LIBRARY_BYTES = 300_000_000
BATCH_BYTES = 2 << 20
SIZES = ((96, "u2", 0.55), (192, "u2", 0.65), (512, "u2", 0.75), (256, "u1", None))
"""Side, dtype, and which part of the read bandwidth the issue asks for."""
RINGS = (0.0, 0.25, 0.4, 0.7, 1.0)
"""Radii, over half the side."""
Work = Callable[[], Any]


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


def best_s(works: Mapping[str, Work], seconds: float) -> dict[str, float]:
    """Return the shortest processor time of each, s; they take turns."""
    for work in works.values():
        work()  # compiled, or loaded from the cache
    best = dict.fromkeys(works, float("inf"))
    until = time.perf_counter() + seconds * len(works)
    while time.perf_counter() < until:
        for name, work in works.items():
            began = time.thread_time()
            work()
            best[name] = min(best[name], time.thread_time() - began)
    return best


def library(side: int, dtype: str) -> np.ndarray:
    """Return frames (n, side, side) with counts of 3 e⁻ a pixel, from 64 bytes on."""
    size = side * side * np.dtype(dtype).itemsize
    n = LIBRARY_BYTES // size
    room = np.empty(n * size + 64, np.uint8)
    first = -room.ctypes.data % 64
    frames = room[first : first + n * size].view(dtype).reshape(n, side, side)
    few = np.random.default_rng(0).poisson(3, (64, side, side)).astype(dtype)
    for start in range(0, n, 64):
        frames[start : start + 64] = few[: n - start]
    return frames


def rings_of(side: int, radii: tuple[float, ...], *, rest: bool) -> list[np.ndarray]:
    """Return masks of the rings between `radii`, and of what none of them holds."""
    shape, centre = (side, side), ((side - 1) / 2, (side - 1) / 2)
    masks = [
        annulus(shape, centre, low * side / 2 - (low == 0), high * side / 2)
        for low, high in itertools.pairwise(radii)
    ]
    return [*masks, ~np.any(masks, axis=0)] if rest else masks


@numba.njit(nogil=True)
def _read(words: np.ndarray) -> Any:
    total = np.uint64(0)
    for i in range(words.size):
        total += words[i]
    return total


def of_size(side: int, dtype: str, target: float | None, seconds: float) -> list[Row]:
    """Return the rows of frames of one size."""
    frames = library(side, dtype)
    few = max(1, BATCH_BYTES // frames[0].nbytes)
    batches = [frames[i : i + few] for i in range(0, len(frames), few)]
    words = frames.reshape(-1).view(np.uint64)
    whole = [everywhere((side, side))]

    def fused(detectors: Runs, path: Any = None) -> Work:
        return lambda: fused_sums(frames, detectors, whole, path)

    rings = runs_of(rings_of(side, RINGS, rest=True))
    sixteen = tuple(k / 16 for k in range(17))
    took = best_s(
        {
            "read": lambda: _read(words),
            "numpy": words.sum,
            "fused": fused(rings),
            "batches": lambda: [fused_sums(part, rings, whole) for part in batches],
            "1": fused(runs_of(rings_of(side, (0.0, 1.0), rest=False))),
            "16": fused(runs_of(rings_of(side, sixteen, rest=False))),
            "plain": fused(rings, "plain"),
        },
        seconds,
    )
    read_s = min(took["read"], took["numpy"])
    size, n = f"{side}² {dtype.replace('u1', 'u8').replace('u2', 'u16')}", len(frames)
    path = path_of(frames.dtype, (side, side))

    def row(name: str, key: str, ratio: float, against: str, aim: str = "") -> Row:
        return Row(name, size, n / took[key], "frames/s", ratio, against, aim)

    asked = "" if target is None else f"≥ {target}"
    found = [
        Row("reading", size, frames.nbytes / read_s / 1e9, "GB/s"),
        row(f"fused, {path}", "fused", read_s / took["fused"], "reading", asked),
        row("fused, in batches", "batches", read_s / took["batches"], "reading"),
        row("fused, plain path", "plain", read_s / took["plain"], "reading"),
        row("16 detectors", "16", took["16"] / took["1"], "time of 1", "≤ 1.3"),
    ]
    return found + libertem(frames, size, took["fused"], seconds)


def libertem(
    frames: np.ndarray, size: str, fused_s: float, seconds: float
) -> list[Row]:
    """Return how fast LiberTEM sums the four rings, and how many times we are."""
    try:
        import libertem.api as lt  # noqa: PLC0415 - of the extra "dev"
        from libertem.executor.inline import InlineJobExecutor  # noqa: PLC0415
        from libertem.udf.masks import ApplyMasksUDF  # noqa: PLC0415
    except ImportError:
        return [Row("LiberTEM is not installed", size, 0.0, "frames/s")]
    masks = [m.astype(np.float32) for m in rings_of(len(frames[0]), RINGS, rest=False)]
    # It warns that masks are large, each time.
    logging.getLogger("libertem").setLevel(logging.ERROR)
    factories = [lambda mask=mask: mask for mask in masks]
    with lt.Context(executor=InlineJobExecutor(inline_threads=1)) as context:
        data = context.load("memory", data=frames, sig_dims=2, num_partitions=1)
        sums = {
            "dense": ApplyMasksUDF(factories),
            "sparse": ApplyMasksUDF(factories, use_sparse=True),
        }
        works = {
            kind: lambda udf=udf: context.run_udf(dataset=data, udf=udf)
            for kind, udf in sums.items()
        }
        took = best_s(works, seconds)
    n = len(frames)
    return [
        Row(
            f"LiberTEM ApplyMasks, {kind}",
            size,
            n / seconds_of,
            "frames/s",
            seconds_of / fused_s,
            "fused is times",
            "≥ 15" if kind == "dense" else "",
        )
        for kind, seconds_of in took.items()
    ]


def corrections(seconds: float) -> list[Row]:
    """Return what dead pixels, gain, saturation and the variance cost, 192² u16."""
    side, rng = 192, np.random.default_rng(0)
    frames = library(side, "u2")[: BATCH_BYTES // (2 * side * side)]
    index = np.arange(len(frames))
    batch, about = Batch(frames, index, index), Acquisition("b", (side, side), "<u2")
    disk = {"detectors": {"bf": {"disk": [96, 96, 40]}}}
    moving = {"detectors": {"bf": {"disk": [40]}}, "centre": "find"}
    dead = rng.integers(0, side, (100, 2)).tolist()
    with TemporaryDirectory() as folder:
        np.save(gain := Path(folder) / "gain.npy", rng.uniform(0.9, 1.1, (side, side)))
        cases: dict[str, tuple[Any, Any, str]] = {
            "virtual": (Virtual, disk, ""),
            "virtual, 100 dead": (Virtual, {**disk, "dead": dead}, "virtual"),
            "virtual, gain": (Virtual, {**disk, "gain": gain}, "virtual"),
            "virtual, saturation": (Virtual, {**disk, "saturation": 1e4}, "virtual"),
            "virtual, found": (Virtual, moving, ""),
            "virtual, found, 100 dead": (
                Virtual,
                {**moving, "dead": dead},
                "virtual, found",
            ),
            "sum": (Sum, {}, ""),
            "sum, variance": (Sum, {"of": ["sum", "variance"]}, "sum"),
        }
        made = {
            name: cls(about, cls.Params.model_validate(params))
            for name, (cls, params, _) in cases.items()
        }
    works = {
        name: lambda processor=processor: processor.process(batch)
        for name, processor in made.items()
    }
    took = best_s(works, seconds / 4)
    return [
        Row(
            name,
            "192² u16",
            len(frames) / took[name],
            "frames/s",
            took[name] / took[plain] if plain else None,
            f"time of {plain}" if plain else "",
        )
        for name, (_, _, plain) in cases.items()
    ]


def rows(seconds: float = 3.0) -> list[Row]:
    """Return the table."""
    found = [row for size in SIZES for row in of_size(*size, seconds)]
    return found + corrections(seconds)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="for each")
    table = Table("what", "size", "rate", "unit", "ratio", "against", "target")
    for row in rows(parser.parse_args().seconds):
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        rate = f"{row.rate:,.0f}" if row.rate >= 1000 else f"{row.rate:.3g}"
        table.add_row(
            row.name, row.size, rate, row.unit, ratio, row.against, row.target
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()

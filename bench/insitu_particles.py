"""How long the particles of a frame take, against scikit-image's regionprops.

python bench/insitu_particles.py
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
from rich.console import Console
from rich.table import Table

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside_processors.insitu.particles import Particles

SIZES = ((512, 60), (1024, 120), (2048, 200))
RUNS = 15


def frame(size: int, number: int, seed: int) -> np.ndarray:
    """Return a field with disks of 4 to 14 px, 30 % darker, at 100 e⁻/px."""
    rng = np.random.default_rng(seed)
    mean = np.full((size, size), 100.0)
    for y, x, r in zip(
        *rng.uniform(16, size - 16, (2, number)),
        rng.uniform(4, 14, number),
        strict=True,
    ):
        top, left = int(y) - 15, int(x) - 15
        rows, columns = np.mgrid[top : top + 31, left : left + 31]
        inside = np.hypot(rows - y, columns - x) <= r
        part = mean[top : top + 31, left : left + 31]
        part[inside[: part.shape[0], : part.shape[1]]] = 70.0
    return rng.poisson(mean).astype(np.uint16)


def milliseconds(work: Callable[[int], object]) -> float:
    """Median thread time of `work`, ms."""
    work(0)
    taken = []
    for k in range(1, RUNS + 1):
        began = time.thread_time()
        work(k)
        taken.append(1e3 * (time.thread_time() - began))
    return float(np.median(taken))


def rows() -> Iterator[tuple[str, float, float]]:
    """Yield (size, ms a frame, ms of regionprops on the same labels alone)."""
    for size, number in SIZES:
        frames = [frame(size, number, k) for k in range(RUNS + 1)]
        processor = Particles(
            Acquisition("bench", (size, size), np.dtype("u2")), Particles.Params()
        )

        def ours(k: int, frames=frames, processor=processor) -> None:
            index = np.array([k])
            processor.process(Batch(frames[k][None], index, index * 10**8))

        yield f"{size}²", milliseconds(ours), _theirs(frames[0])


def _theirs(shown: np.ndarray) -> float:
    try:
        from skimage.measure import label, regionprops_table  # noqa: PLC0415
    except ImportError:
        return float("nan")
    labels = label(shown < 84)
    names = ("area", "centroid", "perimeter_crofton", "solidity", "eccentricity")
    return milliseconds(lambda _: regionprops_table(labels, properties=names))


def main() -> None:
    """Print the table."""
    table = Table("frame", "particles, ms", "regionprops alone, ms")
    for size, ours, theirs in rows():
        table.add_row(size, f"{ours:.1f}", f"{theirs:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()

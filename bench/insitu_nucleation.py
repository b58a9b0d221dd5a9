"""What drift and nucleation with verification cost per frame.

    python bench/insitu_nucleation.py

One thread; thread CPU time from a frame to its events, p50 and p99 over the frames
after the first 60. Frames have texture, drift, 10 electrons a pixel, and a nucleus more
every eighth frame.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / part) for part in ("engine", "adapters", "processors")]

from scopeside.acquisition import Acquisition  # noqa: E402 - found by the line above
from scopeside.batch import Batch  # noqa: E402
from scopeside_processors.insitu.nucleation import Nucleation  # noqa: E402

Row = tuple[str, str, float, str, str]
Array = np.ndarray[Any, Any]
_FRAME_NS = 40_000_000
_CASES = (
    (512, 3.0, 300, "p50 ≤ 15, p99 ≤ 30"),
    (1024, 3.0, 200, "p50 ≤ 40"),
    (2048, 3.0, 120, ""),
    (4096, 6.0, 90, "p50 ≤ 100"),
)


def rows() -> list[Row]:
    """Return (what, size, time, unit, target) for each measurement."""
    found: list[Row] = []
    for side, radius, number, target in _CASES:
        spent, size = _spent(side, radius, number)
        what = f"drift and nucleation, r ≥ {radius:g} px"
        for name, share in (("p50", 50), ("p99", 99)):
            said = target if name == "p50" else ""
            value = float(np.percentile(spent, share))
            found.append((f"{what}, {name}", f"{side}² u16", value, "ms", said))
        found.append((f"{what}, snapshot", f"{side}² u16", size, "MB", ""))
    return found


def _spent(side: int, radius: float, number: int) -> tuple[Array, float]:
    """Return milliseconds per frame, and the size of a snapshot in MB."""
    about = Acquisition(
        "bench", (side, side), np.dtype("u2"), calibration={"frame_time_s": 0.04}
    )
    processor = Nucleation(about, Nucleation.Params(min_radius_px=radius))
    spent = []
    for k, frame in enumerate(_movie(side, radius, number)):
        batch = Batch(frame[None], np.array([k]), np.array([k * _FRAME_NS]))
        began = time.thread_time()
        processor.process(batch)
        list(processor.results())
        spent.append(1e3 * (time.thread_time() - began))
    return np.array(spent[60:]), len(processor.snapshot()) / 1e6


def _movie(side: int, radius: float, number: int) -> Iterator[Array]:
    """Yield frames of a membrane on which a nucleus appears every eight frames."""
    rng = np.random.default_rng(0)
    margin = 32
    wide = side + 2 * margin
    texture = rng.standard_normal((wide, wide), np.float32)
    texture = ndimage.gaussian_filter(texture, 3.0)
    mean = 10.0 * np.exp(0.03 * texture / texture.std())
    noise = rng.standard_normal((4, side, side), np.float32)
    where = rng.uniform(margin + 24, wide - margin - 24, (number // 8 + 1, 2))
    reach = int(4 * radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    walk = np.cumsum(rng.normal(0, 0.4, (number, 2)), axis=0)
    for t in range(number):
        dy, dx = np.rint(np.clip(walk[t], -margin, margin)).astype(int)
        now = mean.copy()
        for k, (row, column) in enumerate(where.astype(int)):
            size = min(3 * radius, radius * (t - 40 - 8 * k) / 12)
            if size > 0:
                inside = np.maximum(size**2 - y**2 - x**2, 0)
                now[
                    row - reach : row + reach + 1, column - reach : column + reach + 1
                ] *= np.exp(-0.06 * np.sqrt(inside))
        top, left = margin - dy, margin - dx
        part = now[top : top + side, left : left + side]
        moved = np.roll(noise[t % 4], 7 * t, axis=1)
        frame = np.rint(np.maximum(part + np.sqrt(part) * moved, 0))
        yield frame.astype(np.uint16)


def main() -> None:
    """Print the table."""
    print("| what | frames | time | unit | target |")
    print("|---|---|---|---|---|")
    for what, size, value, unit, target in rows():
        print(f"| {what} | {size} | {value:.3g} | {unit} | {target} |")


if __name__ == "__main__":
    main()

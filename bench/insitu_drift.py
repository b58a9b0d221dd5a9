"""What drift costs for each frame, beside scikit-image's phase correlation.

    python bench/insitu_drift.py

One thread; thread CPU time of the median frame of a movie u16 at 10 e⁻/px that walks.
scikit-image registers each frame with the first, to 1/50 px; it is left out where it is
not installed.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / part) for part in ("engine", "adapters", "processors")]

from scopeside.acquisition import Acquisition  # noqa: E402 - found by the line above
from scopeside.batch import Batch  # noqa: E402
from scopeside.messages import validate  # noqa: E402
from scopeside.plugins import processor_class  # noqa: E402

Row = tuple[str, str, float, str, str]
Array = np.ndarray[Any, Any]
_TARGETS = {512: "≤ 5", 1024: "≤ 15", 2048: "≤ 70"}
_WAYS = ("none", "integer", "linear", "cubic", "fourier")
_DOSE = 10.0


def rows() -> list[Row]:
    """Return (what, size, value, unit, beside it) for each measurement."""
    found: list[Row] = []
    for side, target in _TARGETS.items():
        frames = _movie(side, 24 if side < 2000 else 12)
        for how in _WAYS:
            beside = target if how == "none" else ""
            time_ms = _median(_ours(frames, how), len(frames))
            found.append((f"drift, correct {how}", f"{side}²", time_ms, "ms", beside))
        theirs = _theirs(frames)
        if theirs is not None:
            time_ms = _median(theirs, 7)
            found.append(("scikit-image", f"{side}²", time_ms, "ms", "1/50 px"))
    return found


def _ours(frames: Array, how: str) -> Callable[[int], object]:
    cls = processor_class("drift")
    about = Acquisition("bench", frames.shape[1:], frames.dtype)
    cls.prepare(about)  # type: ignore[attr-defined] - this one has it
    processor = cls(about, validate(cls.Params, {"correct": how}, where="drift"))

    def take(k: int) -> object:
        index = np.array([k])
        processor.process(Batch(frames[k : k + 1], index, index))
        return list(processor.results())

    return take


def _theirs(frames: Array) -> Callable[[int], object] | None:
    try:
        from skimage.registration import (  # noqa: PLC0415 - it may not be installed
            phase_cross_correlation,
        )
    except ImportError:
        return None
    return lambda k: phase_cross_correlation(frames[0], frames[k], upsample_factor=50)


def _movie(side: int, frames: int) -> Array:
    """Return frames u16 that walk by 0.4 px a frame."""
    rng = np.random.default_rng(0)
    field = ndimage.gaussian_filter(rng.standard_normal((side + 64,) * 2), 3)
    clean = _DOSE * np.exp(0.1 * field / field.std())
    walk = np.cumsum(rng.normal(0, 0.4, (frames, 2)), axis=0)
    found = np.empty((frames, side, side), np.uint16)
    for k, (y, x) in enumerate(walk):
        found[k] = rng.poisson(ndimage.shift(clean, (y, x), order=1)[32:-32, 32:-32])
    return found


def _median(work: Callable[[int], object], frames: int) -> float:
    """Return the CPU time of the median of frames after the second, ms."""
    took = []
    for k in range(frames):
        began = time.thread_time()
        work(k)
        took.append(time.thread_time() - began)
    return 1e3 * statistics.median(took[2:])


if __name__ == "__main__":
    for what, size, value, unit, beside in rows():
        print(f"{what:24} {size:8} {value:10.3f} {unit:3} {beside}")

"""What it costs to shift, to denoise and to straighten scans, and how right that is.

    python bench/insitu_shift.py

One thread; thread CPU time, best of several runs. Frames are u16 and shifted by parts
of a pixel both ways. "Lines" compares the drift found for each line of a scan with the
truth: a specimen of blobs or of atom columns (contrast 30 %), scans of 256 lines that
drift by (3, -2) px from one to the next and walk by 0.02 px from line to line. The last
column is the error of those who give a scan one drift only.
"""

from __future__ import annotations

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
from scopeside_processors.kernels.binning import binned  # noqa: E402
from scopeside_processors.kernels.shift import average_in, to_specimen  # noqa: E402

Row = tuple[str, str, float, str, str]
Array = np.ndarray[Any, Any]
_TARGETS = {("linear", 512): "≤ 0.3", ("linear", 4096): "≤ 20"}
_SIDE, _MARGIN = 256, 48
_DRIFT = (3.3, -2.2)


def rows() -> list[Row]:
    """Return (what, size, value, unit, beside it) for each measurement."""
    found: list[Row] = []
    for side in (512, 1024, 2048, 4096):
        found += _kernels(side)
    for side in (512, 1024, 4096):
        found.append(_denoise(side))
    for side in (256, 512):
        found.append(_scan(side))
    for lattice in (False, True):
        for dose in (0.5, 2.0, 10.0, 100.0):
            found.append(_lines(dose, lattice=lattice))
    return found


def _kernels(side: int) -> list[Row]:
    frame = np.random.default_rng(0).poisson(5, (side, side)).astype(np.uint16)
    out, same = np.zeros((side, side), np.float32), np.zeros_like(frame)
    seen = np.zeros((side, side), np.uint16)
    work: dict[str, Callable[[], object]] = {
        "integer": lambda: to_specimen(frame, _DRIFT, same, "integer"),
        "linear": lambda: to_specimen(frame, _DRIFT, out, "linear"),
        "cubic": lambda: to_specimen(frame, _DRIFT, out, "cubic"),
        "fourier": lambda: to_specimen(frame, _DRIFT, out, "fourier"),
        "linear, into a mean": lambda: average_in(frame, _DRIFT, out, seen, 16),
        "bin 2 × 2": lambda: binned(frame, 2),
        "bin 4 × 4": lambda: binned(frame, 4),
    }
    runs = 30 if side < 2000 else 7
    return [
        (name, f"{side}²", _best(do, runs), "ms", _TARGETS.get((name, side), ""))
        for name, do in work.items()
    ]


def _denoise(side: int) -> Row:
    frames = np.random.default_rng(0).poisson(5, (8, side, side)).astype(np.uint16)
    cls = processor_class("denoise")
    about = Acquisition("bench", (side, side), frames.dtype)
    checked = validate(cls.Params, {"correct_drift": False}, where="denoise")
    processor = cls(about, checked)
    time_ms = _fed(processor, frames)
    return ("denoise, drift given", f"{side}²", time_ms, "ms", "a view every 5")


def _scan(side: int) -> Row:
    frames, _ = _scans(6, side, 10.0, lattice=False)
    cls = processor_class("scan_drift")
    about = Acquisition("bench", (side, side), frames.dtype)
    processor = cls(about, validate(cls.Params, {}, where="scan_drift"))
    return ("scan_drift, one scan", f"{side}²", _fed(processor, frames), "ms", "")


def _fed(processor: Any, frames: Array) -> float:
    """Return the least time that one of `frames` takes, ms."""
    best = np.inf
    for k in range(len(frames)):
        index = np.array([k])
        began = time.thread_time()
        processor.process(Batch(frames[k : k + 1], index, index))
        best = min(best, time.thread_time() - began) if k > 1 else best
    return 1e3 * best


def _lines(dose: float, *, lattice: bool) -> Row:
    """Return the error of the drift of lines, rms over scans and three specimens."""
    errors, plain, lost = [], [], 0
    for seed in range(3):
        frames, drift = _scans(8, _SIDE, dose, lattice=lattice, seed=seed)
        cls = processor_class("scan_drift")
        about = Acquisition("bench", (_SIDE, _SIDE), frames.dtype)
        wanted = {"of": ["line_drift"], "dead_lines": 8}
        processor = cls(about, validate(cls.Params, wanted, where="scan_drift"))
        index = np.arange(len(frames))
        processor.process(Batch(frames, index, index))
        for result, truth in list(zip(processor.results(), drift, strict=True))[1:]:
            plain.append(np.mean((truth - truth.mean(axis=0)) ** 2))
            lost += not result.valid
            if result.valid:
                errors.append(np.mean((result.data - truth) ** 2))
    what = f"lines, {'columns' if lattice else 'blobs'}"
    rms = float(np.sqrt(np.mean(errors))) if errors else float("nan")
    beside = f"one drift {np.sqrt(np.mean(plain)):.2f} px; not found {lost} of 21"
    return (what, f"{dose:g} e⁻/px", rms, "px", beside)


def _scans(
    scans: int, side: int, dose: float, *, lattice: bool, seed: int = 0
) -> tuple[Array, Array]:
    """Return scans u16 and the drift of their lines (scans, side, 2), px."""
    rng = np.random.default_rng(seed)
    size = side + 2 * _MARGIN
    field = ndimage.gaussian_filter(rng.standard_normal((size, size)), 3, mode="wrap")
    field /= field.std()
    if lattice:
        y, x = np.mgrid[:size, :size]
        for angle in np.deg2rad([11, 71, 131]):
            field += np.cos(2 * np.pi / 7.3 * (y * np.sin(angle) + x * np.cos(angle)))
    field = np.clip(1 + 0.3 * field / field.std(), 0.02, None)
    lines = side + 8
    walk = np.cumsum(rng.normal(0, 0.02, (scans * lines, 2)), axis=0)
    drift = np.arange(scans * lines)[:, None] / lines * np.array([3.0, -2.0]) + walk
    drift = (drift - drift[:side].mean(axis=0)).reshape(scans, lines, 2)[:, :side]
    row, column = np.mgrid[:side, :side] + _MARGIN
    clean = [
        ndimage.map_coordinates(field, [row - d[:, :1], column - d[:, 1:]])
        for d in drift
    ]
    frames = rng.poisson(dose * np.clip(clean, 0, None)).astype(np.uint16)
    return frames, drift


def _best(work: Callable[[], object], runs: int) -> float:
    """Return the least CPU time of several runs, ms."""
    best = np.inf
    for _ in range(runs):
        began = time.thread_time()
        work()
        best = min(best, time.thread_time() - began)
    return 1e3 * best


if __name__ == "__main__":
    for what, size, value, unit, beside in rows():
        print(f"{what:24} {size:10} {value:10.3f} {unit:3} {beside}")

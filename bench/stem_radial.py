"""How fast radial profiles are taken and phases are found in them.

    python bench/stem_radial.py

One thread; thread CPU time, best of several runs. Frames lie in one batch of 2 MiB
that stays in the cache, and all that a worker does with them is included; "kernel" is
the sums alone, beside a plain scatter (two sums a ring that take turns), in one run.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / part) for part in ("engine", "adapters", "processors")]

from scopeside.acquisition import Acquisition  # noqa: E402 - found by the line above
from scopeside.batch import Batch  # noqa: E402
from scopeside.events import EventBatch, pack_events  # noqa: E402
from scopeside.messages import validate  # noqa: E402
from scopeside.plugins import processor_class  # noqa: E402
from scopeside_processors.kernels import radial as kernels  # noqa: E402
from scopeside_processors.stem.ringcounts import RingCounter  # noqa: E402

Row = tuple[str, str, float, str, str]
Array = np.ndarray[Any, Any]
_REFERENCES = {
    "a": {"peaks": [[30.0, 1.0], [60.0, 0.6]], "width": 4.0},
    "b": {"peaks": [[36.0, 0.8], [50.0, 1.0]], "width": 4.0},
}


def rows() -> list[Row]:
    """Return (what, size, rate, unit, target) for each measurement."""
    found: list[Row] = []
    for side in (96, 192, 256):
        found += _kernels(side)
    found.append(_events())
    profile = {"of": ["profile", "mean_profile"]}
    for side in (96, 192, 256):
        target = "≥ 50,000" if side == 192 else ""
        rate = _rate("radial", side, profile)
        found.append(("radial", f"{side}² u16", rate, "frames/s", target))
    variances = {"of": ["profile", "variance", "fem"]}
    rate = _rate("radial", 192, variances)
    found.append(("radial, variance, fem", "192² u16", rate, "frames/s", ""))
    phases = {"references": _REFERENCES, "background": {"spline": 4}, "r_min": 5.0}
    rate = _rate("phases", 192, phases)
    found.append(("phases, 2 and a spline", "192² u16", rate, "frames/s", ""))
    return found


def _rate(kind: str, side: int, params: dict[str, Any]) -> float:
    """Return frames per second of CPU time."""
    frames = _frames(side)
    n = len(frames)
    cls = processor_class(kind)
    about = Acquisition("bench", (side, side), frames.dtype)
    checked = validate(cls.Params, params, where=kind)
    index = np.arange(n)
    processor = cls(about, checked)
    batches = iter([Batch(frames, index + k * n, index) for k in range(30)])
    return n / _best(lambda: processor.process(next(batches)))


def _kernels(side: int) -> list[Row]:
    frames = _frames(side)
    label = np.hypot(*(np.mgrid[:side, :side] - (side - 1) / 2)).astype(np.int64)
    label[label >= side // 2] = side // 2
    rings = kernels.rings_of(label, side // 2)
    plain = np.zeros((len(frames), side // 2 + 1), np.int64)
    size = f"{side}² u16"
    ours = len(frames) / _best(lambda: kernels.ring_sums(frames, rings))
    theirs = len(frames) / _best(lambda: _scatter(frames, label, plain))
    assert (plain[:, :-1] == kernels.ring_sums(frames, rings)[0]).all()
    return [
        ("kernel", size, ours, "frames/s", f"{ours / theirs:.1f} × plain scatter"),
        ("plain scatter", size, theirs, "frames/s", ""),
    ]


def _events() -> Row:
    """Return the rate of hits on 512 x 512 pixels, a hundred for each position."""
    rng, n = np.random.default_rng(0), 20_000
    address = rng.integers(0, 512 * 512, 100 * n)
    words = pack_events(np.repeat(np.arange(n), 100), 1, address)
    index = np.arange(n)
    batch = EventBatch(words, index, index, (512, 512), np.dtype("<u2"))
    about = Acquisition("bench", (512, 512), np.dtype("<u2"), encoding="events")
    cls = processor_class("radial")
    checked = validate(cls.Params, {"of": ["mean_profile"], "bins": 64}, where="radial")
    counter = RingCounter(checked, about, "radial", squares=False)
    rate = len(words) / _best(lambda: counter.count_events(batch)) / 1e6
    return ("events, 64 bins", "512²", rate, "10⁶ hits/s", "≥ 300")


@numba.njit(nogil=True)
def _scatter(frames: Array, label: Array, out: Array) -> None:
    one, other = np.zeros(out.shape[1], np.uint32), np.zeros(out.shape[1], np.uint32)
    for f in range(frames.shape[0]):
        one[:] = 0
        other[:] = 0
        for y in range(frames.shape[1]):
            for x in range(0, frames.shape[2], 2):
                one[label[y, x]] += frames[f, y, x]
                other[label[y, x + 1]] += frames[f, y, x + 1]
        for k in range(out.shape[1]):
            out[f, k] = np.int64(one[k]) + np.int64(other[k])


def _frames(side: int) -> Array:
    y, x = np.mgrid[:side, :side]
    r = np.hypot(y - side / 2, x - side / 2)
    mean = 0.2 + np.exp(-((r - 30) ** 2) / 12) + np.exp(-((r - 36) ** 2) / 12)
    n = max(16, (2 << 20) // (2 * side * side))
    return np.random.default_rng(0).poisson(mean, (n, side, side)).astype(np.uint16)


def _best(work: Callable[[], Any]) -> float:
    """Return the least CPU time of several runs, s."""
    best = np.inf
    for _ in range(30):
        began = time.thread_time()
        work()
        best = min(best, time.thread_time() - began)
    return best


if __name__ == "__main__":
    for what, size, rate, unit, target in rows():
        print(f"{what:24} {size:10} {rate:10,.0f} {unit:10} {target}")

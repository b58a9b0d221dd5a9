"""How fast radial profiles are taken and phases are found in them.

    python bench/stem_radial.py

One thread; thread CPU time, best of several runs; frames are read from memory in
batches of 2 MiB, all that a worker does with them included.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.messages import validate
from scopeside.plugins import processor_class

Row = tuple[str, str, float, str, str]
_REFERENCES = {
    "a": {"peaks": [[30.0, 1.0], [60.0, 0.6]], "width": 4.0},
    "b": {"peaks": [[36.0, 0.8], [50.0, 1.0]], "width": 4.0},
}


def rows() -> list[Row]:
    """Return (what, size, rate, unit, target) for each measurement."""
    found: list[Row] = []
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
    y, x = np.mgrid[:side, :side]
    r = np.hypot(y - side / 2, x - side / 2)
    mean = 0.2 + np.exp(-((r - 30) ** 2) / 12) + np.exp(-((r - 36) ** 2) / 12)
    n = max(16, (2 << 20) // (2 * side * side))
    frames = np.random.default_rng(0).poisson(mean, (n, side, side)).astype(np.uint16)
    cls = processor_class(kind)
    about = Acquisition("bench", (side, side), frames.dtype)
    checked = validate(cls.Params, params, where=kind)
    index = np.arange(n)
    best = np.inf
    processor = cls(about, checked)
    for k in range(30):
        batch = Batch(frames, index + k * n, index)
        began = time.thread_time()
        processor.process(batch)
        best = min(best, time.thread_time() - began)
    return n / best


if __name__ == "__main__":
    for what, size, rate, unit, target in rows():
        print(f"{what:24} {size:10} {rate:10,.0f} {unit:10} {target}")

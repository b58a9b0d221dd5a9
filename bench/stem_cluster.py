"""How fast patterns are binned, projected on components, and sorted into classes.

    python bench/stem_cluster.py

One thread; thread CPU time, best of several runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

import scopeside
from scopeside_processors.kernels.project import bin_frames, project

Row = tuple[str, str, float, str, str]


def rows() -> list[Row]:
    """Return (what, size, rate, unit, target) for each measurement."""
    rng = np.random.default_rng(0)
    found: list[Row] = []
    for side, target in ((64, ""), (192, "≥ 50,000")):
        frames = rng.poisson(0.5, (256, side, side)).astype(np.uint16)
        binning = side // 32
        patterns = bin_frames(frames, binning)
        onto = rng.normal(size=(patterns.shape[1], 16))
        weight, mean = np.ones(len(onto)), np.zeros(len(onto))

        def both() -> None:
            binned = bin_frames(frames, binning)  # noqa: B023 - called at once
            project(binned, onto, weight, mean)  # noqa: B023

        size = f"{side}² u16, 16 components"
        rate = len(frames) / _best(both)
        found.append(("bin and project", size, rate, "frames/s", target))
    square = rng.poisson(0.5, (256, 64, 64)).astype(np.uint16)
    patterns = bin_frames(square, 1)
    onto = rng.normal(size=(patterns.shape[1], 16))
    weight, mean = np.ones(len(onto)), np.zeros(len(onto))
    rate = len(patterns) / _best(lambda: project(patterns, onto, weight, mean))
    found.append(("project", "64² binned, 16 components", rate, "frames/s", "≥ 50,000"))
    return [*found, _whole()]


def _whole() -> Row:
    """Measure all of `cluster` over a scan of three grains, learning included."""
    rng = np.random.default_rng(1)
    patterns = rng.gamma(0.3, 1.0, (3, 64, 64))
    truth = np.repeat([0, 1, 2], 5461)[:16384]
    frames = rng.poisson(patterns[truth]).astype(np.uint16)
    list(scopeside.apply("cluster", frames[:64]))
    began = time.thread_time()
    list(scopeside.apply("cluster", frames, {"kind": "scan4d", "scan": [128, 128]}))
    rate = len(frames) / (time.thread_time() - began)
    return "cluster, all of it", "128² scan of 64² u16", rate, "frames/s", ""


def _best(run: Callable[[], None]) -> float:
    run()
    times = []
    for _ in range(20):
        began = time.thread_time()
        run()
        times.append(time.thread_time() - began)
    return min(times)


if __name__ == "__main__":
    for what, size, rate, unit, target in rows():
        print(f"{what:20} {size:28} {rate:12,.0f} {unit:10} {target}")

"""How fast patterns are given an orientation.

    PYTHONPATH=engine:processors:. python bench/stem_orientation.py

One thread; thread CPU time, best of several runs. Building the library is measured too.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from tests.spot_patterns import (
    CALIBRATION,
    COPPER,
    K_MAX,
    MAGNESIUM,
    PX_PER_K,
    WAVELENGTH,
    draw,
    random_orientations,
    ring_pattern,
)

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside_processors.stem.crystal import CrystalTable, crystal_of
from scopeside_processors.stem.crystal_templates import Beam, excited, library_of
from scopeside_processors.stem.orientation import Orientation
from scopeside_processors.stem.rotations import from_bunge, misorientation

Row = tuple[str, str, float, str, str]
_CASES = (("Cu", COPPER, 1.45), ("Mg", MAGNESIUM, 2.0), ("Cu", COPPER, 0.75))


def rows() -> list[Row]:
    """Return (what, size, rate, unit, target) for each measurement."""
    Orientation.prepare()
    found = [_lattice(side) for side in (64, 128, 192)]
    for name, table, step in _CASES:
        found += _library(name, table, step)
    return found


def _lattice(side: int) -> Row:
    frames = ring_pattern(np.full(256, 0.3), 6, side=side, seed=1)
    params = {"r_in": side / 8, "r_out": side / 3, "centre": [31, 32.5]}
    if side > 64:
        params["centre"] = [side / 2, side / 2]
    rate = _rate(frames, params, {})
    return "lattice", f"{side}² u16, fold auto", rate, "frames/s", ""


def _library(name: str, table: dict[str, object], step: float) -> list[Row]:
    crystal = crystal_of(CrystalTable.model_validate(table), K_MAX)
    beam = Beam(WAVELENGTH, 0.05, PX_PER_K, 3, 62)
    began = time.thread_time()
    size = len(library_of(crystal, beam, np.radians(step), 0.5).orientation)
    built = time.thread_time() - began
    truth = random_orientations(256, 5)
    frames = draw(*excited(crystal, truth, beam), 20_000, 5)
    params = {
        "method": "library",
        "crystal": table,
        "s_max": 0.05,
        "step_deg": step,
    }
    error, sure = _errors(frames, params, truth, crystal.laue)
    what = f"{name}, {size:,} templates, {step}°"
    return [
        (f"library {name}", f"128² u16, {what}", _rate(frames, params), "frames/s", ""),
        ("  build", what, built, "s", ""),
        ("  median error", what, float(np.median(error)), "°", "≤ 1"),
        ("  worst, reliable", what, float(error[sure].max()), "°", "≤ 1"),
        ("  within 1°", what, 100 * float((error < 1).mean()), "%", ""),
    ]


def _processor(
    frames: np.ndarray, params: dict[str, object], known: dict[str, object]
) -> Orientation:
    about = Acquisition("a", frames.shape[1:], frames.dtype, calibration=known)
    return Orientation(about, Orientation.Params.model_validate(params))


def _errors(
    frames: np.ndarray,
    params: dict[str, object],
    truth: np.ndarray,
    laue: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the error of each orientation, degrees, and which are reliable."""
    processor = _processor(frames, params, CALIBRATION)
    index = np.arange(len(frames))
    processor.process(Batch(frames, index, index))
    found = {result.name: result.data for result in processor.results()}
    error = misorientation(from_bunge(found["orientation"]), truth, laue)
    return np.degrees(error), found["reliability"] > 0.02


def _rate(
    frames: np.ndarray,
    params: dict[str, object],
    known: dict[str, object] = CALIBRATION,
) -> float:
    processor = _processor(frames, params, known)
    index = np.arange(len(frames))
    batch = Batch(frames, index, index)
    return len(frames) / _best(lambda: processor.process(batch))


def _best(run: Callable[[], None]) -> float:
    run()
    times = []
    for _ in range(5):
        began = time.thread_time()
        run()
        times.append(time.thread_time() - began)
    return min(times)


if __name__ == "__main__":
    for what, size, rate, unit, target in rows():
        shown = f"{rate:12,.0f}" if rate > 100 else f"{rate:12.3g}"
        print(f"{what:18} {size:40} {shown} {unit:10} {target}")

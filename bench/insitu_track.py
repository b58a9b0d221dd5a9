"""How fast particles are followed, and how well, beside trackpy where it is installed.

    python bench/insitu_track.py

One thread; thread CPU time, median over frames. The movies are drawn: dark spheres of 3
to 6 px that diffuse with steps of 0.3 to 2 px.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / part) for part in ("engine", "adapters", "processors")]
sys.path.insert(0, str(ROOT))

from tests.peers import tracking  # noqa: E402 - found by the lines above

from scopeside.acquisition import Acquisition  # noqa: E402
from scopeside.batch import Batch  # noqa: E402
from scopeside_processors.insitu.track import Track  # noqa: E402

Row = tuple[str, str, float, str, str]
Array = np.ndarray[Any, Any]


def rows() -> list[Row]:
    """Return (what, size, value, unit, target) for each measurement."""
    found: list[Row] = []
    for side, n, target in ((512, 60, "≤ 6"), (1024, 200, "")):
        frames, _ = tracking.movers(10, shape=(side, side), n=n, frames=40)
        for drift in (False, True):
            what = "track, with drift" if drift else "track"
            spent = 1e3 * _follow(frames, drift=drift)[1]
            mark = "" if drift else target
            found.append((f"{what}, {n} particles", f"{side}²", spent, "ms", mark))
    for dose in (40.0, 10.0, 4.0):
        frames, truth = tracking.movers(dose)
        ours = tracking.hota(truth, _follow(frames, drift=False)[0])
        said = ""
        if importlib.util.find_spec("trackpy"):
            from tests.peers.test_insitu_track import by_trackpy  # noqa: PLC0415

            said = f"trackpy {tracking.hota(truth, by_trackpy(frames)):.2f}"
        found.append((f"HOTA at {dose:g} e⁻/px", "192²", ours, "", said))
    return found


def _follow(
    frames: Array, *, drift: bool
) -> tuple[list[dict[int, tuple[float, float]]], float]:
    """Return places by id, frame by frame, and the CPU time of one frame, s."""
    about = Acquisition("bench", frames.shape[1:], frames.dtype)
    params = Track.Params(min_radius_px=3, max_radius_px=6, correct_drift=drift)
    processor, found, spent = Track(about, params), [], []
    for k, frame in enumerate(frames):
        batch = Batch(frame[None], np.array([k]), np.array([k]))
        began = time.thread_time()
        processor.process(batch)
        spent.append(time.thread_time() - began)
        table = next(r for r in processor.results() if r.name == "tracks").data
        found.append({int(row[0]): (row[1], row[2]) for row in table})
    return found, float(np.median(spent[5:]))


if __name__ == "__main__":
    for what, size, value, unit, target in rows():
        print(f"{what:36} {size:6} {value:8.2f} {unit:3} {target}")

"""The frames of the runs, and what results must be: computed without an engine."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from scopeside.apply import apply
from scopeside.batch import Batch

Array = npt.NDArray[Any]

SCAN = (64, 48)
SIDE = 64
MOVIE = (640, 96)
"""Frames, and their side in pixels."""
DETECTORS = {"bf": {"disk": [32, 32, 8]}, "adf": {"annulus": [32, 32, 8, 24]}}


def scan_frames() -> Array:
    """Return a scan of `SCAN` positions, frames of 64×64 u16."""
    rng = np.random.default_rng(7)
    return rng.poisson(4, (SCAN[0] * SCAN[1], SIDE, SIDE)).astype(np.uint16)


def movie_frames() -> Array:
    """Return a movie in which a rough surface sways by some pixels."""
    rng = np.random.default_rng(8)
    count, side = MOVIE
    surface = gaussian_filter(rng.random((side + 40, side + 40)), 2)
    surface = 200 * (surface - surface.min()) / np.ptp(surface)
    at = (20 + 10 * np.sin(np.arange(count) / 60)).astype(int)
    seen = [rng.poisson(surface[k : k + side, k : k + side]) for k in at]
    return np.array(seen).astype(np.uint16)


@dataclass(frozen=True)
class Material:
    """Frames ``(n, height, width)`` as the detector sends them.

    Attributes
    ----------
    scan
        Probe positions; None: a movie.
    """

    frames: Array
    scan: tuple[int, int] | None

    @cached_property
    def _of_each_frame(self) -> dict[str, Array]:
        """Results that have a value for each frame, by name, (n, …)."""
        found = {}
        for kind, params in (
            ("virtual", {"detectors": DETECTORS}),
            ("com", {"of": ["com"]}),
        ):
            acquisition = {"scan": list(self.scan or ())}
            for one in apply(kind, self.frames, acquisition, **params):
                data = np.asarray(one.data)
                found[f"stem.{kind}.{one.name}"] = data.reshape(
                    len(self.frames), *data.shape[2:]
                )
        return found

    def expected(self, processed: dict[str, Array]) -> dict[str, Array]:
        """Return what results must be, by name.

        Parameters
        ----------
        processed
            For each chain the frames that it has processed, in order, (k,) each.
        """
        if self.scan is not None:
            return self._expected_of_scan(processed)
        (trace,) = (_trace(self.frames, seen) for seen in processed.values())
        return {} if trace is None else {"film.drift.trace": trace}

    def _expected_of_scan(self, processed: dict[str, Array]) -> dict[str, Array]:
        at = processed["stem"]
        found = {name: whole[at] for name, whole in self._of_each_frame.items()}
        if len(at):
            seen = self.frames[at]
            found["stem.sum.sum"] = seen.sum(0, dtype=np.int64)
            found["stem.sum.max"] = seen.max(0)
        return found


def _trace(frames: Array, seen: Array) -> Array | None:
    """Return the trace of drift over the frames that were seen."""
    trace = None
    batches = (
        Batch(frames[k : k + 1], np.array([k]), np.zeros(1, np.int64), 0)
        for k in seen.tolist()
    )
    if len(seen):
        for one in apply("drift", batches, trace_every=1):
            if one.name == "trace":
                trace = np.asarray(one.data)
    return trace


def stored(folder: Path, name: str) -> Path:
    """Return the file of the scan or the movie, made if it is not there."""
    path = folder / f"{name}.npy"
    if not path.exists():
        partial = path.with_suffix(".making")
        with partial.open("wb") as file:
            np.save(file, scan_frames() if name == "scan" else movie_frames())
        partial.replace(path)
    return path

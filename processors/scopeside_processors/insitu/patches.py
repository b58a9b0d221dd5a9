"""Patches of a movie's last frames around a place, in cells wide enough for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside_processors.kernels import profiles

Array = npt.NDArray[Any]

_COARSE = 2.4
"""Cells in the smallest radius from which two by two are put together."""


def level_of(radius: float, size: int) -> int:
    """Return how often cells of `size` px are put together for a `radius` in px."""
    return 1 if radius / size >= _COARSE else 0


def patch_of(
    history: Any, place: tuple[float, float], half: int, frames: int, level: int
) -> Array:
    """Return the last frames around a place on the specimen.

    Parameters
    ----------
    history : of `Evidence`
    place : px of frame 0
    half : cells on each side of the middle one
    frames : how many, or as many as there are
    level : 2**level cells of the history, each way, make up one

    Returns
    -------
    (n, 2 half + 1, 2 half + 1) float32, standard deviations; NaN where not seen
    """
    scale = 1 << level
    patch: Array = history.patch(*place, half * scale + scale // 2, frames)
    for _ in range(level):
        n, side = patch.shape[0], patch.shape[1] // 2
        wide = np.empty((n, side, side), np.float32)
        profiles.halved(patch, wide)
        patch = wide
    return patch


def middle_of(history: Any, y: float, x: float, level: int) -> tuple[float, float]:
    """Return where the middle of such a patch's middle cell lies, px of frame 0."""
    # Of an even number of cells, the middle lies between two.
    half = 0.0 if level else 0.5
    size = history.bin
    return (
        (history.cell(y) + half) * size - 0.5,
        (history.cell(x) + half) * size - 0.5,
    )


def unit_of(evidence: Any) -> float:
    """Return which share of the brightness a standard deviation of a cell is."""
    mean = brightness_of(evidence)
    return max(float(evidence.noise), 0.1) / float(np.sqrt(mean))


def brightness_of(evidence: Any) -> float:
    """Return the mean of a cell's background, electrons."""
    known = evidence.seen[::7, ::7] > 0
    if not known.any():
        return 1.0
    return max(float(evidence.background[::7, ::7][known].mean()), 0.05)

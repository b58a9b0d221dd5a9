"""How large a nucleus is, from frame to frame, after it was confirmed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside_processors.insitu import patches
from scopeside_processors.insitu.absorbance import RINGS, Absorbance, Size
from scopeside_processors.insitu.features import log_rings
from scopeside_processors.kernels import profiles

Array = npt.NDArray[Any]

FRAMES = 8
"""Frames that a radius stands on."""
MOST = 96
"""Rows of a course."""
_WIDE = 4.5
"""Cells in a radius from which wider cells are taken."""
_HALF = 12


def thinned(course: list[list[float]]) -> list[list[float]]:
    """Return `course` without every second row, but for the last, if it is long."""
    return course if len(course) <= MOST else [*course[:-1:2], course[-1]]


def measure(
    evidence: Any,
    place: tuple[float, float],
    radius_px: float,
    *,
    base_level: int,
    baseline: Array,
    absorbance: Absorbance,
) -> tuple[Size, float, Array, Array] | None:
    """Return the size of what is at a place, in cells, and what it was seen by.

    Parameters
    ----------
    place : px of frame 0
    radius_px : last known, by which the width of cells is chosen
    base_level : of the patch that `baseline` was taken from
    baseline : (RINGS,) log transmission lost before birth

    Returns
    -------
    Size, width of a cell in px, rings and variance as `Absorbance.learn` takes them;
    None where too little of it is seen.
    """
    history, level = evidence.history, base_level
    while radius_px / (history.bin << level) > _WIDE and level < base_level + 4:
        level += 1
    patch = patches.patch_of(history, place, _HALF, FRAMES, level)
    if not len(patch) or profiles.levelled(patch, 0.75 * _HALF) > 0.3:
        return None
    cell = float(history.bin << level)
    middle = patches.middle_of(history, *place, level)
    at = tuple(_HALF + (p - m) / cell for p, m in zip(place, middle, strict=True))
    unit = patches.unit_of(evidence) / (1 << level)
    image = np.empty(patch.shape[1:], np.float32)
    profiles.mean_of(patch, 0, len(patch), image)
    rings, variance = log_rings(image, (at[0], at[1]), len(patch), unit)
    rings = rings - _widened(baseline, level - base_level)
    return absorbance.size(rings, variance, cell), cell, rings, variance


def _widened(rings: Array, times: int) -> Array:
    """Return rings of cells that are 2**times as wide; 0 beyond what is known."""
    for _ in range(times):
        half = rings.reshape(-1, 2).mean(axis=1)
        rings = np.concatenate([half, np.zeros(RINGS - len(half))])
    return rings

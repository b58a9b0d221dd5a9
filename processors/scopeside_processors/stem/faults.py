"""Why a frame that was seen has no centre of mass, and no deflection."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.batch import Batch
from scopeside.packed import AnyBatch
from scopeside_processors.kernels import com as kernels

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

FAULTS = ("no counts", "not a number", "saturated", "beam at the edge of the camera")
"""Flag k stands for the k-th of them."""
_ROUNDING = 1e-6
"""Pixels; float frames may have all counts in the outermost row."""


def faults_of(
    com: FloatArray,
    total: Array,
    full: BoolArray,
    shape: tuple[int, int],
    margin: float = 0.0,
) -> npt.NDArray[np.uint8]:
    """Return which of `FAULTS` each frame has, (n,) uint8; 0 is none.

    Parameters
    ----------
    com : (n, 2), pixels
    total : (n,), counts
    full : (n,), whether a pixel is saturated
    shape : (height, width) of a frame
    margin : pixels; a centre closer to the outermost pixels, or beyond, is at the edge
    """
    near, far = margin - _ROUNDING, np.array(shape) - 1.0 - margin + _ROUNDING
    inside = ((com >= near) & (com <= far)).all(axis=1)
    broken = ~np.isfinite(total) | ((total > 0) & ~np.isfinite(com).all(axis=1))
    found = np.select([broken, total <= 0, full, ~inside], [2, 1, 3, 4], 0)
    return found.astype(np.uint8)


def saturated(
    batch: AnyBatch, region: kernels.Region, level: float | None
) -> BoolArray:
    """Return in which frames a pixel of `region` has `level` counts or more, (n,).

    In none, and no pixel is looked at, if `level` is None. Events are made into frames
    for it, a few at a time.
    """
    if level is None:
        return np.zeros(len(batch), np.bool_)
    if isinstance(batch, Batch):
        return kernels.reach(batch.pixels, region, level)
    found = [
        kernels.reach(frames.pixels, region, level) for _, frames in batch.portions()
    ]
    return np.concatenate([np.zeros(0, np.bool_), *found])

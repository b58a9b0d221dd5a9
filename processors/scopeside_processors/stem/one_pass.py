"""One read of each frame for all who sum it.

The first processor of a chain that sums a batch finds the first moments of its frames
nearly for nothing, and leaves them with the batch.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.batch import Batch
from scopeside.packed import PackedBatch
from scopeside_processors.kernels import com, fused, planes, virtual
from scopeside_processors.kernels.virtual import Runs

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
Moments = tuple[Array, FloatArray]
"""Counts (n,), and counts times row and times column, (n, 2), of whole frames."""

_MOMENTS = "moments"
_NONE = Runs(np.empty((0, 4), np.int64), np.empty((0, 0), np.bool_))


def sums(batch: Batch, detectors: Runs) -> Array:
    """Return the sum of each frame over each detector, as `kernels.virtual.sum_runs`.

    The moments are left with the batch where they cost next to nothing.
    """
    frames = batch.pixels
    shape = (frames.shape[1], frames.shape[2])
    if not len(detectors.member) or fused.path_of(frames.dtype, shape) == "plain":
        return virtual.sum_runs(frames, detectors)
    found = fused.fused_sums(frames, detectors, [everywhere(shape)])
    batch.shared[_MOMENTS] = found.total[:, 0], found.moment[:, 0]
    return found.counts


def moments(batch: Batch) -> Moments:
    """Return sum and first moments of whole frames, as `kernels.com.moments`."""
    found: Moments | None = batch.shared.get(_MOMENTS)
    if found is None:
        frames = batch.pixels
        region = everywhere((frames.shape[1], frames.shape[2]))
        one = fused.fused_sums(frames, _NONE, [region])
        found = one.total[:, 0], one.moment[:, 0]
    return found


def packed_sums(batch: PackedBatch, detectors: Runs) -> Array:
    """Return what `sums` gives for packed frames, most of them never unpacked.

    Raises
    ------
    ShapeError
        If a frame is no packed frame.
    """
    cut = _planes_of(detectors, batch.frame_shape, batch.dtype.itemsize)
    labels, found, others = planes.sum_planes(batch, cut)
    counts = labels @ detectors.member.astype(np.int64)
    total, moment = found[:, 0], found[:, 1:].astype(np.float64)
    for k in np.flatnonzero(others).tolist():
        one = batch.dense(k, k + 1)
        counts[k] = sums(one, detectors)
        total[k : k + 1], moment[k : k + 1] = moments(one)
    batch.shared[_MOMENTS] = total, moment
    return counts


def packed_moments(batch: PackedBatch) -> Moments:
    """Return what `moments` gives for packed frames.

    Raises
    ------
    ShapeError
        If a frame is no packed frame.
    """
    if _MOMENTS not in batch.shared:
        packed_sums(batch, _NONE)
    found: Moments = batch.shared[_MOMENTS]
    return found


@lru_cache(maxsize=16)
def everywhere(shape: tuple[int, int]) -> com.Region:
    """Return all pixels of frames of ``shape (height, width)`` as a region."""
    return com.region_of(np.ones(shape, np.bool_))


def warm(dtype: np.dtype[Any], encoding: str = "frames") -> None:
    """Compile (or load from the cache) what frames of `dtype` need."""
    fused.warm(dtype)
    if encoding == "packed":
        planes.warm()


@lru_cache(maxsize=16)
def _planes_of(detectors: Runs, shape: tuple[int, int], itemsize: int) -> planes.Planes:
    label = virtual.labels_of(detectors, shape)
    return planes.planes_of_labels(label, len(detectors.member), shape, itemsize)

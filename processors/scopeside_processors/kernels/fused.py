"""All sums, the total and the first moments of each frame, from one read of memory.

With AVX-512 it is done in vectors (`kernels.bundles`). Elsewhere, and for pixels and
frames that those do not take, it is done by `kernels.virtual` and `kernels.com`, a few
frames at a time so that the second finds in the cache what the first has read. Both
give the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numba
import numpy as np
import numpy.typing as npt

from scopeside_processors.kernels import bundles, com, vectors
from scopeside_processors.kernels.com import Region
from scopeside_processors.kernels.virtual import (
    Runs,
    as_stored,
    labels_of,
    sum_runs,
    sum_type,
)

Array = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Path = Literal["vectors", "plain"]

_GROUP_BYTES = 1 << 19
"""Frames taken at a time without vectors: they stay in a second-level cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """What one pass over frames has found.

    Attributes
    ----------
    counts
        (n, detectors) int64, or float64 of floats: the sum over each detector.
    total
        (n, regions), of the same type: the sum over each region.
    moment
        (n, regions, 2) float64: counts times row, and counts times column.
    """

    counts: Array
    total: Array
    moment: FloatArray


def path_of(dtype: np.dtype[Any], shape: tuple[int, int]) -> Path:
    """Return how frames of ``shape (height, width)`` are summed on this processor."""
    fits = vectors.available() and bundles.takes(np.dtype(dtype), shape)
    return "vectors" if fits else "plain"


def fused_sums(
    frames: Array, detectors: Runs, regions: Sequence[Region], path: Path | None = None
) -> Sums:
    """Return sums over detectors, and sums and first moments over regions.

    Parameters
    ----------
    frames : (n, height, width), counts, integers or floats
    detectors : as `runs_of` gives them
    regions : as `region_of` gives them; pixels that do not count are in none
    path : that of `path_of`, if None

    Returns
    -------
    Sums
        Of integers the sums are exact (modulo 2**64 if pixels have 8 bytes), and the
        moments are exact sums that are rounded once, where they exceed 2**53. Floats
        are added in float64, in an order that does not depend on the batch.
    """
    frames = as_stored(frames)
    if (path or path_of(frames.dtype, frames.shape[1:])) == "vectors":
        return _in_vectors(frames, detectors, tuple(regions))
    return _plain(frames, detectors, regions)


def warm(dtype: np.dtype[Any]) -> None:
    """Compile (or load from the cache) what frames of `dtype` need."""
    width = 2 * vectors.BLOCK // np.dtype(dtype).itemsize
    nothing = Runs(np.empty((0, 4), np.int64), np.empty((0, 0), np.bool_))
    region = com.region_of(np.ones((1, width), np.bool_))
    fused_sums(np.empty((0, 1, width), dtype), nothing, [region])


def _plain(frames: Array, detectors: Runs, regions: Sequence[Region]) -> Sums:
    n, kind = len(frames), sum_type(frames.dtype)
    counts = np.empty((n, detectors.member.shape[1]), kind)
    total, moment = np.empty((n, len(regions)), kind), np.empty((n, len(regions), 2))
    few = max(1, _GROUP_BYTES // max(1, frames[:1].nbytes))
    for first in range(0, n, few):
        part = slice(first, first + few)
        counts[part] = sum_runs(frames[part], detectors)
        for k, region in enumerate(regions):
            total[part, k], moment[part, k] = com.moments(frames[part], region)
    return Sums(counts, total, moment)


def _in_vectors(frames: Array, detectors: Runs, regions: tuple[Region, ...]) -> Sums:
    itemsize, width = frames.dtype.itemsize, frames.shape[2]
    cut = _cut(detectors, regions, frames.shape[1:], itemsize)
    labels, member = len(detectors.member), detectors.member
    if itemsize < 4:
        sums, found = bundles.sum_bundles(frames, cut.cut, labels)
        counts = np.zeros((len(frames), member.shape[1]), np.int64)
        total = np.empty((len(frames), len(regions)), np.int64)
        moment = np.empty((len(frames), len(regions), 2))
        bias = cut.bias.get(frames.dtype.str[1:], cut.none)
        _settle(sums, member, found, bias, width, counts, total, moment)
        return Sums(counts, total, moment)
    sums, found = bundles.sum_bundles(frames, cut.cut, 2 * labels)
    found += cut.bias.get(frames.dtype.str[1:], 0)
    low, high = found[:, : len(regions)], found[:, len(regions) :]
    high[..., 2] -= high[..., 0]  # they lie behind the low ones
    for half in (low, high):
        half[..., 2] = half[..., 2] // 2 - width * half[..., 1]
    both = high.astype(np.float64) * 65536 + low
    return Sums(
        (sums[:, :labels] + 65536 * sums[:, labels:]) @ member.astype(np.int64),
        low[..., 0] + 65536 * high[..., 0],
        both[..., 1:],
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Cut:
    """Blocks of one size of pixel, and what turned bits have taken off the moments."""

    cut: bundles.Cut
    bias: dict[str, IntArray]
    none: IntArray


@lru_cache(maxsize=64)
def _cut(
    detectors: Runs, regions: tuple[Region, ...], shape: tuple[int, int], itemsize: int
) -> _Cut:
    label = labels_of(detectors, shape).reshape(shape)
    held = np.zeros((len(regions), *shape), np.bool_)
    for k, region in enumerate(regions):
        held[k] = com.pixels_of(region, shape)
    if itemsize == 4:
        low, high = bundles.halved(label, -1)
        label = np.where(high < 0, low, high + len(detectors.member))
        held = bundles.halved(held, 0)
        held = held.reshape(2 * len(regions), *label.shape)
    row, column = np.indices(label.shape)
    weights = np.stack([np.ones_like(row), row, row * label.shape[1] + column])
    flat = weights.reshape(3, -1)
    whole = np.array([flat[:, one.ravel()].sum(axis=1) for one in held], np.int64)
    bias = {
        code: taken * whole.reshape(-1, 3) for code, taken in bundles.TURNED.items()
    }
    none = np.zeros((len(held), 3), np.int64)
    return _Cut(bundles.cut_of(label, held, min(itemsize, 2)), bias, none)


# Compiled, as the same in NumPy takes longer than some frames do.
@numba.njit(nogil=True, cache=True)
def _settle(  # noqa: PLR0917 - a kernel takes its arrays by position
    sums: Array,
    member: Array,
    found: Array,
    bias: Array,
    width: int,
    counts: Array,
    total: Array,
    moment: Array,
) -> None:
    """Hand labels to the detectors, and moments of pixels to rows and columns."""
    for f in range(sums.shape[0]):
        for label in range(member.shape[0]):
            for detector in range(member.shape[1]):
                if member[label, detector]:
                    counts[f, detector] += sums[f, label]
        for region in range(bias.shape[0]):
            by_row = found[f, region, 1] + bias[region, 1]
            total[f, region] = found[f, region, 0] + bias[region, 0]
            moment[f, region, 0] = by_row
            moment[f, region, 1] = (
                found[f, region, 2] + bias[region, 2] - width * by_row
            )

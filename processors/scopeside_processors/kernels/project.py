"""Frames binned and projected on components, in one pass over the memory.

Nothing here depends on how frames are cut into batches: each is added up in the order
of its own pixels.
"""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from scopeside_processors.kernels.virtual import as_stored

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]


def binned_shape(shape: tuple[int, int], binning: int) -> tuple[int, int]:
    """Return (height, width) after binning; what is left over at the end is lost."""
    return shape[0] // binning, shape[1] // binning


def bin_frames(frames: Array, binning: int) -> FloatArray:
    """Return each frame with `binning` × `binning` pixels added up to one.

    Parameters
    ----------
    frames : (n, height, width), counts, any real dtype
    binning : pixels in each direction, at most height and width

    Returns
    -------
    (n, height // binning · width // binning) float64, counts
        Sums of integers are exact up to 2**53.
    """
    frames = as_stored(frames)
    height, width = binned_shape((frames.shape[1], frames.shape[2]), binning)
    out = np.empty((len(frames), height * width))
    sums = np.empty(width * binning, _ADDED.get(frames.dtype.str[1:], "f8"))
    _bin(frames, binning, sums, out)
    return out


def project(
    patterns: FloatArray, onto: FloatArray, weight: FloatArray, mean: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return ``patterns @ onto``, and how far each weighted pattern is from a mean.

    Parameters
    ----------
    patterns : (n, p) float64
    onto : (p, k) float64
    weight, mean : (p,) float64; of pattern x the distance is that of x · weight from
        mean

    Returns
    -------
    (n, k) and (n,) float64
        Projections, and squared distances.
    """
    out = np.zeros((len(patterns), onto.shape[1]))
    distance = np.zeros(len(patterns))
    turned = np.ascontiguousarray(onto.T)
    _project(np.ascontiguousarray(patterns), turned, weight, mean, out, distance)
    return out, distance


@lru_cache
def warm(dtype: np.dtype[Any]) -> None:
    """Compile (or load from the cache) what frames of `dtype` need."""
    nothing = bin_frames(np.empty((0, 1, 1), dtype), 1)
    project(nothing, np.zeros((1, 1)), np.ones(1), np.ones(1))


_ADDED = {"u1": "u4", "u2": "u4", "i1": "i4", "i2": "i4"}
_ADDED |= dict.fromkeys(("u4", "i4", "u8", "i8"), "i8")
"""What the rows of a bin are added up in: 65536 of the largest pixels fit."""


@numba.njit(nogil=True, cache=True)
def _bin(frames: Array, binning: int, sums: Array, out: Array) -> None:
    columns = sums.size // binning
    rows = frames.shape[1] // binning
    for f in range(frames.shape[0]):
        for row in range(rows):
            sums[:] = 0
            for y in range(row * binning, (row + 1) * binning):
                # In a slice no index is negative, so LLVM vectorises.
                line = frames[f, y][: sums.size]
                for x in range(line.size):
                    sums[x] += line[x]
            for column in range(columns):
                part = sums[column * binning : (column + 1) * binning]
                total = np.float64(part[0])
                for x in range(1, part.size):
                    total += np.float64(part[x])
                out[f, row * columns + column] = total


# The order of a sum may be chosen once, when it is compiled: it is the same for each
# pattern then, whatever the batch.
@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def _project(
    patterns: Array,
    onto: Array,
    weight: Array,
    mean: Array,
    out: Array,
    distance: Array,
) -> None:
    for f in range(patterns.shape[0]):
        pattern = patterns[f]
        far = 0.0
        for p in range(pattern.size):
            step = pattern[p] * weight[p] - mean[p]
            far += step * step
        distance[f] = far
        for c in range(onto.shape[0]):
            row = onto[c]
            total = 0.0
            for p in range(pattern.size):
                total += pattern[p] * row[p]
            out[f, c] = total

"""Frames binned and projected on components, in one pass over the memory.

Nothing here depends on how frames are cut into batches: each is added up in the order
of its own pixels.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from scopeside_processors.kernels.virtual import as_stored, sum_type

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
        Sums of integers are exact before they become floats.
    """
    frames = as_stored(frames)
    height, width = binned_shape((frames.shape[1], frames.shape[2]), binning)
    out = np.empty((len(frames), height * width))
    sums = np.empty(width, sum_type(frames.dtype))
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
    _project(patterns, onto, weight, mean, out, distance)
    return out, distance


@lru_cache
def warm(dtype: np.dtype[Any]) -> None:
    """Compile (or load from the cache) what frames of `dtype` need."""
    nothing = bin_frames(np.empty((0, 1, 1), dtype), 1)
    project(nothing, np.zeros((1, 1)), np.ones(1), np.ones(1))


@numba.njit(nogil=True, cache=True)
def _bin(frames: Array, binning: int, sums: Array, out: Array) -> None:
    columns = sums.size
    rows = frames.shape[1] // binning
    for f in range(frames.shape[0]):
        for row in range(rows):
            sums[:] = 0
            for y in range(row * binning, (row + 1) * binning):
                # In a slice no index is negative, so LLVM vectorises.
                line = frames[f, y][: columns * binning]
                for column in range(columns):
                    total = sums[column]
                    for x in range(column * binning, (column + 1) * binning):
                        total += line[x]
                    sums[column] = total
            for column in range(columns):
                out[f, row * columns + column] = sums[column]


@numba.njit(nogil=True, cache=True)
def _project(
    patterns: Array,
    onto: Array,
    weight: Array,
    mean: Array,
    out: Array,
    distance: Array,
) -> None:
    components = onto.shape[1]
    for f in range(patterns.shape[0]):
        sums = out[f]
        far = 0.0
        for p in range(patterns.shape[1]):
            value = patterns[f, p]
            step = value * weight[p] - mean[p]
            far += step * step
            if value != 0.0:  # most pixels of a sparse pattern
                row = onto[p]
                for c in range(components):
                    sums[c] += value * row[c]
        distance[f] = far

"""Sum and maximum of each pixel over the frames of a batch.

The pixels are taken in blocks that stay in the first-level cache, so that the sum
is read from memory once a batch and not once a frame.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from scopeside_processors.kernels.virtual import as_stored

Array = npt.NDArray[Any]

BLOCK = 2048
"""Pixels in a block: 16 KiB of sums leave room for the frames in 32 KiB."""


def add_integers(frames: Array, total: Array, peak: Array) -> None:
    """Add ``frames (n, height, width)`` to `total` and raise `peak` to their maximum.

    `total` (height, width) int64 is exact, modulo 2**64; `peak` has the dtype of the
    frames. Both are changed in place and are contiguous.
    """
    _add_integers(_flat(frames), total.reshape(-1), peak.reshape(-1))


def add_floats(frames: Array, total: Array, rest: Array, peak: Array) -> None:
    """Add ``frames (n, height, width)`` to ``total + rest``; raise `peak`.

    `total` (height, width) float64 is the rounded sum and `rest` what rounding has
    left out [1]_. As long as `rest` is exact (float32 pixels that span less than
    2**50 or so), ``total + rest`` does not depend on the order of the frames. A NaN
    makes `peak` NaN.

    References
    ----------
    .. [1] A. Neumaier, Z. Angew. Math. Mech. 54, 39 (1974),
       doi:10.1002/zamm.19740540106; the error-free sum is D. E. Knuth's TwoSum.
    """
    _add_floats(_flat(frames), total.reshape(-1), rest.reshape(-1), peak.reshape(-1))


def merge_floats(total: Array, rest: Array, more: Array, more_rest: Array) -> None:
    """Add the sum ``more + more_rest`` to ``total + rest``, as `add_floats` does."""
    with np.errstate(invalid="ignore", over="ignore"):  # of infinite sums
        rounded = total + more
        taken = rounded - total
        rest += more_rest + ((total - (rounded - taken)) + (more - taken))
        total[...] = rounded


def add_squares_of_integers(frames: Array, squares: Array) -> int:
    """Add the squares of ``frames (n, height, width)`` to `squares`.

    `squares` (height, width) int64 is exact, modulo 2**64, and changed in place.

    Returns
    -------
    int
        All bits that a pixel has set, -1 - pixel of negative ones: below 2**b if no
        pixel lies beyond ±2**b.
    """
    return int(_add_squares_of_integers(_flat(frames), squares.reshape(-1)))


def add_squares_of_floats(frames: Array, squares: Array, rest: Array) -> None:
    """Add the squares of ``frames (n, height, width)`` to ``squares + rest``.

    As `add_floats` adds pixels. Squares of float32 are exact in float64, those of
    float64 are rounded.
    """
    _add_squares_of_floats(_flat(frames), squares.reshape(-1), rest.reshape(-1))


@lru_cache
def warm_squares(dtype: np.dtype[Any]) -> None:
    """Compile (or load from the cache) what squares of frames of `dtype` need."""
    nothing = np.empty((0, 1, 1), dtype)
    if np.dtype(dtype).kind == "f":
        add_squares_of_floats(nothing, np.zeros((1, 1)), np.zeros((1, 1)))
    else:
        add_squares_of_integers(nothing, np.zeros((1, 1), np.int64))


@lru_cache
def warm(dtype: np.dtype[Any]) -> None:
    """Compile (or load from the cache) what frames of `dtype` need."""
    nothing, peak = np.empty((0, 1, 1), dtype), np.zeros((1, 1), dtype)
    if np.dtype(dtype).kind == "f":
        add_floats(nothing, np.zeros((1, 1)), np.zeros((1, 1)), peak)
    else:
        add_integers(nothing, np.zeros((1, 1), np.int64), peak)


def _flat(frames: Array) -> Array:
    stored = as_stored(frames)
    return stored.reshape(len(stored), stored.shape[1] * stored.shape[2])


@numba.njit(nogil=True, cache=True)
def _add_integers(frames: Array, total: Array, peak: Array) -> None:
    n, size = frames.shape
    for start in range(0, size, BLOCK):
        stop = min(start + BLOCK, size)
        sums, peaks = total[start:stop], peak[start:stop]
        for f in range(n):
            part = frames[f][start:stop]
            for i in range(part.size):
                sums[i] += np.int64(part[i])
                peaks[i] = max(peaks[i], part[i])


@numba.njit(nogil=True, cache=True)
def _add_floats(frames: Array, total: Array, rest: Array, peak: Array) -> None:
    n, size = frames.shape
    for start in range(0, size, BLOCK):
        stop = min(start + BLOCK, size)
        sums, rests, peaks = total[start:stop], rest[start:stop], peak[start:stop]
        for f in range(n):
            part = frames[f][start:stop]
            for i in range(part.size):
                value = np.float64(part[i])
                rounded = sums[i] + value
                taken = rounded - sums[i]
                rests[i] += (sums[i] - (rounded - taken)) + (value - taken)
                sums[i] = rounded
                if part[i] > peaks[i] or part[i] != part[i]:
                    peaks[i] = part[i]


@numba.njit(nogil=True, cache=True)
def _add_squares_of_integers(frames: Array, squares: Array) -> Any:
    n, size = frames.shape
    bits = np.int64(0)
    for start in range(0, size, BLOCK):
        sums = squares[start : start + BLOCK]
        for f in range(n):
            part = frames[f][start : start + BLOCK]
            for i in range(part.size):
                value = np.int64(part[i])
                sums[i] += value * value
                bits |= value ^ (value >> 63)
    return bits


@numba.njit(nogil=True, cache=True)
def _add_squares_of_floats(frames: Array, squares: Array, rest: Array) -> None:
    n, size = frames.shape
    for start in range(0, size, BLOCK):
        sums, rests = squares[start : start + BLOCK], rest[start : start + BLOCK]
        for f in range(n):
            part = frames[f][start : start + BLOCK]
            for i in range(part.size):
                value = np.float64(part[i]) * np.float64(part[i])
                rounded = sums[i] + value
                taken = rounded - sums[i]
                rests[i] += (sums[i] - (rounded - taken)) + (value - taken)
                sums[i] = rounded

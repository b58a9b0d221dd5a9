"""Takes from a frame what surrounds each pixel, and tapers what is left.

Illumination and other broad unevenness go; so do pixels that are hot.
"""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from scopeside_processors.kernels.virtual import as_stored

Array = npt.NDArray[Any]


@numba.njit(nogil=True, cache=True)
def block_means(frame: Array, out: Array) -> None:
    """Write the mean of each block of a frame into `out`.

    Parameters
    ----------
    frame : (height, width) counts
    out : (m, n) float32; a frame is cut into m × n blocks, as equal as can be
    """
    height, width = frame.shape
    m, n = out.shape
    line = np.empty(width, np.float32)
    for i in range(m):
        first, stop = i * height // m, (i + 1) * height // m
        line[:] = 0
        for y in range(first, stop):
            row = frame[y]
            for x in range(width):
                line[x] += np.float32(row[x])
        for j in range(n):
            total = np.float32(0)
            begin, end = j * width // n, (j + 1) * width // n
            for x in range(begin, end):
                total += line[x]
            out[i, j] = total / np.float32((stop - first) * (end - begin))


@numba.njit(nogil=True, cache=True)
def contrast(
    frame: Array,
    mean: float,
    limit: float,
    surroundings: Array,
    rows: Array,
    columns: Array,
    out: Array,
    standing: Array,
) -> int:
    """Write by how much a frame differs from its surroundings, tapered, into `out`.

    In units of the mean.

    Parameters
    ----------
    frame : (height, width) counts
    mean : counts per pixel
    limit : counts above its surroundings from where on a pixel may stand out
    surroundings : (m, n) float32, counts at the middles of m × n blocks; linear between
    rows, columns : (height,), (width,) float32, the taper
    out : (height, width) float32
    standing : (k,) int64, written: flat indices of pixels that stand out by more than
        `limit` from their surroundings and from their neighbours, in order

    Returns
    -------
    How many of them there are, k at most.
    """
    height, width = frame.shape
    m = len(surroundings)
    scale = np.float32(1.0 / mean)
    most = np.float32(limit)
    wide = _widened(surroundings, width)
    found = 0
    for y in range(height):
        place = min(max((y + 0.5) * m / height - 0.5, 0.0), m - 1.0)
        i = min(int(place), max(m - 2, 0))
        share = np.float32(place - i)
        upper, lower = wide[i], wide[min(i + 1, m - 1)]
        row, target = frame[y], out[y]
        weight = rows[y] * scale
        high = np.int32(0)
        for x in range(width):
            value = np.float32(row[x]) - (upper[x] + share * (lower[x] - upper[x]))
            high += np.int32(value > most)
            target[x] = value * (weight * columns[x])
        if high > 0:
            for x in range(width):
                level = upper[x] + share * (lower[x] - upper[x])
                value = np.float32(row[x])
                if value - level <= most or found == standing.size:
                    continue
                if value - _near(frame, y, x) > most:
                    standing[found] = y * width + x
                    found += 1
    return found


@numba.njit(nogil=True, cache=True)
def cool(
    frame: Array, mean: float, rows: Array, columns: Array, pixels: Array, out: Array
) -> None:
    """Replace pixels, given by flat index, by the mean of their neighbours in `out`.

    All else is as in `contrast`, which has written `out`.
    """
    width = frame.shape[1]
    scale = np.float32(1.0 / mean)
    for k in range(pixels.size):
        y, x = pixels[k] // width, pixels[k] % width
        change = _near(frame, y, x) - np.float32(frame[y, x])
        out[y, x] += change * (rows[y] * scale * columns[x])


@numba.njit(nogil=True, cache=True)
def _near(frame: Array, y: int, x: int) -> Any:
    """Return the mean of the neighbours of a pixel above, below and beside it."""
    height, width = frame.shape
    total = np.float32(frame[max(y - 1, 0), x])
    total += np.float32(frame[min(y + 1, height - 1), x])
    total += np.float32(frame[y, max(x - 1, 0)])
    total += np.float32(frame[y, min(x + 1, width - 1)])
    return np.float32(0.25) * total


@numba.njit(nogil=True, cache=True)
def _widened(surroundings: Array, width: int) -> Array:
    """Return (m, width) float32: each row linear between the middles of its blocks."""
    m, n = surroundings.shape
    wide = np.empty((m, width), np.float32)
    for x in range(width):
        place = min(max((x + 0.5) * n / width - 0.5, 0.0), n - 1.0)
        j = min(int(place), max(n - 2, 0))
        part = np.float32(place - j)
        for i in range(m):
            left, right = surroundings[i, j], surroundings[i, min(j + 1, n - 1)]
            wide[i, x] = left + part * (right - left)
    return wide


def warm(dtype: npt.DTypeLike) -> None:
    """Compile (or load from the cache) all that frames of `dtype` need."""
    frame, taper = as_stored(np.zeros((4, 4), dtype)), np.ones(4, np.float32)
    means, out = np.zeros((2, 2), np.float32), np.zeros((4, 4), np.float32)
    pixels = np.zeros(1, np.int64)
    block_means(frame, means)
    contrast(frame, 1.0, 1.0, means, taper, taper, out, pixels)
    cool(frame, 1.0, taper, taper, pixels, out)

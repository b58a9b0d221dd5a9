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
    hot: float,
    surroundings: Array,
    rows: Array,
    columns: Array,
    out: Array,
) -> None:
    """Write by how much a frame differs from its surroundings, tapered, into `out`.

    In units of the mean. A pixel that stands out by more than `hot` counts from its
    surroundings and from its neighbours is taken for hot and becomes the mean of its
    neighbours.

    Parameters
    ----------
    frame : (height, width) counts
    mean : counts per pixel
    hot : counts
    surroundings : (m, n) float32, counts at the middles of m × n blocks; linear between
    rows, columns : (height,), (width,) float32, the taper
    out : (height, width) float32
    """
    height, width = frame.shape
    m = len(surroundings)
    scale = np.float32(1.0 / mean)
    limit = np.float32(hot)
    wide = _widened(surroundings, width)
    local = np.empty(width, np.float32)
    for y in range(height):
        place = min(max((y + 0.5) * m / height - 0.5, 0.0), m - 1.0)
        i = min(int(place), max(m - 2, 0))
        share = np.float32(place - i)
        upper, lower = wide[i], wide[min(i + 1, m - 1)]
        row, target = frame[y], out[y]
        weight = rows[y] * scale
        standing = np.int32(0)
        for x in range(width):
            level = upper[x] + share * (lower[x] - upper[x])
            value = np.float32(row[x]) - level
            standing += np.int32(value > limit)
            local[x] = level
            target[x] = value * (weight * columns[x])
        if standing > 0:
            _cool(frame, y, local, limit, weight, columns, target)


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


@numba.njit(nogil=True, cache=True)
def _cool(
    frame: Array,
    y: int,
    local: Array,
    limit: Any,
    weight: Any,
    columns: Array,
    target: Array,
) -> None:
    """Replace the hot pixels of row `y` of a frame."""
    width = frame.shape[1]
    row = frame[y]
    above = frame[max(y - 1, 0)]
    under = frame[min(y + 1, frame.shape[0] - 1)]
    for x in range(width):
        value = np.float32(row[x])
        if value - local[x] > limit:
            near = np.float32(row[max(x - 1, 0)]) + np.float32(above[x])
            near += np.float32(row[min(x + 1, width - 1)]) + np.float32(under[x])
            near *= np.float32(0.25)
            if value - near > limit:
                target[x] = (near - local[x]) * weight * columns[x]


def warm(dtype: npt.DTypeLike) -> None:
    """Compile (or load from the cache) all that frames of `dtype` need."""
    frame = as_stored(np.zeros((4, 4), dtype))
    means, taper = np.zeros((2, 2), np.float32), np.ones(4, np.float32)
    block_means(frame, means)
    contrast(frame, 1.0, 1.0, means, taper, taper, np.zeros((4, 4), np.float32))

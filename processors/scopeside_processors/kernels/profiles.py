"""What a place in a movie looks like from frame to frame: smoothed, and in rings.

Patches are (n, rows, columns) float32 in standard deviations of a cell's noise, NaN
where nothing was seen.
"""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_LIMIT = 3.0
"""Standard deviations at which cells of the surroundings are cut."""


@numba.njit(nogil=True, cache=True)
def cut(
    frames: Array,
    order: Array,
    corners: Array,
    steps: Array,
    invalid: int,
    out: Array,
) -> None:
    """Fill `out` with the same place of several frames, NaN where nothing was seen.

    Parameters
    ----------
    frames : (m, height, width) int8; `invalid` where nothing was seen
    order : (n,) int64, which of them, in order
    corners : (n, 2) int64, cell of each frame that the first one of `out` is; cells
        beyond its edges were not seen
    steps : (m,) float64, what 1 stands for in each frame
    out : (n, rows, columns) float32
    """
    _, height, width = frames.shape
    for k in range(order.size):
        at, top, left = order[k], corners[k, 0], corners[k, 1]
        step = np.float32(steps[at])
        for i in range(out.shape[1]):
            y, row = top + i, out[k, i]
            row[:] = np.float32(np.nan)
            if y < 0 or y >= height:
                continue
            for j in range(max(0, -left), min(row.size, width - left)):
                value = frames[at, y, left + j]
                if value != invalid:
                    row[j] = np.float32(value) * step


@numba.njit(nogil=True, cache=True)
def halved(patch: Array, out: Array) -> None:
    """Fill `out` with sums of 2 × 2 cells over 2, so that the noise stays the same.

    The last row and column are left out if there is an odd number of them.
    """
    half = np.float32(0.5)
    for t in range(out.shape[0]):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                upper = patch[t, 2 * i, 2 * j] + patch[t, 2 * i, 2 * j + 1]
                lower = patch[t, 2 * i + 1, 2 * j] + patch[t, 2 * i + 1, 2 * j + 1]
                out[t, i, j] = half * (upper + lower)


@numba.njit(nogil=True, cache=True)
def levelled(patch: Array, inner: float) -> float:
    """Take the mean of the surroundings off each frame of `patch`, in place.

    The surroundings are what is farther than `inner` cells from the middle; cells that
    were not seen become 0. Returns which share of all cells was not seen.
    """
    n, rows, columns = patch.shape
    limit = np.float32(_LIMIT)
    blind = 0
    for t in range(n):
        total, number = np.float32(0.0), 0
        for i in range(rows):
            for j in range(columns):
                value = patch[t, i, j]
                away = (i - rows // 2) ** 2 + (j - columns // 2) ** 2
                if away > inner * inner and not np.isnan(value):
                    total += min(max(value, -limit), limit)
                    number += 1
        mean = total / np.float32(max(number, 1))
        for i in range(rows):
            for j in range(columns):
                value = patch[t, i, j]
                if np.isnan(value):
                    patch[t, i, j] = np.float32(0.0)
                    blind += 1
                else:
                    patch[t, i, j] = value - mean
    return blind / max(patch.size, 1)


@numba.njit(nogil=True, cache=True)
def smoothed(patch: Array, taps: Array, out: Array) -> float:
    """Fill `out` with each frame smoothed by a Gaussian, over its noise.

    Parameters
    ----------
    patch, out : (n, rows, columns) float32; outside is 0
    taps : (k,) float32, half of the filter, from its middle on

    Returns
    -------
    Standard deviation of the noise after smoothing, by which `out` was divided: that
    of the differences from frame to frame, over √2.
    """
    n, rows, columns = patch.shape
    pad = taps.size - 1
    width = columns + pad  # zeros beside a row keep it apart from the next one
    size = rows * width
    above, beside = (
        np.zeros(size + 2 * pad * width, np.float32),
        np.zeros(size + 2 * pad, np.float32),
    )
    result = np.empty(size, np.float32)
    for t in range(n):
        for i in range(rows):
            first = (i + pad) * width
            above[first : first + columns] = patch[t, i]
        convolved(above, taps, width, beside[pad : pad + size])
        convolved(beside, taps, 1, result)
        for i in range(rows):
            out[t, i] = result[i * width : i * width + columns]
    noise = _scatter(out)
    if noise > 0:
        inverse = np.float32(1.0 / noise)
        flat = out.reshape(-1)
        for i in range(flat.size):
            flat[i] *= inverse
    return noise


@numba.njit(nogil=True, cache=True)
def convolved(source: Array, taps: Array, stride: int, out: Array) -> None:
    """Fill ``out (n,)`` with `source` filtered along elements that lie `stride` apart.

    `source` is ``(n + 2 (k - 1) stride,)`` with the ``(k,)`` `taps` of a symmetric
    filter from its middle on; all float32.
    """
    n, middle = out.size, (taps.size - 1) * stride
    centre, first = source[middle : middle + n], taps[0]
    for j in range(n):
        out[j] = first * centre[j]
    for k in range(1, taps.size):
        tap = taps[k]
        before = source[middle - k * stride : middle - k * stride + n]
        after = source[middle + k * stride : middle + k * stride + n]
        for j in range(n):
            out[j] += tap * (before[j] + after[j])


@numba.njit(nogil=True, cache=True)
def _scatter(images: Array) -> float:
    n, rows, columns = images.shape
    total = 0.0
    for t in range(1, n):
        change = np.float32(0.0)
        for i in range(rows):
            for j in range(columns):
                step = images[t, i, j] - images[t - 1, i, j]
                change += step * step
        total += np.float64(change)
    return math.sqrt(total / (2.0 * max(1, (n - 1) * rows * columns)))


@numba.njit(nogil=True, cache=True)
def paired(images: Array, reach: int, out: Array) -> None:
    """Fill `out` with sums of two frames over √2, counted from the last.

    Parameters
    ----------
    images : (n, rows, columns) float32
    reach : cells on each side of the middle that are kept
    out : (n // 2, 2 reach + 1, 2 reach + 1) float32
    """
    n, rows, columns = images.shape
    root = np.float32(np.sqrt(0.5))
    top, left = rows // 2 - reach, columns // 2 - reach
    for k in range(out.shape[0]):
        at = n - 2 * (out.shape[0] - k)
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                both = images[at, top + i, left + j] + images[at + 1, top + i, left + j]
                out[k, i, j] = root * both


@numba.njit(nogil=True, cache=True)
def mean_of(images: Array, first: int, stop: int, out: Array) -> None:
    """Fill ``out (rows, columns)`` with the mean of frames `first` to `stop`."""
    out[:] = np.float32(0.0)
    for t in range(first, stop):
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                out[i, j] += images[t, i, j]
    out *= np.float32(1.0 / max(1, stop - first))


@numba.njit(nogil=True, cache=True)
def series_at(images: Array, y: float, x: float, out: Array) -> None:
    """Fill ``out (n,)`` with what each image holds at a place, bilinear."""
    n, rows, columns = images.shape
    i = min(max(int(np.floor(y)), 0), rows - 2)
    j = min(max(int(np.floor(x)), 0), columns - 2)
    v, u = y - i, x - j
    for t in range(n):
        upper = (1 - u) * images[t, i, j] + u * images[t, i, j + 1]
        lower = (1 - u) * images[t, i + 1, j] + u * images[t, i + 1, j + 1]
        out[t] = (1 - v) * upper + v * lower


@numba.njit(nogil=True, cache=True)
def rings(image: Array, y: float, x: float, radii: Array, out: Array) -> None:
    """Fill ``out (k, 2)`` with mean and number of cells in rings about a place.

    Ring k holds cells at distances ``radii[k] <= d < radii[k + 1]``.
    """
    out[:] = 0.0
    number = radii.size - 1
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            away = np.sqrt((i - y) ** 2 + (j - x) ** 2)
            k = int(np.searchsorted(radii, away, side="right")) - 1
            if 0 <= k < number:
                out[k, 0] += image[i, j]
                out[k, 1] += 1.0
    for k in range(number):
        out[k, 0] /= max(out[k, 1], 1.0)


@numba.njit(nogil=True, cache=True)
def around(image: Array, y: float, x: float, inner: float, outer: float) -> Array:
    """Return least, most, and the least and most mean of six sectors of a ring.

    Returns (4,) float64, zeros if the ring holds no cell.
    """
    sums, numbers = np.zeros(6), np.zeros(6)
    out = np.zeros(4)
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            away = (i - y) ** 2 + (j - x) ** 2
            if away < inner * inner or away >= outer * outer:
                continue
            value = image[i, j]
            out[0], out[1] = min(out[0], value), max(out[1], value)
            k = min(int((np.arctan2(i - y, j - x) + np.pi) / (np.pi / 3.0)), 5)
            sums[k] += value
            numbers[k] += 1.0
    means = sums / np.maximum(numbers, 1.0)
    out[2], out[3] = means.min(), means.max()
    return out


def gaussian_taps(width: float) -> Array:
    """Return half of a Gaussian of `width` cells and sum 1, from its middle on."""
    reach = np.arange(int(np.ceil(3.0 * width)) + 1)
    half = np.exp(-(reach**2) / (2.0 * width**2))
    return np.asarray(half / (2.0 * half.sum() - half[0]), np.float32)

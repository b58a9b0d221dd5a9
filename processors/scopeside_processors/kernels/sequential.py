"""Matched filters on a residual, and averages over time of what they find.

A sphere's shadow is much like a Gaussian of 0.6 of its radius. From it the mean of the
surroundings is taken, on a grid of blocks, so that broad changes of brightness cancel.
"""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_FINITE = {"nnan", "nsz"}
"""Nothing here is NaN; the order of additions stays."""


def gaussian_taps(sigma: float) -> Array:
    """Return half of a Gaussian, from its middle on, with squares of sum 1.

    What it makes of white noise of unit variance is of unit variance again.
    """
    reach = np.arange(int(np.ceil(3.0 * sigma)) + 1)
    half = np.exp(-(reach**2) / (2 * sigma**2))
    norm = np.sqrt(half[0] ** 2 + 2 * (half[1:] ** 2).sum())
    return np.asarray(half / norm, np.float32)


@numba.njit(nogil=True, cache=True, fastmath=_FINITE)
def halved(image: Array, out: Array) -> None:
    """Fill `out` with the sum of 2 × 2 cells over 2: unit variance stays that."""
    half = np.float32(0.5)
    for i in range(out.shape[0]):
        above, below = image[2 * i], image[2 * i + 1]
        for j in range(out.shape[1]):
            first = above[2 * j] + above[2 * j + 1]
            out[i, j] = half * (first + (below[2 * j] + below[2 * j + 1]))


@numba.njit(nogil=True, cache=True, fastmath=_FINITE)
def blocks(image: Array, size: int, limit: float, out: Array) -> None:
    """Fill `out` with means over `size` × `size` cells, each cut to ± `limit`.

    `out` is (height / size, width / size), rounded up; the last blocks are smaller.
    """
    height, width = image.shape
    most = np.float32(limit)
    for p in range(out.shape[0]):
        for q in range(out.shape[1]):
            total, n = np.float32(0.0), 0
            for i in range(p * size, min(height, (p + 1) * size)):
                for j in range(q * size, min(width, (q + 1) * size)):
                    total += min(max(image[i, j], -most), most)
                    n += 1
            out[p, q] = total / np.float32(n)


@numba.njit(nogil=True, cache=True, fastmath=_FINITE)
def smoothed(image: Array, out: Array) -> None:
    """Fill `out` with `image` smoothed by (1, 2, 1)/4 twice, rows and columns."""
    height, width = image.shape
    row = np.empty_like(image)
    quarter, half = np.float32(0.25), np.float32(0.5)
    out[:] = image
    for _ in range(2):
        for i in range(height):
            up, down = out[max(i - 1, 0)], out[min(i + 1, height - 1)]
            for j in range(width):
                row[i, j] = quarter * (up[j] + down[j]) + half * out[i, j]
        for i in range(height):
            for j in range(width):
                beside = row[i, max(j - 1, 0)] + row[i, min(j + 1, width - 1)]
                out[i, j] = quarter * beside + half * row[i, j]


@numba.njit(nogil=True, cache=True, fastmath=_FINITE)
def filtered(
    image: Array, taps: Array, around: Array, size: int, share: float, out: Array
) -> None:
    """Fill `out` with the Gaussian of `image` less `share` of its surroundings.

    Parameters
    ----------
    image, out : (height, width) float32
    taps : (k,) float32, half of a filter, from its middle on
    around : means over `size` × `size` cells, as `blocks` gives them; bilinear
        between their middles
    share : sum of the filter's weights in both directions
    """
    height, width = image.shape
    reach = taps.size - 1
    column = np.zeros(width + 2 * reach, np.float32)
    level, between, weight = _between(width, size, around.shape[1])
    surround = np.empty(around.shape[1], np.float32)
    part = np.float32(share)
    for i in range(height):
        middle = column[reach : reach + width]
        middle[:] = taps[0] * image[i]
        for k in range(1, taps.size):
            tap = taps[k]
            up, down = image[max(i - k, 0)], image[min(i + k, height - 1)]
            for j in range(width):
                middle[j] += tap * (up[j] + down[j])
        column[:reach] = middle[0]
        column[reach + width :] = middle[width - 1]
        place = (i + 0.5) / size - 0.5
        p = min(max(int(np.floor(place)), 0), around.shape[0] - 1)
        next_p = min(p + 1, around.shape[0] - 1)
        w = np.float32(min(max(place - p, 0.0), 1.0))
        for q in range(surround.size):
            low, high = around[p, q], around[next_p, q]
            surround[q] = part * (low + w * (high - low))
        row = out[i]
        for j in range(width):
            low, high = surround[level[j]], surround[between[j]]
            row[j] = taps[0] * middle[j] - low - weight[j] * (high - low)
        for k in range(1, taps.size):
            tap = taps[k]
            before, after = column[reach - k :], column[reach + k :]
            for j in range(width):
                row[j] += tap * (before[j] + after[j])


@numba.njit(nogil=True, cache=True)
def _between(width: int, size: int, number: int) -> tuple[Array, Array, Array]:
    """Return for each cell the blocks that it lies between, and how far."""
    low = np.empty(width, np.int64)
    high = np.empty(width, np.int64)
    weight = np.empty(width, np.float32)
    for j in range(width):
        place = (j + 0.5) / size - 0.5
        low[j] = min(max(int(np.floor(place)), 0), number - 1)
        high[j] = min(low[j] + 1, number - 1)
        weight[j] = min(max(place - low[j], 0.0), 1.0)
    return low, high, weight


@numba.njit(nogil=True, cache=True, fastmath=_FINITE)
def accumulated(
    found: Array,
    inverse: float,
    limit: float,
    shares: Array,
    weights: Array,
    floors: Array,
    seen: Array,
    usual: float,
    least: float,
    averages: Array,
    out: Array,
) -> None:
    """Take a filtered residual into averages over time, and score them.

    Parameters
    ----------
    found : (height, width) float32, a filtered residual
    inverse : one over its standard deviation
    limit : a value beyond ± `limit` standard deviations counts as that
    shares : (k,) float32, weight of the new frame in each average
    weights : (k,) float32, what each average is multiplied by to be a score
    floors : (k,) float32, no average goes below
    seen : (height, width) float32, frames in the background of each cell
    usual : frames in the background of most cells
    least : frames in a background below which there is no score
    averages : (k, height, width) float32, updated
    out : (height, width) float32, the best score of each cell

    Notes
    -----
    An average of share a has the variance ``a / (2 - a) + 1 / n`` where the background
    has n frames: a cell that was seen less is scored less.
    """
    height, width = found.shape
    most, factor = np.float32(limit), np.float32(inverse)
    row = np.empty(width, np.float32)
    for i in range(height):
        score, fewest, given = out[i], np.float32(usual), found[i]
        for j in range(width):
            row[j] = min(max(given[j] * factor, -most), most)
            score[j] = np.float32(0.0)
            fewest = min(fewest, seen[i, j])
        for k in range(shares.size):
            average, share, weight = averages[k, i], shares[k], weights[k]
            floor = floors[k]
            for j in range(width):
                now = max(average[j] + share * (row[j] - average[j]), floor)
                average[j] = now
                score[j] = max(score[j], now * weight)
        if fewest < np.float32(usual):
            _trust(averages[:, i], weights, shares, seen[i], usual, least, score)


@numba.njit(nogil=True, cache=True)
def _trust(
    averages: Array,
    weights: Array,
    shares: Array,
    seen: Array,
    usual: float,
    least: float,
    score: Array,
) -> None:
    """Score the cells of a row anew whose background has seen few frames."""
    for j in range(score.size):
        n = float(seen[j])
        if n >= usual:
            continue
        best = 0.0
        for k in range(shares.size):
            own = shares[k] / (2.0 - shares[k])
            trust = np.sqrt((own + 1.0 / usual) / (own + 1.0 / max(n, 1.0)))
            best = max(best, trust * averages[k, j] * weights[k])
        score[j] = np.float32(best if n >= least else 0.0)


@numba.njit(nogil=True, cache=True)
def raised(image: Array, wide: Array, size: int, most: float) -> None:
    """Keep `image` from lying more than `most` below `wide`, in place.

    `wide` holds means over `size` × `size` cells of `image`, bilinear between them.
    """
    level, between, weight = _between(image.shape[1], size, wide.shape[1])
    depth = np.float32(most)
    for i in range(image.shape[0]):
        place = (i + 0.5) / size - 0.5
        p = min(max(int(np.floor(place)), 0), wide.shape[0] - 1)
        next_p = min(p + 1, wide.shape[0] - 1)
        w = np.float32(min(max(place - p, 0.0), 1.0))
        for j in range(image.shape[1]):
            a = wide[p, level[j]]
            b = wide[next_p, level[j]]
            upper = a + weight[j] * (wide[p, between[j]] - a)
            lower = b + weight[j] * (wide[next_p, between[j]] - b)
            image[i, j] = max(image[i, j], upper + w * (lower - upper) - depth)


@numba.njit(nogil=True, cache=True, fastmath=_FINITE)
def joined(coarse: Array, size: int, out: Array) -> None:
    """Raise `out` to what `coarse` holds, a cell of which spans `size` × `size`."""
    for i in range(out.shape[0]):
        row = coarse[i // size]
        for j in range(row.size):
            value = row[j]
            for x in range(j * size, (j + 1) * size):
                out[i, x] = max(out[i, x], value)

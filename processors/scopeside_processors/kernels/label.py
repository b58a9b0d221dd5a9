"""Connected regions of a mask, by runs of pixels in its rows.

A region is a set of runs that touch from row to row; runs are joined by union and find
[1]_. Holes are regions of what is not in the mask.

References
----------
.. [1] K. Wu, E. Otoo & K. Suzuki, Pattern Anal. Appl. 12, 117 (2009),
   doi:10.1007/s10044-008-0109-y
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

BESIDE, CORNERS = 0, 1
"""Pixels touch with their sides, or with their corners too."""


@numba.njit(nogil=True, cache=True)
def runs_of(mask: Array, value: bool) -> tuple[Array, Array]:
    """Return the runs of `value`, and where those of each row begin.

    Returns
    -------
    (n, 2) int32 and (height + 1,) int64
        First column of a run, and the one after its last.
    """
    height, width = mask.shape
    first = np.zeros(height + 1, np.int64)
    runs = np.empty((max(64, height * 4), 2), np.int32)
    number = 0
    for y in range(height):
        first[y] = number
        if number + width // 2 + 1 > len(runs):
            larger = np.empty((2 * len(runs) + width, 2), np.int32)
            larger[:number] = runs[:number]
            runs = larger
        row = mask[y]
        inside = False
        for x in range(width):
            if (row[x] == value) != inside:
                runs[number, int(inside)] = x
                number += int(inside)
                inside = not inside
        if inside:
            runs[number, 1] = width
            number += 1
    first[height] = number
    return runs[:number], first


@numba.njit(nogil=True, cache=True)
def _root(parent: Array, k: int) -> int:
    while parent[k] != k:
        parent[k] = parent[parent[k]]
        k = parent[k]
    return k


@numba.njit(nogil=True, cache=True)
def regions_of(runs: Array, first: Array, touch: int) -> tuple[Array, int]:
    """Return the region of each run, from 0 in the order of their first pixels.

    Parameters
    ----------
    runs, first : as of `runs_of`
    touch : `BESIDE` or `CORNERS`

    Returns
    -------
    (n,) int32 and the number of regions
    """
    parent = np.arange(len(runs))
    for y in range(1, len(first) - 1):
        above, end = first[y - 1], first[y]
        for k in range(first[y], first[y + 1]):
            while above < end and runs[above, 1] + touch <= runs[k, 0]:
                above += 1
            at = above
            while at < end and runs[at, 0] < runs[k, 1] + touch:
                a, b = _root(parent, at), _root(parent, k)
                parent[max(a, b)] = min(a, b)
                at += 1
    region = np.empty(len(runs), np.int32)
    number = 0
    for k in range(len(runs)):
        if parent[k] == k:
            region[k] = number
            number += 1
        else:
            # A parent comes before its children, so that its region is known.
            region[k] = region[parent[k]]
    return region, number


@numba.njit(nogil=True, cache=True)
def label(mask: Array, touch: int, out: Array) -> int:
    """Fill ``out (height, width)`` int32 with regions from 1, 0 outside; count them."""
    runs, first = runs_of(mask, True)
    region, number = regions_of(runs, first, touch)
    for y in range(mask.shape[0]):
        out[y] = 0
        for k in range(first[y], first[y + 1]):
            out[y, runs[k, 0] : runs[k, 1]] = region[k] + 1
    return number


@numba.njit(nogil=True, cache=True)
def fill_holes(mask: Array, largest: float) -> None:
    """Set what lies inside regions of `mask`, holes of up to `largest` px.

    Sides of a hole's pixels touch; a gap to the edge of the mask is no hole.
    """
    height, width = mask.shape
    runs, first = runs_of(mask, False)
    region, number = regions_of(runs, first, BESIDE)
    area = np.zeros(number)
    inside = np.ones(number, np.bool_)
    for y in range(height):
        for k in range(first[y], first[y + 1]):
            area[region[k]] += runs[k, 1] - runs[k, 0]
            if y in (0, height - 1) or runs[k, 0] == 0 or runs[k, 1] == width:
                inside[region[k]] = False
    for y in range(height):
        for k in range(first[y], first[y + 1]):
            if inside[region[k]] and area[region[k]] <= largest:
                mask[y, runs[k, 0] : runs[k, 1]] = True


@numba.njit(nogil=True, cache=True)
def renumber(labels: Array, good: Array) -> int:
    """Leave the regions k with ``good[k]``, numbered anew from 1; return how many."""
    new = np.zeros(len(good), labels.dtype)
    number = 0
    for k in range(1, len(good)):
        if good[k]:
            number += 1
            new[k] = number
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            if labels[y, x]:
                labels[y, x] = new[labels[y, x]]
    return number


@numba.njit(nogil=True, cache=True)
def heights(
    labels: Array, image: Array, number: int, margin: int
) -> tuple[Array, Array, Array]:
    """Return area, plateau and maximum of `image` in each region.

    Parameters
    ----------
    labels : (height, width) int32, up to `number`
    image : (height, width) float32
    margin : so near the edge, px, the mirror image has been blurred in: values scatter
        √2 times as much and count for less in the maximum, pixels for half in the area

    Returns
    -------
    Three times (number + 1,) float64
        [0] is 0. The plateau is ∑v³ / ∑v² over positive values: the slopes at the rim
        count little.
    """
    area, plateau = np.zeros(number + 1), np.zeros(number + 1)
    squares, most = np.zeros(number + 1), np.zeros(number + 1)
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            k = labels[y, x]
            if k:
                value = max(np.float64(image[y, x]), 0.0)
                squares[k] += value * value
                plateau[k] += value * value * value
                if min(y, x, height - 1 - y, width - 1 - x) < margin:
                    area[k] += 0.5
                    value *= 0.7
                else:
                    area[k] += 1
                most[k] = max(most[k], value)
    for k in range(1, number + 1):
        if squares[k] > 0:
            plateau[k] /= squares[k]
    return area, plateau, most


@numba.njit(nogil=True, cache=True)
def cut(labels: Array, image: Array, level: Array, mask: Array) -> None:
    """Fill `mask` with where `image` reaches the level of the region, (n + 1,)."""
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            k = labels[y, x]
            mask[y, x] = k > 0 and image[y, x] >= level[k]

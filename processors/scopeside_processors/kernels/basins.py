"""Cuts touching shapes apart: basins of a height map, shallow ones poured together.

A watershed by flooding from the summits [1]_, in which a summit that rises by too
little above the saddle to a higher one belongs to that one, as with h-maxima for
markers [2]_; in one pass over the sorted pixels.

References
----------
.. [1] L. Vincent & P. Soille, IEEE Trans. Pattern Anal. 13, 583 (1991),
   doi:10.1109/34.87344
.. [2] P. Soille, Morphological Image Analysis (Springer, 2003), chapter 6
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


LEAST = 0.7
"""A summit rises by this much at least, px of distance: pixels are coarse."""


def split(height_map: Array, neck: float) -> tuple[Array, int]:
    """Return the labels of the basins, and their number.

    Parameters
    ----------
    height_map : (height, width) float32, above 0 where there is something
    neck : two summits are two if the saddle between them lies below this part of the
        lower one, and `LEAST` below it

    Returns
    -------
    (height, width) int32 and int
        Labels from 1, numbered by their first pixel, row by row; 0 where the map is 0.
    """
    flat = height_map.ravel()
    inside = np.flatnonzero(flat > 0)
    order = inside[np.argsort(-flat[inside], kind="stable")]
    label = np.zeros(height_map.shape, np.int32)
    number = _flood(height_map, order, neck, label)
    return label, number


@numba.njit(nogil=True, cache=True)
def _root(parent: Array, k: int) -> int:
    while parent[k] != k:
        parent[k] = parent[parent[k]]
        k = parent[k]
    return k


@numba.njit(nogil=True, cache=True)
def _flood(height_map: Array, order: Array, neck: float, label: Array) -> int:
    height, width = height_map.shape
    parent = np.zeros(len(order) + 1, np.int64)
    summit = np.zeros(len(order) + 1)
    basins = 0
    for place in order:
        y, x = place // width, place % width
        level = height_map[y, x]
        best, highest, uphill = 0, -1.0, 0
        for dy in range(-1, 2):
            for dx in range(-1, 2):
                v, u = y + dy, x + dx
                if not (0 <= v < height and 0 <= u < width) or label[v, u] == 0:
                    continue
                if height_map[v, u] > highest:
                    highest, uphill = height_map[v, u], label[v, u]
                other = _root(parent, label[v, u])
                if best in (0, other):
                    best = other
                    continue
                high, low = (
                    (best, other) if summit[best] >= summit[other] else (other, best)
                )
                if level > neck * summit[low] or summit[low] - level < LEAST:
                    parent[low] = high
                best = high
        if best == 0:
            basins += 1
            best = basins
            parent[best] = best
            summit[best] = level
            uphill = best
        label[y, x] = uphill
    return _renumber(parent, label)


@numba.njit(nogil=True, cache=True)
def _renumber(parent: Array, label: Array) -> int:
    height, width = label.shape
    new = np.zeros(len(parent), np.int32)
    number = 0
    for y in range(height):
        for x in range(width):
            if label[y, x]:
                root = _root(parent, label[y, x])
                if new[root] == 0:
                    number += 1
                    new[root] = number
                label[y, x] = new[root]
    return number

"""The order of places that makes a short way."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_PASSES = 8


def short_path(points: FloatArray) -> IntArray:
    """Return the order in which points make a short open path, the same each time.

    Parameters
    ----------
    points : (n, 2)

    Returns
    -------
    (n,) int64
        Indices. It begins with the point nearest to (0, 0).

    Notes
    -----
    Always to the nearest that is left; then pieces are turned round where that makes
    the path shorter (2-opt; G. A. Croes, Operations Research 6, 791 (1958),
    doi:10.1287/opre.6.6.791), a few times over.
    """
    order = _nearest_first(points)
    for _ in range(_PASSES):
        if not _untangle(points, order):
            break
    return order


def _nearest_first(points: FloatArray) -> IntArray:
    left = np.ones(len(points), bool)
    order = np.empty(len(points), np.int64)
    here = np.zeros(2)
    for k in range(len(points)):
        away = np.where(left, ((points - here) ** 2).sum(axis=1), np.inf)
        order[k] = np.argmin(away)
        left[order[k]] = False
        here = points[order[k]]
    return order


def _untangle(points: FloatArray, order: IntArray) -> bool:
    """Turn pieces of `order` round in place; return whether that has helped."""
    better = False
    for i in range(len(order) - 2):
        way = points[order]
        here, next_one = way[i], way[i + 1]
        ends, after = way[i + 2 :], way[i + 3 :]
        saved = _length(next_one - here) - _length(ends - here)
        # The last point has nothing behind it to be linked to.
        saved[:-1] += _length(after - ends[:-1]) - _length(after - next_one)
        k = int(np.argmax(saved))
        if saved[k] > 1e-12 * max(1.0, float(np.abs(points).max())):
            order[i + 1 : i + 3 + k] = order[i + 1 : i + 3 + k][::-1].copy()
            better = True
    return better


def _length(steps: FloatArray) -> FloatArray:
    found: FloatArray = np.hypot(steps[..., 0], steps[..., 1])
    return found

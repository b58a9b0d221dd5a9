"""Maxima of an image, the highest first, none too near to a higher one."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_MOST = 4096
"""Maxima of one image that are looked at; of more, those that come first."""


@numba.njit(nogil=True, cache=True)
def maxima(image: Array, margin: int, distance: float, least: float, out: Array) -> int:
    """Fill ``out (m, 3)`` with row, column and height of maxima; return how many.

    Parameters
    ----------
    image : (height, width) float32
    margin : pixels at the edge that hold none, at least 1
    distance : between two of them, pixels
    least : a maximum is higher than it

    Rows and columns are those of a parabola through three pixels.
    """
    rows, columns = np.empty(_MOST, np.int64), np.empty(_MOST, np.int64)
    heights, number = np.empty(_MOST, np.float64), 0
    margin = max(margin, 1)
    for y in range(margin, image.shape[0] - margin):
        for x in range(margin, image.shape[1] - margin):
            value = image[y, x]
            if not value > least or number == _MOST:
                continue
            if (
                value > image[y, x - 1] and value >= image[y, x + 1]
                and value > image[y - 1, x] and value >= image[y + 1, x]
                and value > image[y - 1, x - 1] and value > image[y - 1, x + 1]
                and value >= image[y + 1, x - 1] and value >= image[y + 1, x + 1]
            ):  # fmt: skip
                rows[number], columns[number], heights[number] = y, x, value
                number += 1
    order = np.argsort(-heights[:number], kind="mergesort")
    kept = 0
    for n in order:
        y, x = rows[n], columns[n]
        free = True
        for k in range(kept):
            away = (out[k, 0] - y) ** 2 + (out[k, 1] - x) ** 2
            free &= away >= distance * distance
        if not free:
            continue
        out[kept, 0] = y + _top(image[y - 1, x], image[y, x], image[y + 1, x])
        out[kept, 1] = x + _top(image[y, x - 1], image[y, x], image[y, x + 1])
        out[kept, 2] = heights[n]
        kept += 1
        if kept == len(out):
            break
    return kept


@numba.njit(nogil=True, cache=True)
def _top(before: float, here: float, after: float) -> float:
    """Return where the parabola through three heights is highest, from the middle."""
    bend = np.float64(before) - 2.0 * here + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0

"""Cells of an image that differ from all around them."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_SURE = 7.0
"""Standard deviations."""
_GAIN = 0.03
"""Share of a cell's counts that a gain pattern may make up."""
_SHARP = 0.7
"""Share of the difference to cells two away that is there one away already."""


@numba.njit(nogil=True, cache=True)
def alone(image: Array, out: Array) -> int:
    """Fill ``out (m, 2)`` int64 with rows and columns of such cells; return how many.

    The noise is that of the differences themselves: their median, on a grid of cells.
    """
    height, width = image.shape
    step = max(1, int(np.sqrt(height * width / 16384)))
    sample = np.empty(((height - 4) // step + 1) * ((width - 4) // step + 1))
    n = 0
    for y in range(2, height - 2, step):
        for x in range(2, width - 2, step):
            sample[n] = abs(image[y, x] - _near(image, y, x))
            n += 1
    if not n:
        return 0
    limit, found = _SURE * 1.4826 * np.median(sample[:n]), 0
    for y in range(2, height - 2):
        for x in range(2, width - 2):
            near = _near(image, y, x)
            away = abs(image[y, x] - near)
            if away <= limit + _GAIN * abs(near) or found == out.shape[0]:
                continue
            far = image[y, x - 2] + image[y, x + 2] + image[y - 2, x] + image[y + 2, x]
            if away > _SHARP * abs(image[y, x] - 0.25 * far):
                out[found, 0], out[found, 1] = y, x
                found += 1
    return found


@numba.njit(nogil=True, cache=True)
def _near(image: Array, y: int, x: int) -> float:
    beside = np.float64(image[y, x - 1]) + image[y, x + 1]
    near: float = 0.25 * (beside + image[y - 1, x] + image[y + 1, x])
    return near

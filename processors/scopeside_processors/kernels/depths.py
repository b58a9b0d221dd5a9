"""How deep inside a region each pixel lies: the Euclidean distance transform.

Exact, by lower envelopes of parabolas, columns first, then rows [1]_.

References
----------
.. [1] P. F. Felzenszwalb & D. P. Huttenlocher, Theory of Computing 8, 415 (2012),
   doi:10.4086/toc.2012.v008a019
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@numba.njit(nogil=True, cache=True)
def depth_of(mask: Array) -> Array:
    """Return (height, width) float32: px to the nearest pixel outside, 0 there.

    What lies beyond the array is outside.
    """
    height, width = mask.shape
    squares = np.zeros((height, width + 2))
    for x in range(width):
        far = 0
        for y in range(height):
            far = far + 1 if mask[y, x] else 0
            squares[y, x + 1] = far
        far = 0
        for y in range(height - 1, -1, -1):
            far = far + 1 if mask[y, x] else 0
            squares[y, x + 1] = min(far, squares[y, x + 1]) ** 2
    out = np.zeros((height, width), np.float32)
    at, begins = np.zeros(width + 2, np.int64), np.zeros(width + 3)
    for y in range(height):
        line = squares[y]
        number = _envelope(line, at, begins)
        k = 0
        for x in range(1, width + 1):
            while k < number - 1 and begins[k + 1] < x:
                k += 1
            away = x - at[k]
            out[y, x - 1] = math.sqrt(away * away + line[at[k]])
    return out


@numba.njit(nogil=True, cache=True)
def _envelope(line: Array, at: Array, begins: Array) -> int:
    """Fill in whose parabola is lowest from where on; return how many are."""
    number = 1
    at[0], begins[0] = 0, -np.inf
    for q in range(1, len(line)):
        while True:
            p = at[number - 1]
            meet = (line[q] + q * q - line[p] - p * p) / (2.0 * (q - p))
            if meet > begins[number - 1]:
                break
            number -= 1
        at[number], begins[number] = q, meet
        number += 1
    return number

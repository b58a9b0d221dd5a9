"""A frame over its background, which is known in blocks."""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz", "arcp"})
def ratio(
    frame: Array, offset: float, sign: float, coarse: Array, side: int, out: Array
) -> None:
    """Fill `out` with ``sign * ((frame - offset) / background - 1)``.

    Parameters
    ----------
    frame : (height, width) counts
    offset : counts of a dark pixel
    sign : -1 where particles are dark
    coarse : (rows, columns) float32 background without the offset, above 0, in blocks
        of `side` pixels. Between and beyond their middles it runs straight on, but
        not below half of the block's; so a smooth background has no rim.
    out : (height, width) float32
    """
    height, width = frame.shape
    rows = coarse.shape[0]
    above, below = np.empty(width, np.float32), np.empty(width, np.float32)
    back = np.empty(width, np.float32)
    known = -1
    zero, factor, one = np.float32(offset), np.float32(sign), np.float32(1)
    for y in range(height):
        fy = (y + 0.5) / side - 0.5
        j = min(max(math.floor(fy), 0), max(rows - 2, 0))
        if j != known:
            _stretch(coarse[j], side, above)
            _stretch(coarse[min(j + 1, rows - 1)], side, below)
            known = j
        share = np.float32(fy - j)
        row, to = frame[y], out[y]
        for x in range(width):
            value = above[x] + share * (below[x] - above[x])
            back[x] = max(value, np.float32(0.5) * above[x])
        for x in range(width):
            to[x] = factor * ((np.float32(row[x]) - zero) / back[x] - one)


@numba.njit(nogil=True, cache=True)
def _stretch(blocks: Array, side: int, out: Array) -> None:
    """Fill `out` with a line through the middles of blocks."""
    columns = len(blocks)
    for x in range(len(out)):
        fx = (x + 0.5) / side - 0.5
        i = min(max(math.floor(fx), 0), max(columns - 2, 0))
        right = min(i + 1, columns - 1)
        value = blocks[i] + np.float32(fx - i) * (blocks[right] - blocks[i])
        out[x] = max(value, np.float32(0.5) * blocks[i])

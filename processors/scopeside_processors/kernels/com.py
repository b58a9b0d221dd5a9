"""Sum and first moments of each frame, in one pass over the memory.

A pixel costs two additions and no multiplication. It is added to the sum of its
column and to that of its row. Sums of rows are multiplied by the row at once, those
of columns by the column after `SIDE` rows. They have twice the bits of a pixel:
`SIDE` of the largest still fit. Rows are taken in pairs, as this halves the traffic
of the columns; no loop has a branch, as numba then counts references in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from scopeside_processors.kernels.virtual import as_stored

Array = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

SIDE = 256
"""256 pixels of 255 counts fit 16 bits, of 65535 counts 32 bits; and so on."""
_LOW = 0xFFFFFFFF


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """The pixels that count, cut up for `moments`.

    Attributes
    ----------
    parts
        (m, 3) int64: row, first column, one past the last column, of at most `SIDE`
        pixels.
    bounds
        (2 * blocks + 1,) int64: where in `parts` those of each block of `SIDE` rows
        begin: first its pairs, which also hold the pixels below them in the next
        row, then the single ones.
    """

    parts: IntArray
    bounds: IntArray


def region_of(held: BoolArray) -> Region:
    """Return the pixels that ``held (height, width)`` marks as a region."""
    edge = np.zeros((len(held), 1), np.bool_)
    steps = np.diff(np.hstack([edge, held, edge]).astype(np.int8), axis=1)
    rows, first = np.nonzero(steps == 1)
    stop = np.nonzero(steps == -1)[1]
    found = {
        (row, column, min(column + SIDE, end))
        for row, start, end in zip(
            rows.tolist(), first.tolist(), stop.tolist(), strict=True
        )
        for column in range(start, end, SIDE)
    }
    parts, groups = [], []
    for row, start, end in sorted(found):
        # A pair begins at an even row, so that it lies in one block.
        paired = (row - row % 2, start, end) in found and (row | 1, start, end) in found
        if row % 2 == 0 or not paired:
            parts.append((row, start, end))
            groups.append(2 * (row // SIDE) + (not paired))
    order = np.argsort(groups, kind="stable")
    blocks = -(-len(held) // SIDE)
    return Region(
        np.array(parts, np.int64).reshape(-1, 3)[order],
        np.searchsorted(np.array(groups)[order], np.arange(2 * blocks + 1)),
    )


def pixels_of(region: Region, shape: tuple[int, int]) -> BoolArray:
    """Return the pixels of a region of frames of ``shape (height, width)``."""
    held = np.zeros(shape, np.bool_)
    for group in range(len(region.bounds) - 1):
        for row, first, stop in region.parts[slice(*region.bounds[group : group + 2])]:
            held[row : row + 2 - group % 2, first:stop] = True
    return held


def moments(frames: Array, region: Region) -> tuple[Array, FloatArray]:
    """Return the sum and the first moments of each frame over a region.

    Parameters
    ----------
    frames : (n, height, width), counts, integers or floats
    region : the pixels that count, as `region_of` gives them

    Returns
    -------
    (n,) int64 (float64 of floats) and (n, 2) float64
        Counts; counts times row, and counts times column. Of integers the sums are
        exact (modulo 2**64 if pixels have 8 bytes), and the moments are exact sums
        that are rounded once, where they exceed 2**53. Floats are added in float64,
        in an order that does not depend on the batch.
    """
    frames = as_stored(frames)
    n, _, width = frames.shape
    if frames.dtype.kind == "f":
        sums = np.zeros((n, 3))
        _add_floats(frames, region.parts, region.bounds, sums)
        return sums[:, 0], sums[:, 1:]
    code = frames.dtype.str[1:]
    columns, out = np.zeros(width, _WIDER[code]), np.zeros((n, 5), np.int64)
    _ADD_INTEGERS[code](frames, region.parts, region.bounds, columns, out)
    moment: FloatArray = out[:, 1:3] * np.float64(2**32) + out[:, 3:]
    return out[:, 0], moment


def held_by(region: Region, shape: tuple[int, int]) -> BoolArray:
    """Return the pixels of a region: what `region_of` made it from, (height, width)."""
    held = np.zeros(shape, np.bool_)
    for group in range(len(region.bounds) - 1):
        rows = 2 - group % 2
        part = slice(region.bounds[group], region.bounds[group + 1])
        for row, first, stop in region.parts[part].tolist():
            held[row : row + rows, first:stop] = True
    return held


def reach(frames: Array, region: Region, level: float) -> BoolArray:
    """Return which frames have a pixel of a region with `level` counts or more.

    (n,) bool, of ``frames (n, height, width)``; NaN is never reached.
    """
    frames = as_stored(frames)
    found = np.zeros(len(frames), np.bool_)
    if frames.dtype.kind != "f":
        most = int(np.iinfo(frames.dtype).max)
        if level > most:
            return found
        kind = np.dtype(f"{frames.dtype.kind}8").type
        _reach(frames, region.parts, region.bounds, kind(math.ceil(level)), found)
    else:
        _reach(frames, region.parts, region.bounds, np.float64(level), found)
    return found


@lru_cache
def warm(dtype: np.dtype[Any]) -> None:
    """Compile (or load from the cache) what frames of `dtype` need."""
    nothing, region = np.empty((0, 1, 1), dtype), region_of(np.ones((1, 1), np.bool_))
    moments(nothing, region)
    reach(nothing, region, 1.0)


def _integer_kernel(wider: Any) -> Callable[..., None]:
    """Return the kernel of `moments` that adds pixels in the type `wider`.

    It fills ``out (n, 5)`` with the counts, the upper halves of both moments, and
    their lower halves, 32 bits: moments of large frames exceed 64 bits.
    """

    @numba.njit(nogil=True, cache=True)
    def kernel(
        frames: Array, parts: Array, bounds: Array, columns: Array, out: Array
    ) -> None:
        for f in range(frames.shape[0]):
            counts = np.int64(0)
            y_upper, y_lower = np.int64(0), np.int64(0)
            x_upper, x_lower = np.int64(0), np.int64(0)
            for block in range(0, bounds.size - 1, 2):
                for p in range(bounds[block], bounds[block + 1]):
                    row, first, stop = parts[p, 0], parts[p, 1], parts[p, 2]
                    # In slices no index is negative, so LLVM vectorises.
                    one = frames[f, row][first:stop]
                    other = frames[f, row + 1][first:stop]
                    sums = columns[first:stop]
                    above, below = wider(0), wider(0)
                    for i in range(one.size):
                        upper, lower = wider(one[i]), wider(other[i])
                        above = wider(above + upper)
                        below = wider(below + lower)
                        sums[i] = wider(sums[i] + upper + lower)
                    both = np.int64(above) + np.int64(below)
                    counts += both
                    moment = both * row + np.int64(below)
                    y_upper += moment >> 32
                    y_lower += moment & _LOW
                for p in range(bounds[block + 1], bounds[block + 2]):
                    row, first, stop = parts[p, 0], parts[p, 1], parts[p, 2]
                    one = frames[f, row][first:stop]
                    sums = columns[first:stop]
                    above = wider(0)
                    for i in range(one.size):
                        value = wider(one[i])
                        above = wider(above + value)
                        sums[i] = wider(sums[i] + value)
                    counts += np.int64(above)
                    moment = np.int64(above) * row
                    y_upper += moment >> 32
                    y_lower += moment & _LOW
                for start in range(0, columns.size, SIDE):
                    sums = columns[start : start + SIDE]
                    held, moment = np.int64(0), np.int64(0)
                    for i in range(sums.size):
                        held += np.int64(sums[i])
                        moment += np.int64(sums[i]) * np.int64(i)
                        sums[i] = 0
                    moment += held * start
                    x_upper += moment >> 32
                    x_lower += moment & _LOW
            out[f, 0] = counts
            out[f, 1], out[f, 2] = y_upper, x_upper
            out[f, 3], out[f, 4] = y_lower, x_lower

    compiled: Callable[..., None] = kernel
    return compiled


@numba.njit(nogil=True, cache=True)
def _add_floats(frames: Array, parts: Array, bounds: Array, out: Array) -> None:
    # Each column has a sum and a moment of its own: so the order is fixed, and the
    # loop over the pixels of a row vectorises nevertheless.
    width = frames.shape[2]
    sums, moments = np.empty(width), np.empty(width)
    for f in range(frames.shape[0]):
        sums[:] = 0
        moments[:] = 0
        for group in range(bounds.size - 1):
            for p in range(bounds[group], bounds[group + 1]):
                first, stop = parts[p, 1], parts[p, 2]
                for row in range(parts[p, 0], parts[p, 0] + 2 - group % 2):
                    part = frames[f, row][first:stop]
                    held, weighed = sums[first:stop], moments[first:stop]
                    for i in range(part.size):
                        value = np.float64(part[i])
                        held[i] += value
                        weighed[i] += value * np.float64(row)
        for x in range(width):
            out[f, 0] += sums[x]
            out[f, 1] += moments[x]
            out[f, 2] += sums[x] * np.float64(x)


@numba.njit(nogil=True, cache=True)
def _reach(frames: Array, parts: Array, bounds: Array, level: Any, out: Array) -> None:
    for f in range(frames.shape[0]):
        count = 0
        for group in range(bounds.size - 1):
            for p in range(bounds[group], bounds[group + 1]):
                first, stop = parts[p, 1], parts[p, 2]
                for row in range(parts[p, 0], parts[p, 0] + 2 - group % 2):
                    part = frames[f, row][first:stop]
                    for i in range(part.size):
                        count += part[i] >= level
        out[f] = count > 0


_WIDER = {"u1": "u2", "u2": "u4", "u4": "u8", "u8": "u8"}
_WIDER |= {"i1": "i2", "i2": "i4", "i4": "i8", "i8": "i8"}
_ADD_INTEGERS = {
    code: _integer_kernel(numba.from_dtype(np.dtype(wider)))
    for code, wider in _WIDER.items()
}

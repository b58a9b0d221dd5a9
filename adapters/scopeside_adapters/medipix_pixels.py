"""Turns stored Medipix3 pixels into frames: byte order, raw counters, chips.

Raw (R64): each row of a chip is sent as big-endian 64-bit words in which the pixels
run from the least significant bit up. So with the bytes of a word swapped, the pixels
lie in order: 64 of 1 bit, 8 of 6 (in a byte), 4 of 12 (in two bytes); 24 bit is two
12-bit images, the upper half first. A stored line holds one row of every chip, the
last chip first. Of a 2x2 arrangement the lower chips (3, 4) are turned by 180°.
"""

# ruff: noqa: PLR0917 - a kernel takes flat arrays by position

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from scopeside_adapters.medipix import CHIP, PixelFormat

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


def unpack(
    data: Bytes, starts: IntArray, pixels: PixelFormat, out: Array, *, flip: bool
) -> None:
    """Fill `out` (n, height, width) with frames stored in `data`.

    Parameters
    ----------
    data
        Bytes that hold the stored pixels; (size,).
    starts
        Where each of the ``n`` frames begins in `data`, bytes; all of it is there.
    pixels
        How they are stored.
    out
        Frames of the shape and dtype of `pixels`, C-contiguous.
    flip
        The first stored row becomes the last.
    """
    if pixels.depth == 0:
        _UNSIGNED[pixels.dtype.itemsize](data, starts, out, flip)
        return
    if pixels.gap:
        out.fill(0)
    places = chip_places(pixels)
    if pixels.depth == 24:
        _raw_24(data, starts, pixels.second, places, pixels.lines, out, flip)
    else:
        _RAW[pixels.depth](data, starts, places, pixels.lines, out, flip)


@lru_cache
def chip_places(pixels: PixelFormat) -> IntArray:
    """Return where the chips lie, in the order in which a line holds them.

    (chips, 3): first row, first column, 1 if it is turned by 180°.
    """
    step, below = CHIP + pixels.gap, pixels.lines + pixels.gap
    if pixels.rows == 2:
        rows = [(below, step, 1), (below, 0, 1), (0, step, 0), (0, 0, 0)]
    else:
        rows = [(0, k * step, 0) for k in reversed(range(pixels.columns))]
    return np.array(rows, np.int64)


@lru_cache
def warm(pixels: PixelFormat) -> None:
    """Compile (or load from the cache) what `pixels` needs."""
    data = np.zeros(0, np.uint8)
    out = np.zeros((0, *pixels.frame_shape), pixels.dtype)
    unpack(data, np.zeros(0, np.int64), pixels, out, flip=True)


def warm_all() -> None:
    """Compile (or load from the cache) what any Medipix3 may send."""
    for size in _UNSIGNED:
        warm(PixelFormat(0, np.dtype(f"<u{size}"), (1, 1), size))
    for depth, size in ((1, 1), (6, 1), (12, 2), (24, 4)):
        warm(PixelFormat(depth, np.dtype(f"<u{size}"), (1, CHIP), 0))


@numba.njit(nogil=True, cache=True)
def _bytes(data: Bytes, starts: IntArray, out: Array, flip: bool) -> None:
    n, height, width = out.shape
    for f in range(n):
        for y in range(height):
            source = data[starts[f] + y * width :]
            row = out[f, height - 1 - y if flip else y]
            for x in range(width):
                row[x] = source[x]


@numba.njit(nogil=True, cache=True)
def _words(data: Bytes, starts: IntArray, out: Array, flip: bool) -> None:
    n, height, width = out.shape
    for f in range(n):
        for y in range(height):
            source = data[starts[f] + y * width * 2 :]
            row = out[f, height - 1 - y if flip else y]
            for x in range(width):
                row[x] = np.uint16(source[2 * x]) << 8 | source[2 * x + 1]


@numba.njit(nogil=True, cache=True)
def _double_words(data: Bytes, starts: IntArray, out: Array, flip: bool) -> None:
    n, height, width = out.shape
    for f in range(n):
        for y in range(height):
            source = data[starts[f] + y * width * 4 :]
            row = out[f, height - 1 - y if flip else y]
            for x in range(width):
                row[x] = (
                    np.uint32(source[4 * x]) << 24
                    | np.uint32(source[4 * x + 1]) << 16
                    | np.uint32(source[4 * x + 2]) << 8
                    | np.uint32(source[4 * x + 3])
                )


@numba.njit(nogil=True, cache=True)
def _quad_words(data: Bytes, starts: IntArray, out: Array, flip: bool) -> None:
    n, height, width = out.shape
    for f in range(n):
        for y in range(height):
            source = data[starts[f] + y * width * 8 :]
            row = out[f, height - 1 - y if flip else y]
            for x in range(width):
                value = np.uint64(0)
                for k in range(8):
                    value = value << np.uint64(8) | np.uint64(source[8 * x + k])
                row[x] = value


@numba.njit(nogil=True, cache=True)
def _raw_1(
    data: Bytes, starts: IntArray, places: IntArray, lines: int, out: Array, flip: bool
) -> None:
    size, chips, height = CHIP // 8, len(places), out.shape[1]
    for f in range(len(starts)):
        for y in range(lines):
            for c in range(chips):
                at = starts[f] + (y * chips + c) * size
                source = data[at : at + size]
                turned = places[c, 2]
                to = places[c, 0] + (lines - 1 - y if turned else y)
                row = out[f, height - 1 - to if flip else to]
                row = row[places[c, 1] : places[c, 1] + CHIP]
                for w in range(0, size, 8):
                    for k in range(8):
                        byte = source[w + 7 - k]
                        at = (w + k) * 8
                        if turned:
                            for i in range(8):
                                row[CHIP - 1 - at - i] = (byte >> i) & 1
                        else:
                            for i in range(8):
                                row[at + i] = (byte >> i) & 1


@numba.njit(nogil=True, cache=True)
def _raw_6(
    data: Bytes, starts: IntArray, places: IntArray, lines: int, out: Array, flip: bool
) -> None:
    chips, height = len(places), out.shape[1]
    for f in range(len(starts)):
        for y in range(lines):
            for c in range(chips):
                at = starts[f] + (y * chips + c) * CHIP
                source = data[at : at + CHIP]
                turned = places[c, 2]
                to = places[c, 0] + (lines - 1 - y if turned else y)
                row = out[f, height - 1 - to if flip else to]
                row = row[places[c, 1] : places[c, 1] + CHIP]
                for w in range(0, CHIP, 8):
                    if turned:
                        for k in range(8):
                            row[CHIP - 8 - w + k] = source[w + k]
                    else:
                        for k in range(8):
                            row[w + k] = source[w + 7 - k]


@numba.njit(nogil=True, cache=True)
def _add_12(
    data: Bytes,
    start: int,
    places: IntArray,
    lines: int,
    frame: Array,
    flip: bool,
    shift: int,
) -> None:
    """Set `frame` to a 12-bit image, or shift what it holds by 12 and add that."""
    size, chips, height = 2 * CHIP, len(places), frame.shape[0]
    for y in range(lines):
        for c in range(chips):
            at = start + (y * chips + c) * size
            source = data[at : at + size]
            turned = places[c, 2]
            to = places[c, 0] + (lines - 1 - y if turned else y)
            row = frame[height - 1 - to if flip else to]
            row = row[places[c, 1] : places[c, 1] + CHIP]
            for w in range(0, CHIP, 4):
                for k in range(4):
                    at = 2 * w + 6 - 2 * k
                    value = np.uint16(source[at]) << 8 | source[at + 1]
                    x = CHIP - 1 - w - k if turned else w + k
                    if shift:
                        row[x] = (row[x] << shift) + value
                    else:
                        row[x] = value


@numba.njit(nogil=True, cache=True)
def _raw_12(
    data: Bytes, starts: IntArray, places: IntArray, lines: int, out: Array, flip: bool
) -> None:
    for f in range(len(starts)):
        _add_12(data, starts[f], places, lines, out[f], flip, 0)


@numba.njit(nogil=True, cache=True)
def _raw_24(
    data: Bytes,
    starts: IntArray,
    second: int,
    places: IntArray,
    lines: int,
    out: Array,
    flip: bool,
) -> None:
    for f in range(len(starts)):
        _add_12(data, starts[f], places, lines, out[f], flip, 0)
        _add_12(data, starts[f] + second, places, lines, out[f], flip, 12)


_UNSIGNED = {1: _bytes, 2: _words, 4: _double_words, 8: _quad_words}
_RAW = {1: _raw_1, 6: _raw_6, 12: _raw_12}

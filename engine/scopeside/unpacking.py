"""Compiled loops over the frames of a `PackedBatch`."""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np
import numpy.typing as npt

from scopeside.bitshuffle import (
    HEADER,
    MOST_BLOCK,
    big_endian,
    block_bytes,
    unpack_frame,
)
from scopeside.lz4 import SPARE, size_of

if TYPE_CHECKING:
    from scopeside.packed import PackedBatch

Array = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]


def unpack(batch: PackedBatch, first: int, room: Array) -> int:
    """Unpack frames from `first` on into ``room (n, height, width)``.

    Returns the place of the first that is no packed frame, -1 where all are.
    """
    size = room.shape[1] * room.shape[2] * room.itemsize
    frames = room.view(np.uint8).reshape(len(room), size)
    scratch = np.empty(MOST_BLOCK + SPARE, np.uint8)
    item = batch.dtype.itemsize
    part = slice(first, first + len(room))
    bounds = batch.bounds[first : first + len(room) + 1]
    wrong = int(
        _unpack(as_read(batch.data), bounds, batch.plain[part], item, scratch, frames)
    )
    return wrong if wrong < 0 else first + wrong


def whole(data: Array, bounds: Array, frame_bytes: int, itemsize: int) -> BoolArray:
    """Return which of the packed frames ``data[bounds[k]:bounds[k + 1]]`` are such.

    Nothing is unpacked; what this accepts can be unpacked.
    """
    out = np.empty(len(bounds) - 1, np.bool_)
    _check(as_read(data), bounds, frame_bytes, itemsize, out)
    return out


def as_read(data: Array) -> Array:
    """Return `data` as kernels take it: read-only, so that they are compiled once."""
    view = data.view()
    view.flags.writeable = False
    return view


def warm() -> None:
    """Compile (or load from the cache) what packed frames need."""
    nothing = np.zeros(1, np.int64)
    scratch = np.empty(SPARE, np.uint8)
    data = as_read(np.empty(0, np.uint8))
    frames = np.empty((0, 8), np.uint8)
    _unpack(data, nothing, np.empty(0, np.bool_), 1, scratch, frames)
    _check(data, nothing, 8, 1, np.empty(0, np.bool_))


@numba.njit(nogil=True, cache=True)
def _unpack(
    data: Array, bounds: Array, plain: Array, itemsize: int, scratch: Array, out: Array
) -> int:
    for f in range(len(out)):
        at, end = bounds[f], bounds[f + 1]
        if plain[f]:
            if end - at < out.shape[1]:
                return f
            out[f] = data[at : at + out.shape[1]]
        elif not unpack_frame(data, at, end, itemsize, scratch, out[f]):
            return f
    return -1


@numba.njit(nogil=True, cache=True)
def _check(
    data: Array, bounds: Array, frame_bytes: int, itemsize: int, out: Array
) -> None:
    blocks = frame_bytes // (8 * itemsize) * (8 * itemsize)
    for f in range(out.size):
        at, end = bounds[f], bounds[f + 1]
        size = block_bytes(data, at, end, frame_bytes, itemsize)
        at += HEADER
        done = 0
        out[f] = size > 0
        while out[f] and done < blocks:
            wanted = min(size, blocks - done)
            coded = big_endian(data, at, 4) if end - at >= 4 else end
            at += 4
            if coded > end - at or (
                size_of(data.ctypes.data + at, coded, wanted) != wanted
            ):
                out[f] = False
            at += coded
            done += wanted
        out[f] = out[f] and end - at >= frame_bytes - blocks

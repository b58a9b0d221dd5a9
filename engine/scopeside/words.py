"""Compiled loops over the words of events; `scopeside.events` says what a word is.

They change arrays in place and never reach outside of them, whatever a word says.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

Array = npt.NDArray[Any]

_PLACE = np.uint64(40)
_VALUE = np.uint64(24)
_VALUES = np.uint64(0xFFFF)
_ADDRESSES = np.uint64(0xFFFFFF)


def as_read(words: Array) -> Array:
    """Return `words` as every kernel reads them: in one piece, read-only.

    Numba compiles anew for each kind of memory; this keeps it to one.
    """
    view = np.ascontiguousarray(words).view()
    view.flags.writeable = False
    return view


@lru_cache
def warm(dtype: np.dtype[Any]) -> None:
    """Compile (or load from the cache) what events of `dtype` need."""
    none, place = np.empty(0, np.uint64), np.empty(0, np.int64)
    bad(as_read(none), 1, 1)
    keep_good(none, 1, 1)
    renumber(none, place)
    sort(as_read(none), np.zeros(1, np.int64), none)
    fill(as_read(none), 0, np.empty((0, 1), dtype), 1)


@intrinsic
def _prefetch(_context: Any, array: Any, at: Any) -> Any:
    """Have the line of memory at ``array[at]`` fetched; `at` may lie beyond the end."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = ir.IntType(8).as_pointer()
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        call = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        address = builder.bitcast(builder.gep(values.data, [arguments[1]]), pointer)
        # To read, to be kept in all caches, data.
        builder.call(call, [address, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, at), generate


@njit(nogil=True, cache=True)
def fetch_ahead(words: Array, i: int) -> None:
    """Have the words fetched that a loop which is at `i` will come to.

    Where a loop reads words in a row and other memory here and there, the processor
    does not see the row: from memory it then reads 280 million words a second, and
    650 million with this.
    """
    if i % 8 == 0:
        _prefetch(words, i + 512)  # type: ignore[call-arg] # numba gives the context


@njit(nogil=True, cache=True)
def bad(words: Array, frames: int, pixels: int) -> int:
    """Return how many words lie outside of so many frames of so many pixels."""
    beyond, size = np.uint64(frames), np.uint64(pixels)
    found = np.uint64(0)
    for i in range(words.size):
        outside = ((words[i] >> _PLACE) >= beyond) | ((words[i] & _ADDRESSES) >= size)
        found += np.uint64(outside)
    return int(found)


@njit(nogil=True, cache=True)
def keep_good(words: Array, frames: int, pixels: int) -> int:
    """Move the words that are not `bad` to the front; return how many there are."""
    beyond, size = np.uint64(frames), np.uint64(pixels)
    kept = 0
    for i in range(words.size):
        word = words[i]
        if (word >> _PLACE) < beyond and (word & _ADDRESSES) < size:
            words[kept] = word
            kept += 1
    return kept


@njit(nogil=True, cache=True)
def renumber(words: Array, place: Array) -> int:
    """Give each frame k the place ``place[k]``, and leave out those below 0.

    The words that stay are moved to the front; returns how many there are.
    """
    kept = 0
    for i in range(words.size):
        fetch_ahead(words, i)
        found = place[np.int64(words[i] >> _PLACE)]
        if found >= 0:
            rest = words[i] & ((np.uint64(1) << _PLACE) - np.uint64(1))
            words[kept] = (np.uint64(found) << _PLACE) | rest
            kept += 1
    return kept


@njit(nogil=True, cache=True)
def sort(words: Array, starts: Array, out: Array) -> None:
    """Put `words` in the order of their frames, as they came within a frame.

    ``starts (frames + 1,)`` int64 says where in `out` each frame begins and the last
    one ends. Words of frames that are not there are left out: `out` (as long as
    `words`) is filled up to ``starts[-1]``.
    """
    frames = np.uint64(starts.size - 1)
    starts[:] = 0
    for i in range(words.size):
        place = words[i] >> _PLACE
        if place < frames:
            starts[np.int64(place) + 1] += 1
    for k in range(1, starts.size):
        starts[k] += starts[k - 1]
    for i in range(words.size):
        fetch_ahead(words, i)
        place = words[i] >> _PLACE
        if place < frames:
            at = np.int64(place)
            out[starts[at]] = words[i]
            starts[at] += 1
    for k in range(starts.size - 1, 0, -1):
        starts[k] = starts[k - 1]
    starts[0] = 0


@njit(nogil=True, cache=True)
def fill(words: Array, first: int, frames: Array, most: int) -> None:
    """Add events to ``frames (n, pixels)``, integers; none gets above `most`.

    The frames are those from place `first` on; other events are left out.
    """
    start, beyond = np.uint64(first), np.uint64(frames.shape[0])
    size = np.uint64(frames.shape[1])
    for i in range(words.size):
        fetch_ahead(words, i)
        place = (words[i] >> _PLACE) - start  # wraps around where it is before
        address = words[i] & _ADDRESSES
        if place < beyond and address < size:
            at, pixel = np.int64(place), np.int64(address)
            value = np.int64((words[i] >> _VALUE) & _VALUES)
            frames[at, pixel] = min(np.int64(frames[at, pixel]) + value, most)

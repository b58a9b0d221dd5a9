"""What can be seen of a frame in one pass over its pixels.

Rows are taken one after another and each column has accumulators of its own, so that
the loop over a row vectorises and the order of all sums is fixed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from scopeside_processors.kernels.virtual import as_stored

Array = npt.NDArray[Any]

_ODD = np.uint32(0x9E3779B1)
_FOLD = np.uint64(0x9FB21C651E98DF25)
_TOTALS = 6
_EVERY = 4
"""Roughness is that of one row in so many."""


class Inspection(NamedTuple):
    """What a frame shows at a glance.

    Attributes
    ----------
    total
        Sum of the pixels, counts; integers of 1, 2 and 4 bytes are exact to 2**53.
    capped
        Sum of the pixels, where those above the cap count as the cap.
    largest
        The largest pixel that is a finite number; -inf if there is none.
    full
        Number of pixels that reach the level at which they are full.
    broken
        Number of pixels that are NaN or infinite.
    roughness
        Mean absolute difference of neighbours in a row, both capped, counts; of every
        fourth row, as it is but a measure of noise and contrast.
    fingerprint
        Of all bits of the frame and their places, 64 bits, not negative.
    """

    total: float
    capped: float
    largest: float
    full: int
    broken: int
    roughness: float
    fingerprint: int


def inspect(frame: Array, cap: float, full: float) -> Inspection:
    """Return what ``frame (height, width)`` of any real dtype shows.

    Parameters
    ----------
    frame : counts
    cap : counts; a pixel above it counts as `cap` in `capped` and `roughness`
    full : counts from which a pixel is full

    Notes
    -----
    The fingerprint is, in each column of words of 32 bits, a polynomial in the words
    modulo 2**32 with an odd base, and one modulo 2**64 in the columns: frames that
    differ in one word of a column always differ in it.
    """
    frame = as_stored(frame)
    bits = _words(frame)
    totals = np.zeros(_TOTALS)
    if frame.dtype.kind == "f":
        mark = _floats(frame, bits, float(cap), float(full), totals)
    else:
        range_ = np.iinfo(frame.dtype)
        lid = _within(np.floor(cap), range_)
        level = _within(np.ceil(full), range_)
        kind, byte = frame.dtype.kind, frame.dtype.itemsize
        wide = np.zeros(1, f"{kind}{4 if byte <= 2 else 8}")
        levels = np.array([lid, level], frame.dtype)
        mark = _integers(frame, bits, levels, wide, totals)
        if full > range_.max:
            totals[3] = 0.0
    total, capped, largest, count, broken, rough = totals.tolist()
    return Inspection(
        total,
        capped,
        largest,
        int(count),
        int(broken),
        rough / max(1, -(-len(frame) // _EVERY) * (frame.shape[1] - 1)),
        int(mark),
    )


def _words(frame: Array) -> Array:
    """Return the bits of a frame in words, of 4 bytes if rows can be cut into them."""
    _, width, byte = *frame.shape, frame.dtype.itemsize
    return frame.view("u4" if byte < 4 and width * byte % 4 == 0 else f"u{byte}")


def _within(value: float, range_: Any) -> int:
    """Return `value` as a whole number that the dtype of `range_` holds."""
    if value >= float(range_.max):
        return int(range_.max)
    return max(int(value), int(range_.min))


@lru_cache
def warm(dtype: np.dtype[Any]) -> None:
    """Compile (or load from the cache) what frames of `dtype` need."""
    for width in (3, 4):  # in words of one pixel, and of several
        inspect(np.zeros((1, width), dtype), 1.0, 1.0)


@numba.njit(nogil=True, cache=True)
def _integers(
    frame: Array, bits: Array, levels: Array, wide: Array, totals: Array
) -> Any:
    """Fill `totals`; the sum of a row has the type of `wide`, which holds it."""
    kind = wide.dtype.type
    cap, full = levels[0], levels[1]
    mixed = np.zeros(bits.shape[1], np.uint32)
    highest = frame[0, 0]
    filled = np.int64(0)
    for y in range(frame.shape[0]):
        row, word = frame[y], bits[y]
        total, capped = kind(0), kind(0)
        count = np.uint32(0)
        for x in range(row.size):
            value = row[x]
            total = kind(total + kind(value))
            capped = kind(capped + kind(min(value, cap)))
            highest = max(highest, value)
            count = np.uint32(count + np.uint32(value >= full))
        if y % _EVERY == 0:
            totals[5] += np.float64(_roughness(row, cap, kind))
        _mix(mixed, word)
        totals[0] += np.float64(total)
        totals[1] += np.float64(capped)
        filled += np.int64(count)
    totals[2] = np.float64(highest)
    totals[3] = np.float64(filled)
    return _folded(mixed)


@numba.njit(nogil=True, cache=True)
def _roughness(row: Array, cap: Any, kind: Any) -> Any:
    # Of two slices, so that no index is in doubt and the loop vectorises.
    left, right = row[:-1], row[1:]
    rough = kind(0)
    for x in range(left.size):
        one, other = min(left[x], cap), min(right[x], cap)
        rough = kind(rough + kind(max(one, other)) - kind(min(one, other)))
    return rough


@numba.njit(nogil=True, cache=True)
def _mix(mixed: Array, word: Array) -> None:
    for x in range(word.size):
        bits = word[x]
        low = np.uint32(bits & np.uint64(0xFFFFFFFF))
        high = np.uint32(np.uint64(bits) >> np.uint64(32))
        mixed[x] = np.uint32(np.uint32(mixed[x] + high) * _ODD) + low


@numba.njit(nogil=True, cache=True)
def _folded(mixed: Array) -> Any:
    found = np.uint64(mixed.size)
    for x in range(mixed.size):
        found = np.uint64(np.uint64(found ^ np.uint64(mixed[x])) * _FOLD)
        found = np.uint64(found ^ (found >> np.uint64(29)))
    return found >> np.uint64(1)


@numba.njit(nogil=True, cache=True)
def _floats(frame: Array, bits: Array, cap: Any, full: Any, totals: Array) -> Any:
    """Fill `totals`; pixels that are not finite are counted and left out."""
    width = frame.shape[1]
    mixed = np.zeros(bits.shape[1], np.uint32)
    sums, lids = np.zeros(width), np.zeros(width)
    rough, lid = np.zeros(width), np.zeros(width)
    highest = np.full(width, -np.inf)
    filled, broken = 0, 0
    for y in range(frame.shape[0]):
        row = frame[y]
        for x in range(width):
            value = np.float64(row[x])
            finite = abs(value) < np.inf
            value = value if finite else np.float64(0.0)
            lid[x] = min(value, cap)
            sums[x] += value
            lids[x] += lid[x]
            highest[x] = value if finite and value > highest[x] else highest[x]
            filled += value >= full
            broken += not finite
        if y % _EVERY == 0:
            for x in range(1, width):
                rough[x] += abs(lid[x] - lid[x - 1])
        _mix(mixed, bits[y])
    for x in range(width):
        totals[0] += sums[x]
        totals[1] += lids[x]
        totals[2] = highest[x] if x == 0 else max(totals[2], highest[x])
        totals[5] += rough[x]
    totals[3], totals[4] = np.float64(filled), np.float64(broken)
    return _folded(mixed)

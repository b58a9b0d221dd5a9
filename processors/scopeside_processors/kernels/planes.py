"""Sums over regions, and first moments, of frames that are still packed.

Bitshuffle lays the lowest bits of all pixels of a block side by side, then the next
bits, and so on: planes, one bit a pixel (`scopeside.bitshuffle`). The sum over a region
is then that of 2ᵇ · (bits of plane b that the region holds), and no pixel is ever made.
Planes that are empty, as the high ones of sparse patterns are, cost nothing.

Pixel i, counted along the rows, is bit i % 64 of word i // 64. The sum of i over all
counts is that of 64 · word, from the bits that each word holds, and of the bit's place
in its word. For the latter all words of a frame are added up, place by place, in
*counters* that hold one binary digit of 512 sums in each row: adding eight rows of
eight words takes seven full adders, and the six kinds of bits in a place's number are
counted once a frame. The column follows from i and the row.
"""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from scopeside.bitshuffle import HEADER, block_bytes, planes_of
from scopeside.lz4 import SPARE
from scopeside.packed import PackedBatch
from scopeside.unpacking import as_read
from scopeside_processors.kernels.bits import add_rows, carry_on, count

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]
WordArray = npt.NDArray[np.uint64]

USUAL_BLOCK = 8192
"""Bytes of a block that detectors and files use."""
_DONE, _BROKEN, _OTHER = 0, 1, 2
_ROW = 64
"""Words that `add_rows` takes up."""
_SURELY = 8
"""Until so many digits up there is nearly always something to carry on."""


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """Labelled pixels, cut up for `sum_planes`.

    Attributes
    ----------
    masks
        (labels, words) uint64: the pixels of each label.
    spans
        (blocks, labels, 3) int64: which labels a block holds, and the first and one
        past the last of its words that do; the first entry with no words ends them.
    row
        (words,) int64: in which row a word begins.
    below
        (words,) uint64: its pixels that lie in the next row.
    shape, itemsize
        (height, width) of the frames, and bytes of a pixel.
    """

    masks: WordArray
    spans: IntArray
    row: IntArray
    below: WordArray
    shape: tuple[int, int]
    itemsize: int


def takes(shape: tuple[int, int], dtype: np.dtype[Any]) -> bool:
    """Return whether packed frames can be summed as they are.

    They have whole words of pixels, and a word reaches into two rows at most.
    """
    unsigned = dtype.kind == "u" and dtype.itemsize <= 4
    return unsigned and shape[0] * shape[1] % 64 == 0 and shape[1] >= 64


def planes_of_labels(
    label: IntArray, labels: int, shape: tuple[int, int], itemsize: int
) -> Planes:
    """Return pixels that bear ``label (pixels,)``, -1 for none, cut up."""
    words = len(label) // 64
    masks = np.empty((labels, words), np.uint64)
    for one in range(labels):
        masks[one] = _words(label == one)
    size = USUAL_BLOCK // itemsize // 64
    blocks = -(-masks.shape[1] // size)
    spans = np.zeros((blocks, labels + 1, 3), np.int64)
    for block in range(blocks):
        part = masks[:, block * size : (block + 1) * size]
        for k, which in enumerate(np.flatnonzero(part.any(axis=1))):
            held = np.flatnonzero(part[which])
            spans[block, k] = which, held[0], held[-1] + 1
    row = np.arange(len(label)) // shape[1]
    first = row[::64]
    below = _words(row > np.repeat(first, 64))
    return Planes(masks, spans, first, below, shape, itemsize)


def sum_planes(batch: PackedBatch, planes: Planes) -> tuple[IntArray, IntArray, Array]:
    """Return sums and moments of the frames of a batch.

    Returns
    -------
    (n, labels) int64, (n, 3) int64 and (n,) bool
        Counts of each label; all counts, and times row and column; which frames are
        packed otherwise than usual, so that they have to be unpacked. Exact.

    Raises
    ------
    ShapeError
        If a frame is no packed frame.
    """
    n, labels = len(batch), len(planes.masks)
    sums, moments = np.zeros((n, labels), np.int64), np.zeros((n, 3), np.int64)
    state = np.zeros(n, np.int64)
    words = len(planes.row)
    # Digits of the largest sum: of a pixel's bits, and of the rows of eight words.
    digits = 8 * planes.itemsize + int(words // 8 + 1).bit_length() + 1
    scratch = np.empty((USUAL_BLOCK + SPARE) // 8, np.uint64)
    room = np.zeros((2, USUAL_BLOCK // planes.itemsize // 64), np.uint64)
    counters = np.zeros((digits, 8), np.uint64)
    _sum(
        as_read(batch.data),
        batch.bounds,
        batch.plain,
        planes.itemsize,
        planes.shape[0] * planes.shape[1] * planes.itemsize,
        scratch,
        planes.masks,
        planes.spans,
        planes.row,
        planes.below,
        bool(planes.below.any()),
        room,
        counters,
        np.zeros(8, np.uint64),
        sums,
        moments,
        state,
    )
    broken = np.flatnonzero(state == _BROKEN)
    if len(broken):
        batch.dense(int(broken[0]), int(broken[0]) + 1)  # it says what is wrong
    moments[:, 2] -= planes.shape[1] * moments[:, 1]
    return sums, moments, state == _OTHER


def warm() -> None:
    """Compile (or load from the cache) what `sum_planes` needs."""
    nothing = np.empty(0, np.int64)
    words = np.zeros((1 + 2), np.uint64)
    about = PackedBatch(words[:0], nothing, nothing, (64, 64), np.dtype("u1"))
    label = np.zeros(64 * 64, np.int64)
    sum_planes(about, planes_of_labels(label, 1, (64, 64), 1))


def _words(held: npt.NDArray[np.bool_]) -> WordArray:
    return np.packbits(held, bitorder="little").view(np.uint64)


@numba.njit(nogil=True, cache=True)
def _sum(
    data: Array,
    bounds: Array,
    plain: Array,
    itemsize: int,
    frame_bytes: int,
    scratch: Array,
    masks: Array,
    spans: Array,
    row: Array,
    below: Array,
    straddles: bool,
    room: Array,
    counters: Array,
    carry: Array,
    sums: Array,
    moments: Array,
    state: Array,
) -> None:
    as_bytes = scratch.view(np.uint8)
    for f in range(len(state)):
        at, end = bounds[f], bounds[f + 1]
        size = 0 if plain[f] else block_bytes(data, at, end, frame_bytes, itemsize)
        if size != USUAL_BLOCK:
            state[f] = _BROKEN if size < 0 else _OTHER
            continue
        at += HEADER
        word = 0
        counters[:] = 0
        for block in range(len(spans)):
            wanted = min(size, frame_bytes - block * size)
            at = planes_of(data, at, end, as_bytes, wanted)
            if at < 0:
                state[f] = _BROKEN
                break
            words = wanted // itemsize // 64
            room[:, :words] = 0
            for bit in range(8 * itemsize):
                plane = scratch[bit * words : (bit + 1) * words]
                if not _holds(plane):
                    continue
                shift = np.uint64(bit)
                for k in range(spans.shape[1]):
                    one, lo, hi = spans[block, k]
                    if hi == 0:
                        break
                    part = masks[one, word + lo : word + hi]
                    sums[f, one] += np.int64(_held(plane[lo:hi], part) << shift)
                _add_held(plane, shift, room[0])
                if straddles:
                    part = below[word : word + words]
                    _add_held_of(plane, part, shift, room[1])
                _add_places(plane, bit, counters, carry)
            for i in range(words):
                total, lower = np.int64(room[0, i]), np.int64(room[1, i])
                moments[f, 0] += total
                moments[f, 1] += total * row[word + i] + lower
                moments[f, 2] += total * (64 * (word + i))
            word += words
        moments[f, 2] += _places(counters)


@numba.njit(nogil=True, cache=True)
def _holds(plane: Array) -> bool:
    some = np.uint64(0)
    for i in range(plane.size):
        some |= plane[i]
    return bool(some != 0)


@numba.njit(nogil=True, cache=True)
def _held(plane: Array, mask: Array) -> Any:
    found = np.uint64(0)
    for i in range(plane.size):
        found += count(plane[i] & mask[i])
    return found


@numba.njit(nogil=True, cache=True)
def _add_held(plane: Array, shift: Any, held: Array) -> None:
    for i in range(plane.size):
        held[i] += count(plane[i]) << shift


@numba.njit(nogil=True, cache=True)
def _add_held_of(plane: Array, mask: Array, shift: Any, held: Array) -> None:
    for i in range(plane.size):
        held[i] += count(plane[i] & mask[i]) << shift


@numba.njit(nogil=True, cache=True)
def _add_places(plane: Array, bit: int, counters: Array, carry: Array) -> None:
    """Add the words of a plane, times 2^bit, to the counters."""
    from_plane = np.uintp(plane.ctypes.data)
    to_counters, to_carry = np.uintp(counters.ctypes.data), np.uintp(carry.ctypes.data)
    rows = plane.size // _ROW * _ROW
    for i in range(0, rows, _ROW):
        first = to_counters + np.uintp(64 * bit)
        add_rows(from_plane + np.uintp(8 * i), first, to_carry)
        for digit in range(bit + 3, len(counters)):
            if digit > bit + _SURELY and not _holds(carry):
                break
            carry_on(to_counters + np.uintp(64 * digit), to_carry)
    for i in range(rows, plane.size):
        rest, digit = plane[i], bit
        while rest != 0:
            held = counters[digit, i & 7]
            counters[digit, i & 7] = held ^ rest
            rest &= held
            digit += 1


@numba.njit(nogil=True, cache=True)
def _places(counters: Array) -> Any:
    """Return the sum of the places of all bits that were added."""
    found: Any = np.int64(0)
    for digit in range(len(counters)):
        shift = np.uint64(digit)
        for j in range(8):
            word = counters[digit, j]
            places: Any = count(word & np.uint64(0xAAAAAAAAAAAAAAAA))
            places += count(word & np.uint64(0xCCCCCCCCCCCCCCCC)) << np.uint64(1)
            places += count(word & np.uint64(0xF0F0F0F0F0F0F0F0)) << np.uint64(2)
            places += count(word & np.uint64(0xFF00FF00FF00FF00)) << np.uint64(3)
            places += count(word & np.uint64(0xFFFF0000FFFF0000)) << np.uint64(4)
            places += count(word & np.uint64(0xFFFFFFFF00000000)) << np.uint64(5)
            found += np.int64(places << shift)
    return found

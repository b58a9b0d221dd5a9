"""The fused pass in vectors of 64 bytes: what `kernels.fused` does with AVX-512.

The pixels of a frame, one row after the other, are cut into *blocks* of 64 bytes,
whatever the rows. Pixel i lies in lane i - L b of block b, if L pixels fit a block;
hence, with S_b the sum of the pixels of block b,

    sum of v i = L (sum over blocks of b S_b) + (sum over pixels of lane times v).

The sum so far, added up after each block, gives the sum of b S_b without a weight.
Added up after each row it gives the first moment of rows, but for the pixels of a
row's last block that lie in the next row: those are added once more. From both follows
the moment of columns. So odd widths cost no more than others.

Each label has a list of the blocks that hold its pixels, behind a mask. What it comes
to stays in registers. A *segment*, some rows of `FRAMES` frames, is small enough to
stay in the first-level cache from the moments to the last of the labels: the memory is
read once, and more labels cost what their blocks cost in that cache.

Pixels of 16 bits without a sign are weighed as if they had one. Where some exceed 32767
the highest bit is turned over, which takes 2**15 off each; how many there are is known.
Pixels of 32 bits are taken as two of 16 bits, with labels and regions of their own.
"""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from scopeside_processors.kernels.vectors import (
    BLOCK,
    FRAMES,
    add,
    add_product,
    any_high,
    either,
    flip,
    load,
    load_frames,
    prefetch,
    put,
    take,
    totals,
    where,
    zeros,
)

Array = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
BitArray = npt.NDArray[np.uint64]

TAKEN = ("u1", "i1", "u2", "i2", "u4")
"""Pixels that can be summed so."""
MOST_PIXELS = 1 << 23
"""Beyond, first moments could exceed 64 bits."""
_WEIGHED_AS = {"u4": np.dtype("u2")}
TURNED = {"i1": -128, "u2": 32768, "u4": 32768}
"""What turning over the highest bit takes off a pixel."""
_SEGMENT = 64
"""Blocks in a segment, if a row has no more: 16 KiB of four frames."""
_MOST = 255
"""With more, sums of sums could exceed 32 bits: 255 * 256 / 2 times 2**16."""
_FLUSHED = 1 << 14
"""Blocks after which labels are handed on; lanes of twice as many could overflow."""
_AHEAD = np.uint64(2048)
"""Bytes that are asked for before they are needed."""
_NEXT = np.uint64(1)
_PAIR = np.uint64(2)


class Cut(NamedTuple):
    """Labels and regions cut into blocks.

    Attributes
    ----------
    rows
        (height + 1,) uint64: the first of the blocks that begin in each row.
    segments
        (s + 1,) int64: the first row of each segment.
    inside, beyond
        (regions, blocks) and (regions, height) uint64: a bit for each pixel of a block
        that lies in the region; those of a row's last block that lie in the next row.
    at, mask
        (m,) uint64: where a block begins, bytes from the first pixel, and a bit for
        each of its pixels that counts; label by label in each segment, two and two.
    parts, bounds
        (g + 1,) uint64 and (s + 1,) int64: where in `at` each label begins, and which
        of these parts belong to a segment.
    label, pixels
        (g,) int64: whose part it is, and how many pixels it has.
    ramp
        (2 L - 1,) integers of the size of a pixel: 1 - L to L - 1.
    """

    rows: BitArray
    segments: IntArray
    inside: BitArray
    beyond: BitArray
    at: BitArray
    mask: BitArray
    parts: BitArray
    bounds: IntArray
    label: IntArray
    pixels: IntArray
    ramp: Array


def takes(dtype: np.dtype[Any], shape: tuple[int, int]) -> bool:
    """Return whether frames of ``shape (height, width)`` can be summed in bundles."""
    row = shape[1] * dtype.itemsize
    wide = BLOCK <= row <= (_MOST - 1) * BLOCK
    return wide and shape[0] * shape[1] <= MOST_PIXELS and dtype.str[1:] in TAKEN


def halved(pixels: Array, none: int) -> Array:
    """Return pixels of 32 bits, (…, height, width), as two of 16 bits each.

    (2, …, height, 2 width): those of the low halves, `none` in place of the high ones;
    and those of the high halves.
    """
    both = np.full((2, *pixels.shape, 2), none, pixels.dtype)
    both[0, ..., 0] = pixels
    both[1, ..., 1] = pixels
    halves: Array = both.reshape(2, *pixels.shape[:-1], 2 * pixels.shape[-1])
    return halves


def cut_of(label: IntArray, regions: BoolArray, itemsize: int) -> Cut:
    """Return labels and regions cut into blocks.

    Parameters
    ----------
    label : (height, width), 0 and up, -1 for none
    regions : (regions, height, width)
    itemsize : the size of a pixel, bytes: 1 or 2
    """
    height, width = label.shape
    lanes = BLOCK // itemsize
    rows = -(-np.arange(height + 1) * width // lanes)
    blocks = np.arange(rows[-1])
    # The last one reaches back into the one before, whose pixels have had their turn.
    start = np.minimum(blocks * lanes, label.size - lanes)
    place = start[:, None] + np.arange(lanes)
    fresh = place >= blocks[:, None] * lanes
    held = regions.reshape(len(regions), label.size)[:, place] & fresh
    last = rows[1:] - 1
    below = place[last] // width > np.arange(height)[:, None]
    segments = _segments(rows)
    labels = _labels(np.where(fresh, label.ravel()[place], -1), rows[segments])
    return Cut(
        rows.astype(np.uint64),
        segments,
        _bits(held),
        _bits(held[:, last] & below),
        (start * itemsize).astype(np.uint64)[labels[0]],
        *labels[1:],
        np.arange(1 - lanes, lanes).astype(f"i{itemsize}"),
    )


def _segments(rows: IntArray) -> IntArray:
    """Return the first row of each segment, and the number of rows."""
    found = [0]
    for row in range(len(rows) - 1):
        if row > found[-1] and rows[row + 1] - rows[found[-1]] > _SEGMENT:
            found.append(row)
    return np.array([*found, len(rows) - 1])


def _labels(
    label: IntArray, first: IntArray
) -> tuple[IntArray, BitArray, BitArray, IntArray, IntArray, IntArray]:
    """Return block, `mask`, `parts`, `bounds`, `label` and `pixels` of a `Cut`.

    ``label (blocks, L)`` is that of each pixel; `first` the first block of a segment.
    """
    there = np.zeros((len(label), int(label.max(initial=-1)) + 2), np.bool_)
    there[np.arange(len(label))[:, None], label] = True  # -1 is the last column
    block, who = np.nonzero(there[:, :-1])
    segment = np.searchsorted(first, block, side="right") - 1
    order = np.lexsort((block, who, segment))
    block, who, segment = block[order], who[order], segment[order]
    mask = _bits(label[block] == who[:, None])
    new = (np.diff(who, prepend=-1) != 0) | (np.diff(segment, prepend=-1) != 0)
    parts = np.flatnonzero(new)
    length = np.diff(parts, append=len(block))
    # One left over gets beside it a block behind a mask of no pixel.
    odd = (parts + length)[length % 2 == 1]
    pixels = np.add.reduceat(np.bitwise_count(mask), parts, dtype=np.int64)
    return (
        np.insert(block, odd, block[odd - 1]),
        np.insert(mask, odd, np.uint64(0)),
        np.append(0, np.cumsum(length + length % 2)).astype(np.uint64),
        np.searchsorted(segment[parts], np.arange(len(first))),
        who[parts],
        pixels if len(parts) else np.empty(0, np.int64),
    )


def _bits(held: BoolArray) -> BitArray:
    """Return the last axis, at most 64 long, as the bits of a number, lowest first."""
    packed = np.packbits(held, axis=-1, bitorder="little")
    wide = np.zeros((*packed.shape[:-1], 8), np.uint8)
    wide[..., : packed.shape[-1]] = packed
    bits: BitArray = wide.view("<u8")[..., 0]
    return bits


def sum_bundles(frames: Array, cut: Cut, labels: int) -> tuple[IntArray, IntArray]:
    """Return sums of each frame over labels, and moments over regions, exact.

    Parameters
    ----------
    frames : (n, height, width), as `as_stored` gives them, of a dtype in `TAKEN`; with
        pixels of 32 bits `cut` is that of the `halved` labels and regions

    Returns
    -------
    (n, labels) and (n, regions, 3) int64
        Sums; and sum, first moment of rows, first moment of pixels in their order.
    """
    n, code = len(frames), frames.dtype.str[1:]
    flat = frames.reshape(n, frames.shape[1] * frames.shape[2])
    flat = flat.view(_WEIGHED_AS.get(code, flat.dtype))
    room = np.zeros((labels * FRAMES + 2) * BLOCK, np.uint8)
    room = room[-room.ctypes.data % BLOCK :][: (labels * FRAMES + 1) * BLOCK]
    room[-BLOCK:].view(flat.dtype)[:] = 1
    sums = np.zeros((n, labels), np.int64)
    moments = np.zeros((n, len(cut.inside), 3), np.int64)
    _sum(flat, cut, TURNED.get(code, 0), room, sums, moments)
    return sums, moments


@numba.njit(nogil=True, cache=True)
def _sum(
    frames: Array, cut: Cut, bias: int, room: Array, sums: Array, moments: Array
) -> None:
    size = frames.shape[1] * frames.itemsize
    last = len(frames) - 1
    ones = load(np.uint64(room.ctypes.data + len(room) - BLOCK))
    for f in range(0, len(frames), FRAMES):
        # Where there are fewer, the last stands in.
        frame = np.uint64(frames.ctypes.data + f * size)
        steps = (
            np.uint64(0),
            np.uint64(min(1, last - f) * size),
            np.uint64(min(2, last - f) * size),
            np.uint64(min(3, last - f) * size),
        )
        room[:-BLOCK] = 0
        flushed = np.uint64(0)
        for s in range(len(cut.segments) - 1):
            high = len(cut.inside) == 0
            for region in range(len(cut.inside)):
                high |= _add_moments(
                    frame, steps, frames, cut, s, region, ones, f, moments
                )
            _add_labels(frame, steps, frames, cut, s, ones, high, room)
            if high:
                _add_bias(cut, s, bias, f, sums)
            if cut.rows[cut.segments[s + 1]] - flushed >= np.uint64(_FLUSHED):
                flushed = cut.rows[cut.segments[s + 1]]
                _flush(room, f, sums)
        _flush(room, f, sums)


# Called rather than put in their place, the two below took twice as long in all: each
# call passes all of `cut`, and counts references.
@numba.njit(nogil=True, cache=True, inline="always")
def _add_moments(
    frame: Any,
    steps: Any,
    frames: Array,
    cut: Cut,
    s: int,
    region: int,
    ones: Any,
    f: int,
    out: Array,
) -> Any:
    """Add the moments of one segment; return whether pixels need to be turned."""
    lanes = BLOCK // frames.itemsize
    last = np.uint64(frames.shape[1] * frames.itemsize - BLOCK)
    zero = np.uint64(cut.ramp.ctypes.data + (lanes - 1) * frames.itemsize)
    total, by_lane, by_block = zeros(), zeros(), zeros()
    by_row, below, pixels, bits = zeros(), zeros(), zeros(), zeros()
    top, bottom = cut.segments[s], cut.segments[s + 1]
    for row in range(top, bottom):
        for b in range(cut.rows[row], cut.rows[row + 1]):
            at = min(b * np.uint64(BLOCK), last)
            read = load_frames(frame + at, steps)
            prefetch(frame + at + _AHEAD, steps)
            bits = either(bits, read)
            pixels = flip(read, frames)
            lane = load(zero - (b * np.uint64(BLOCK) - at))
            inside = cut.inside[region, b]
            total = add_product(total, pixels, where(inside, ones, frames), frames)
            by_lane = add_product(by_lane, pixels, where(inside, lane, frames), frames)
            by_block = add(by_block, total)
        by_row = add(by_row, total)
        beyond = where(cut.beyond[region, row], ones, frames)
        below = add_product(below, pixels, beyond, frames)
    counts, lane_sums, block_sums = totals(total), totals(by_lane), totals(by_block)
    row_sums, more = totals(by_row), totals(below)
    after = np.int64(cut.rows[bottom])
    for k in range(min(FRAMES, len(out) - f)):
        out[f + k, region, 0] += counts[k]
        out[f + k, region, 1] += bottom * counts[k] - row_sums[k] + more[k]
        by_pixel = lanes * (after * counts[k] - block_sums[k]) + lane_sums[k]
        out[f + k, region, 2] += by_pixel
    return any_high(bits, frames)


@numba.njit(nogil=True, cache=True, inline="always")
def _add_labels(
    frame: Any,
    steps: Any,
    frames: Array,
    cut: Cut,
    s: int,
    ones: Any,
    high: bool,
    room: Array,
) -> None:
    """Add the labels of one segment to the lanes in `room`."""
    for g in range(cut.bounds[s], cut.bounds[s + 1]):
        one, other = zeros(), zeros()
        # Two and two, so that none waits for the one before.
        for e in range(cut.parts[g], cut.parts[g + 1], _PAIR):
            pixels = load_frames(frame + cut.at[e], steps)
            pixels_after = load_frames(frame + cut.at[e + _NEXT], steps)
            if high:
                pixels, pixels_after = flip(pixels, frames), flip(pixels_after, frames)
            one = add_product(one, pixels, where(cut.mask[e], ones, frames), frames)
            held = where(cut.mask[e + _NEXT], ones, frames)
            other = add_product(other, pixels_after, held, frames)
        lanes = np.uint64(room.ctypes.data + cut.label[g] * FRAMES * BLOCK)
        put(lanes, add(take(lanes), add(one, other)))


@numba.njit(nogil=True, cache=True)
def _add_bias(cut: Cut, s: int, bias: int, f: int, out: Array) -> None:
    """Add what turned bits have taken off the labels of one segment."""
    for g in range(cut.bounds[s], cut.bounds[s + 1]):
        for k in range(f, min(f + FRAMES, len(out))):
            out[k, cut.label[g]] += bias * cut.pixels[g]


@numba.njit(nogil=True, cache=True)
def _flush(room: Array, f: int, out: Array) -> None:
    """Add the lanes of all labels to `out`, and clear them."""
    for one in range(out.shape[1]):
        found = totals(take(np.uint64(room.ctypes.data + one * FRAMES * BLOCK)))
        for k in range(min(FRAMES, len(out) - f)):
            out[f + k, one] += found[k]
    room[:-BLOCK] = 0

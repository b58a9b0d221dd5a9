"""The fused pass in vectors of 64 bytes: what `kernels.fused` does with AVX-512.

The pixels of a frame, one row after the other, are cut into *blocks* of 64 bytes,
whatever the rows. Let pixel i lie in lane i - L b of block b, L pixels each. Then

    sum of v i = L (sum over blocks of b S_b) + sum over lanes of lane times v,

where S_b is the sum of the block. The lanes of T hold the sum so far; added up after
each block they give the sum of b S_b without any weight. Added up after each row they
give the first moment along the rows, but for the pixels of a row's last block that lie
in the next row, which are added once more. From both follows the moment along columns.

Label sums are added to accumulators in the first-level cache. A *segment* of some rows
of `FRAMES` frames is small enough to stay in that cache from the moments to the labels.

Pixels of 16 bits are taken as signed: their highest bit is turned over, which takes
2**15 off each; what that makes is known beforehand. Pixels of 32 bits are taken as two
of 16 bits.
"""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from scopeside_processors.kernels.vectors import (
    BLOCK,
    FRAMES,
    add,
    add_product,
    any_high,
    flip,
    join,
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

TURNS = 2
"""Accumulators of each label that take turns, so that no block waits for another."""
_SEGMENT = 112
"""Blocks in a segment: those of four frames take 28 KiB."""
_MOST = 255
"""Blocks in a segment whose running sums fit 32 bits: 255 * 256 / 2 * 2**16."""
_AHEAD = 2048
_FLUSH = 1 << 14


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """Labels and regions of frames cut into blocks, for `sum_bundles`."""

    rows: IntArray
    segments: IntArray
    masks: npt.NDArray[np.uint64]
    wraps: npt.NDArray[np.uint64]
    at: IntArray
    lane: IntArray
    mask: npt.NDArray[np.uint64]
    groups: IntArray
    bounds: IntArray
    counts: IntArray
    constants: Array
    labels: int


def cut_of(label: IntArray, regions: BoolArray, itemsize: int) -> Cut:
    """label (h, w) of elements, regions (R, h, w)"""
    height, width = label.shape
    lanes = BLOCK // itemsize
    size = label.size
    first = -(-np.arange(height + 1) * width // lanes)
    blocks = int(first[-1])
    segments = [0]
    for row in range(height):
        if first[row + 1] - first[segments[-1]] > _SEGMENT and row > segments[-1]:
            segments.append(row)
    segments.append(height)
    start = np.minimum(np.arange(blocks) * lanes, size - lanes)
    place = start[:, None] + np.arange(lanes)
    fresh = place >= np.arange(blocks)[:, None] * lanes
    masks = np.stack(
        [_bits(region.ravel()[place] & fresh) for region in regions]
        + [np.zeros((0, blocks), np.uint64)][: 1 if not len(regions) else 0]
    ) if len(regions) else np.zeros((0, blocks), np.uint64)
    last = first[1:] - 1
    beyond = place[last] // width > np.arange(height)[:, None]
    wraps = (
        np.stack(
            [_bits(r.ravel()[place[last]] & fresh[last] & beyond) for r in regions]
        )
        if len(regions)
        else np.zeros((0, height), np.uint64)
    )
    cut = np.where(fresh, label.ravel()[place], -1)
    labels = int(label.max(initial=-1)) + 1
    block, who = np.nonzero(
        np.stack([(cut == k).any(axis=1) for k in range(labels)], axis=1)
        if labels
        else np.zeros((blocks, 0), bool)
    )
    mask = _bits(cut[block] == who[:, None])
    row_at = first[segments]
    segment = np.searchsorted(row_at, block, side="right") - 1
    order = np.lexsort((block, who, segment))
    block, who, mask, segment = block[order], who[order], mask[order], segment[order]
    code = segment * (labels + 1) + who
    groups = np.flatnonzero(np.diff(code, prepend=-1))
    bounds = np.searchsorted(segment[groups], np.arange(len(segments)))
    counts = np.add.reduceat(np.bitwise_count(mask).astype(np.int64), groups)
    # An odd one out gets an entry of no pixel beside it.
    length = np.diff(np.append(groups, len(block)))
    odd = groups[length % 2 == 1]
    lane_ = who[groups]
    after = np.repeat(odd, 1)
    at_ = np.insert(start[block] * itemsize, odd, start[block[odd]] * itemsize)
    mask = np.insert(mask, odd, 0)
    groups_ = np.append(0, np.cumsum(length + length % 2))
    return Cut(
        first,
        np.array(segments),
        masks,
        wraps,
        at_,
        lane_,
        mask,
        groups_,
        bounds,
        counts,
        np.concatenate([np.arange(-lanes + 1, lanes)]).astype(f"i{itemsize}"),
        labels,
    )


def _bits(held: BoolArray) -> npt.NDArray[np.uint64]:
    packed = np.packbits(held, axis=1, bitorder="little")
    wide = np.zeros((len(held), 8), np.uint8)
    wide[:, : packed.shape[1]] = packed
    return wide.view(np.uint64)[:, 0]


def aligned(nbytes: int) -> Array:
    room = np.zeros(nbytes + BLOCK, np.uint8)
    start = -room.ctypes.data % BLOCK
    return room[start : start + nbytes]


@numba.njit(nogil=True, cache=True)
def _sum(
    pixels,
    rows,
    segments,
    masks,
    wraps,
    at,
    lane,
    mask,
    groups,
    bounds,
    counts,
    bias,
    constants,
    flips,
    scratch,
    out,
    moments,
):
    n, size = pixels.shape
    lanes = BLOCK // pixels.itemsize
    frame_bytes = size * pixels.itemsize
    base = pixels.ctypes.data
    last = np.uintp(frame_bytes - BLOCK)
    held = np.uintp(scratch.ctypes.data)
    table = np.uintp(constants.ctypes.data)
    middle = table + np.uintp((lanes - 1) * pixels.itemsize)
    ones = load(np.uintp(flips.ctypes.data))
    n_labels = out.shape[1]
    n_regions = len(masks)
    for f in range(0, n, FRAMES):
        frame = np.uintp(base + f * frame_bytes)
        steps = (
            np.uintp(0),
            np.uintp(min(1, n - 1 - f) * frame_bytes),
            np.uintp(min(2, n - 1 - f) * frame_bytes),
            np.uintp(min(3, n - 1 - f) * frame_bytes),
        )
        scratch[:] = 0
        for s in range(len(segments) - 1):
            top, bottom = segments[s], segments[s + 1]
            start, stop = rows[top], rows[bottom]
            for region in range(n_regions):
                t, m, y, l, c = zeros(), zeros(), zeros(), zeros(), zeros()
                v = zeros()
                o = zeros()
                chosen = masks[region]
                for row in range(top, bottom):
                    for b in range(rows[row], rows[row + 1]):
                        place = np.uintp(b * BLOCK)
                        there = min(place, last)
                        v = load_frames(frame + there, steps)
                        o = join(o, v)
                        v = flip(v, pixels)
                        prefetch(frame + there + np.uintp(_AHEAD), steps)
                        weights = load(
                            middle - np.uintp(place - there)
                        )
                        t = add_product(t, v, where(chosen[b], ones, pixels), pixels)
                        l = add_product(l, v, where(chosen[b], weights, pixels), pixels)
                        m = add(m, t)
                    y = add(y, t)
                    c = add_product(
                        c, v, where(wraps[region, row], ones, pixels), pixels
                    )
                tt, mm, yy, ll, cc = (
                    totals(t),
                    totals(m),
                    totals(y),
                    totals(l),
                    totals(c),
                )
                for k in range(min(FRAMES, n - f)):
                    moments[f + k, region, 0] += tt[k]
                    moments[f + k, region, 1] += bottom * tt[k] - yy[k] + cc[k]
                    moments[f + k, region, 2] += lanes * (stop * tt[k] - mm[k]) + ll[k]
            turned = any_high(o, pixels)
            for g in range(bounds[s], bounds[s + 1]):
                t, u = zeros(), zeros()
                if turned:
                    for e in range(groups[g], groups[g + 1]):
                        v = flip(load_frames(frame + np.uintp(at[e]), steps), pixels)
                        t = add_product(t, v, where(mask[e], ones, pixels), pixels)
                    more = bias * counts[g]
                    for k in range(min(FRAMES, n - f)):
                        out[f + k, lane[g]] += more
                else:
                    for e in range(groups[g], groups[g + 1], 2):
                        v = load_frames(frame + np.uintp(at[e]), steps)
                        t = add_product(t, v, where(mask[e], ones, pixels), pixels)
                        v = load_frames(frame + np.uintp(at[e + 1]), steps)
                        u = add_product(u, v, where(mask[e + 1], ones, pixels), pixels)
                    t = add(t, u)
                where_to = held + np.uintp(lane[g] * (FRAMES * BLOCK))
                put(where_to, add(take(where_to), t))
        for one in range(n_labels):
            found = totals(take(held + np.uintp(one * FRAMES * BLOCK)))
            for k in range(min(FRAMES, n - f)):
                out[f + k, one] += found[k]

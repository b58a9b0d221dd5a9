"""Sums over many regions, 64 bytes of a frame at a time.

The pixels of a frame, one row after the other, are cut into blocks of 64 bytes,
whatever the rows. A block that holds pixels of several labels (see `kernels.virtual`)
is taken once for each of them, behind a mask. What a label has come to stays in
lanes, which are added up once a frame, or before they would overflow.
"""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from scopeside_processors.kernels.simd import BLOCK, TAKEN, add_block

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]

_MOST_ADDED = {1: 128, 2: 1 << 15, 4: 1 << 30}
"""Blocks that lanes can take up, by the size of a pixel: each adds two of them."""
_TURNS = 4
"""Lanes of each label that take turns, so that no block waits for the one before."""


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Labelled pixels cut into blocks, in the order of memory.

    Attributes
    ----------
    blocks
        (3, b) int64: where a block begins, bytes from the first pixel; which lanes
        take it up, `_TURNS` for each label; which of `masks` its pixels are behind.
    masks
        (m, 64) uint8: 255 in each byte of a pixel that counts, else 0.
    """

    blocks: IntArray
    masks: npt.NDArray[np.uint8]


def takes(dtype: np.dtype[Any], pixels: int) -> bool:
    """Return whether frames of so many pixels can be summed in blocks."""
    return dtype.str[1:] in TAKEN and pixels * dtype.itemsize >= BLOCK


def blocks_of(label: IntArray, itemsize: int) -> Blocks:
    """Return the blocks of pixels that bear ``label (pixels,)``; -1 is for none.

    `itemsize` is the size of a pixel, bytes.
    """
    width = BLOCK // itemsize
    starts = np.arange(0, len(label), width)
    # The last one reaches back into the one before, whose pixels have had their turn.
    starts[-1] = len(label) - width
    cut = label[starts[:, None] + np.arange(width)]
    cut[-1, : (len(starts) - 1) * width - starts[-1]] = -1
    at: list[IntArray] = [np.empty(0, np.int64)]
    who: list[IntArray] = [np.empty(0, np.int64)]
    masks = [np.empty((0, -(-width // 8)), np.uint8)]
    for one in range(int(label.max(initial=-1)) + 1):
        there = cut == one
        held = there.any(axis=1)
        at.append(starts[held] * itemsize)
        who.append(np.full(len(at[-1]), one))
        masks.append(np.packbits(there[held], axis=1))
    few, mask = _different(np.concatenate(masks))
    found = np.stack([np.concatenate(at), np.concatenate(who), mask])
    found = found[:, np.argsort(found[0], kind="stable")]
    found[1] = _TURNS * found[1] + np.arange(found.shape[1]) % _TURNS
    bits = np.unpackbits(few, axis=1, count=width) * np.uint8(255)
    return Blocks(found, np.repeat(bits, itemsize, axis=1))


def _different(rows: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], IntArray]:
    """Return the rows that differ, and which of them each row is."""
    whole = np.ascontiguousarray(rows).view(f"V{rows.shape[1]}")[:, 0]
    _, first, which = np.unique(whole, return_index=True, return_inverse=True)
    return rows[first], which


def sum_blocks(frames: Array, blocks: Blocks, labels: int) -> IntArray:
    """Return the sum of each frame over each label, (n, labels) int64, exact.

    Parameters
    ----------
    frames : (n, height, width), integers of 1, 2 or 4 bytes, as `as_stored` gives
        them
    """
    out = np.zeros((len(frames), labels), np.int64)
    itemsize = frames.itemsize
    wide = np.dtype(f"{frames.dtype.kind}{2 * itemsize}")
    sums = np.zeros((_TURNS * labels, BLOCK // wide.itemsize), wide)
    most = _TURNS * _MOST_ADDED[itemsize]
    _sum(frames, blocks.blocks, blocks.masks, sums, most, out)
    return out


@numba.njit(nogil=True, cache=True)
def _sum(
    frames: Array, blocks: Array, masks: Array, sums: Array, most: int, out: Array
) -> None:
    size = frames.itemsize * frames.shape[1] * frames.shape[2]
    pixels, behind, taken = frames.ctypes.data, masks.ctypes.data, sums.ctypes.data
    at, lane, mask = blocks[0], blocks[1], blocks[2]
    for f in range(len(frames)):
        frame = np.uintp(pixels) + np.uintp(f * size)
        for first in range(0, at.size, most):
            for b in range(first, min(first + most, at.size)):
                add_block(  # type: ignore[call-arg]  # the first is numba's own
                    frame + np.uintp(at[b]),
                    np.uintp(behind) + np.uintp(BLOCK * mask[b]),
                    np.uintp(taken) + np.uintp(BLOCK * lane[b]),
                    frames,
                )
            for one in range(len(sums)):
                total = np.int64(0)
                for k in range(sums.shape[1]):
                    total += np.int64(sums[one, k])
                out[f, one // _TURNS] += total
            sums[:] = 0

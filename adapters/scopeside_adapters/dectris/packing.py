"""Puts images into a slot as they came, so that others may decompress them.

What came otherwise than by bitshuffle and LZ4 is decoded here and lies there pixel by
pixel; a slot may hold both.
"""

# ruff: noqa: PLR0917 - a kernel takes flat arrays by position
from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside import unpacking
from scopeside.detector import Slot
from scopeside.packed import PLAIN
from scopeside_adapters.dectris.decode import Decoder
from scopeside_adapters.dectris.images import (
    AT,
    BSLZ4,
    CODEC,
    ELEMENT,
    ITEM,
    SIZE,
    Rows,
)
from scopeside_adapters.dectris.native import compiled

Array = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
_USUAL_BLOCK = 8192


class Packer:
    """Fills slots with packed images.

    Parameters
    ----------
    shape, dtype
        (height, width) and pixels of the images.
    decoder
        Decodes those that are packed otherwise.
    """

    def __init__(
        self, shape: tuple[int, int], dtype: np.dtype[Any], decoder: Decoder
    ) -> None:
        self._shape = shape
        self._dtype = dtype
        self._decoder = decoder
        self._frame_bytes = shape[0] * shape[1] * dtype.itemsize

    def fitting(self, slot: Slot, rows: Rows) -> int:
        """Return how many of the first images of `rows` fit the slot."""
        ends = slot.capacity + np.cumsum(self._words(rows))
        fit = int(np.searchsorted(ends, len(slot.words), side="right"))
        return min(fit, slot.capacity)

    def fill(self, slot: Slot, data: Array, rows: Rows) -> tuple[BoolArray, int]:
        """Put the images of `rows`, which fit, into the slot.

        Returns
        -------
        (n,) which are whole, and the number of words. Those that are not are left out
        of the table; what follows them moves up.
        """
        n, words = len(rows), slot.words
        size = self._words(rows)
        starts = slot.capacity + np.cumsum(size) - size
        packed = self._is_packed(rows)
        _copy(data, rows, starts, packed, words.view(np.uint8), self._frame_bytes)
        whole = np.zeros(n, np.bool_)
        for k in np.flatnonzero(~packed).tolist():
            frame = np.empty((1, *self._shape), self._dtype)
            whole[k] = self._decoder.decode(data, rows[k : k + 1], frame)[0]
            room = words[starts[k] : starts[k] + size[k]].view(np.uint8)
            room[: self._frame_bytes] = frame.view(np.uint8).reshape(-1)
        stop = int(starts[-1] + size[-1])
        bounds = 8 * np.append(starts, stop)
        item = self._dtype.itemsize
        good = unpacking.whole(words.view(np.uint8), bounds, self._frame_bytes, item)
        whole[packed] = good[packed]
        table = starts.astype(np.uint64)
        table[~packed] |= PLAIN
        kept = table[whole]
        words[: len(kept)] = kept
        return whole, stop

    def _is_packed(self, rows: Rows) -> BoolArray:
        item = self._dtype.itemsize
        is_packed: BoolArray = (
            (rows[:, CODEC] == BSLZ4) & (rows[:, ELEMENT] == item) & (rows[:, ITEM] > 0)
        )
        return is_packed

    def _words(self, rows: Rows) -> npt.NDArray[np.int64]:
        """Return how many words each image takes, (n,)."""
        size = np.where(self._is_packed(rows), rows[:, SIZE], self._frame_bytes)
        words: npt.NDArray[np.int64] = (size + 7) // 8
        return words


@compiled
def _copy(
    data: Array, rows: Array, starts: Array, packed: Array, to: Array, frame_bytes: int
) -> None:
    """Copy packed images to the words where each starts."""
    for k in range(len(rows)):
        if not packed[k]:
            continue
        at, size, first = rows[k, AT], rows[k, SIZE], 8 * starts[k]
        to[first : first + size] = data[at : at + size]
        unsaid = size >= 12
        for i in range(min(size, 12)):
            unsaid = unsaid and to[first + i] == 0
        if unsaid:  # some simulators leave the header empty
            for i in range(8):
                to[first + 7 - i] = (frame_bytes >> (8 * i)) & 255
            to[first + 10] = _USUAL_BLOCK >> 8

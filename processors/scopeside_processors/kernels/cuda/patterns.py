"""Running sum and maximum of each pixel, kept on a GPU; see ``patterns.cu``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.device.lanes import CardFrames, Lanes
from scopeside_processors.kernels.cuda import source_of
from scopeside_processors.kernels.cuda.labels import CHUNK

Array = npt.NDArray[Any]

_BLOCK = 128
_MOST_FRAMES = 1 << 16
"""So many pixels of 65535 counts fit the 32 bits of a thread's sum."""
_SHARE = 64
"""Frames that one thread adds, where more threads would be idle."""


def compile_all(lanes: Lanes) -> None:
    """Have the kernels compiled now."""
    for code in ("u1", "u2"):
        lanes.card.kernel(source_of("patterns"), f"pattern_{code}")


class RunningPattern:
    """Sum and maximum of frames of one shape and dtype since it was made or taken."""

    def __init__(
        self, lanes: Lanes, shape: tuple[int, int], dtype: np.dtype[Any]
    ) -> None:
        self._lanes, self._shape, self._dtype = lanes, shape, dtype
        self._pixels = shape[0] * shape[1]
        self._floats = dtype.kind == "f"
        self._total = lanes.room(8 * self._pixels)
        self._rest = lanes.room(8 * self._pixels) if self._floats else None
        self._peak = lanes.room(4 * self._pixels)
        self._empty = True

    def add(self, frames: CardFrames) -> None:
        """Add frames; on the card, after what it was given before."""
        if self._empty:
            self._begin()
        n = len(frames)
        for first in range(0, n, _MOST_FRAMES):
            self._add(frames, first, min(_MOST_FRAMES, n - first))

    def take(self) -> tuple[Array, Array, Array] | None:
        """Bring all back and begin anew.

        Returns
        -------
        sum, rest, maximum
            (height, width) each. Of integers int64, nothing, and the frames' dtype.
            Of floats float64, what rounding has left out of it, and float32. None
            where no frame was added.
        """
        if self._empty:
            return None
        lanes, shape = self._lanes, self._shape
        floats = self._floats
        total = lanes.bring(self._total, shape, np.float64 if floats else np.int64)
        peak = lanes.bring(self._peak, shape, np.float32 if floats else np.uint32)
        rest = lanes.bring(self._rest, shape, np.float64) if self._rest else None
        lanes.settle()
        self._empty = True
        left = rest() if rest else np.zeros((0, 0))
        return total(), left, peak().astype(self._dtype)

    def _begin(self) -> None:
        """Set all to what there is before the first frame."""
        lanes = self._lanes
        lanes.clear(self._total, 8 * self._pixels)
        lanes.clear(self._peak, 4 * self._pixels)
        if self._rest is not None:
            lanes.clear(self._rest, 8 * self._pixels)
            lowest = np.uint64(self._peak.what.address), np.int32(self._pixels)
            grid = (-(-self._pixels // _BLOCK), 1)
            lanes.run(source_of("patterns"), "no_peak", grid, _BLOCK, lowest)
        self._empty = False

    def _add(self, frames: CardFrames, first: int, n: int) -> None:
        at = frames.address + first * frames.pitch
        begin = (np.uint64(at), np.uint64(frames.pitch), np.int32(n))
        pixels, total = np.int32(self._pixels), np.uint64(self._total.what.address)
        peak = np.uint64(self._peak.what.address)
        threads = -(-self._pixels * self._dtype.itemsize // CHUNK)
        name = f"pattern_{self._dtype.str[1:]}"
        if self._rest is not None:
            grid = (-(-self._pixels // _BLOCK), 1)
            rest = np.uint64(self._rest.what.address)
            some = (*begin, pixels, total, rest, peak)
            self._lanes.run(source_of("patterns"), name, grid, _BLOCK, some)
            return
        grid = (-(-threads // _BLOCK), -(-n // _SHARE))
        every = (*begin, np.int32(_SHARE), pixels, total, peak)
        self._lanes.run(source_of("patterns"), name, grid, _BLOCK, every)

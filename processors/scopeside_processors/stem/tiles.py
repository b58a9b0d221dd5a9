"""Sums of the patterns of neighbouring probe positions: the scan cut into tiles.

A tile holds enough counts for the beam to be found in it, where a single frame may not.
Sums of integers are exact, so it does not matter who adds what when; those of floats
keep what rounding has left out (`kernels.sum`).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside_processors.kernels import sum as kernels

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

MEMORY_BYTES = 32 << 20
"""All tiles together, as long as there are `FEWEST`."""
FEWEST, MOST = 8, 64


class Tiles:
    """The scan, or its first rows, cut into tiles.

    Parameters
    ----------
    acquisition
        Without a scan there is one tile.
    rows
        Number of the scan's rows that are cut up.
    """

    def __init__(self, acquisition: Acquisition, rows: int) -> None:
        self._shape = acquisition.frame_shape
        self._dtype = acquisition.dtype
        self._columns = 1 if acquisition.scan is None else acquisition.scan.shape[1]
        self._rows = 1 if acquisition.scan is None else rows
        pixels = self._shape[0] * self._shape[1]
        number = min(max(MEMORY_BYTES // (8 * pixels), FEWEST), MOST)
        self._down = min(self._rows, int(number**0.5))
        self._across = min(self._columns, number // self._down)
        self._sums: dict[int, list[Array]] = {}
        self._seen: dict[int, list[int]] = {}

    def __len__(self) -> int:
        return len(self._sums)

    def add(self, frames: Array, places: IntArray) -> None:
        """Add ``frames (n, height, width)`` of flat positions ``places (n,)``."""
        if not len(frames):
            return
        row, column = np.divmod(places, self._columns)
        tile = row * self._down // self._rows * self._across
        tile += column * self._across // self._columns
        if (np.diff(tile) < 0).any():
            order = np.argsort(tile, kind="stable")
            frames, tile, row, column = (
                one[order] for one in (frames, tile, row, column)
            )
        edges = [0, *(np.flatnonzero(np.diff(tile)) + 1), len(tile)]
        for first, stop in pairwise(edges):
            part = slice(first, stop)
            self._add(int(tile[first]), frames[part])
            seen = [stop - first, int(row[part].sum()), int(column[part].sum())]
            self._count(int(tile[first]), seen)

    def merge(self, other: Self) -> None:
        """Add what `other` has summed."""
        for tile, (total, rest) in other._sums.items():
            mine, left = self._tile(tile)
            if mine.dtype.kind == "f":
                kernels.merge_floats(mine, left, total, rest)
            else:
                mine += total
            self._count(tile, other._seen[tile])

    @property
    def frames(self) -> int:
        """Number of frames that were added."""
        return sum(seen[0] for seen in self._seen.values())

    def patterns(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the sums of the tiles that have a frame.

        Returns
        -------
        (m, height, width), (m, 2) and (m,) float64
            Counts; the mean position, row and column of the scan, of the tile's
            frames; their number.
        """
        tiles = sorted(self._sums)
        sums = np.empty((len(tiles), *self._shape))
        for one, tile in zip(sums, tiles, strict=True):
            total, rest = self._sums[tile]
            one[...] = total + rest if total.dtype.kind == "f" else total
        seen = np.array([self._seen[tile] for tile in tiles], np.float64).reshape(-1, 3)
        return sums, seen[:, 1:] / seen[:, :1], seen[:, 0]

    def snapshot(self) -> dict[str, Any]:
        """Return the tiles that have a frame, for `scopeside.state.pack`."""
        tiles = sorted(self._sums)
        state: dict[str, Any] = {"seen": [[t, *self._seen[t]] for t in tiles]}
        state["sums"] = [
            [one for one in self._sums[tile] if one.size] for tile in tiles
        ]
        return state

    def restore(self, found: Mapping[str, Any]) -> None:
        """Take over what `snapshot` gave; only on a new object."""
        for (tile, *seen), sums in zip(found["seen"], found["sums"], strict=True):
            # Copies, as what is unpacked cannot be written to.
            for mine, one in zip(self._tile(tile), sums, strict=False):
                mine[...] = one
            self._seen[tile] = list(seen)

    def _add(self, tile: int, frames: Array) -> None:
        total, rest = self._tile(tile)
        if total.dtype.kind == "f":
            peak = np.zeros(self._shape, self._dtype)
            kernels.add_floats(frames, total, rest, peak)
        else:
            peak = np.zeros(self._shape, self._dtype)
            kernels.add_integers(frames, total, peak)

    def _tile(self, tile: int) -> list[Array]:
        """Return a tile's sum, and what rounding has left out of it (of floats)."""
        if tile not in self._sums:
            floats = self._dtype.kind == "f"
            total = np.zeros(self._shape, np.float64 if floats else np.int64)
            rest = np.zeros(self._shape if floats else (0, 0))
            self._sums[tile] = [total, rest]
        return self._sums[tile]

    def _count(self, tile: int, seen: list[int]) -> None:
        before = self._seen.get(tile, [0, 0, 0])
        self._seen[tile] = [a + b for a, b in zip(before, seen, strict=True)]

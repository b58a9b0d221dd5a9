"""Frames that wait until enough of them are there to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]


class Waiting:
    """At most `most` frames with counts, in the order in which they came."""

    def __init__(
        self, most: int, frame_shape: tuple[int, int], dtype: np.dtype[Any]
    ) -> None:
        self._most = most
        self._shape, self._dtype = frame_shape, dtype
        self._index: list[IntArray] = []
        self._frames: list[Array] = []

    def __len__(self) -> int:
        return sum(map(len, self._index))

    @property
    def full(self) -> bool:
        """Whether enough are there."""
        return len(self) >= self._most

    def take(self, index: IntArray, frames: Array) -> tuple[int, IntArray, IntArray]:
        """Keep copies of frames as long as there is room.

        Parameters
        ----------
        index : (n,) of the frames
        frames : (n, height, width)

        Returns
        -------
        How many of the n were looked at; the indices of those among them that hold no
        counts, and of those with a pixel that is no number: they do not wait.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            total = frames.sum(axis=(1, 2), dtype=np.float64)
        spoilt = ~np.isfinite(total)
        good = (total > 0) & ~spoilt
        have = len(self) + np.cumsum(good)
        enough = np.flatnonzero(have >= self._most)
        looked = int(enough[0]) + 1 if len(enough) else len(index)
        part = slice(0, looked)
        if good[part].any():
            self._index.append(index[part][good[part]].copy())
            self._frames.append(frames[part][good[part]].astype(self._dtype))
        empty = ~good & ~spoilt
        return looked, index[part][empty[part]], index[part][spoilt[part]]

    def taken(self) -> tuple[IntArray, Array]:
        """Return all of them, (n,) and (n, height, width), and keep none."""
        found = self._all()
        self._index, self._frames = [], []
        return found

    def to_values(self) -> list[Array]:
        """Return them for `scopeside.state.pack`."""
        return list(self._all())

    def from_values(self, values: Sequence[Array]) -> None:
        """Take over what `to_values` gave."""
        held = len(values[0]) > 0
        self._index = [values[0]] if held else []
        self._frames = [values[1]] if held else []

    def _all(self) -> tuple[IntArray, Array]:
        if not self._index:
            return np.empty(0, np.int64), np.empty((0, *self._shape), self._dtype)
        return np.concatenate(self._index), np.concatenate(self._frames)

"""A slot of the slab on the detector's side: what it holds, and its loan."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.errors import SourceError
from scopeside.slab import Layout, Slab


class SlabSlot:
    """Room for one batch; see `scopeside.detector.Slot`."""

    def __init__(
        self, number: int, slab: Slab, layout: Layout, acquisition: Acquisition
    ) -> None:
        at = number * layout.stride
        n = layout.capacity
        frames = n if acquisition.encoding == "frames" else 0
        self.number = number
        self.index: npt.NDArray[np.int64] = slab.view(at, (n,), np.int64)
        self.timestamp_ns: npt.NDArray[np.int64] = slab.view(at + 8 * n, (n,), np.int64)
        self.pixels: npt.NDArray[Any] = slab.view(
            at + layout.pixels_at,
            (frames, *acquisition.frame_shape),
            acquisition.dtype,
        )
        self.words: npt.NDArray[np.uint64] = slab.view(
            at + layout.pixels_at, (layout.words,), np.uint64
        )
        self._commit: Callable[[SlabSlot, int, int], None] | None = None
        self._lent_ns = 0

    @property
    def capacity(self) -> int:
        """Number of frames that fit."""
        return len(self.index)

    def commit(self, n: int, *, words: int = 0) -> None:
        """Hand the first `n` frames on, and the first `words` events."""
        if self._commit is None:
            raise SourceError("a slot can be committed once, while it is lent")
        if not 0 < n <= self.capacity:
            raise SourceError(f"a slot of {self.capacity} frames cannot commit {n}")
        if not 0 <= words <= len(self.words):
            raise SourceError(
                f"a slot of {len(self.words)} words cannot commit {words} of them"
            )
        self._commit(self, n, words)
        self._commit = None

    def lend(self, commit: Callable[[SlabSlot, int, int], None]) -> None:
        """Let the holder commit once."""
        self._commit = commit
        self._lent_ns = time.monotonic_ns()

    @property
    def lent_for_ns(self) -> int:
        """For how long it has been lent, nanoseconds."""
        return time.monotonic_ns() - self._lent_ns

    def keep(self, which: list[int]) -> None:
        """Move the frames at `which`, ascending, to the front; not their words."""
        for array in (self.index, self.timestamp_ns, self.pixels):
            if len(array):
                array[: len(which)] = array[which]

    def take_back(self) -> bool:
        """End the loan; return whether the slot was left uncommitted."""
        unused = self._commit is not None
        self._commit = None
        return unused

"""The last patterns of a scan, small: for who gathers a sample of its positions."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.result import Result, invalid
from scopeside.scan import Scan
from scopeside_processors.kernels import binning

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]

NAME = "patterns"
SIDE = 64
"""Pixels along the longer side, at most: 16 KiB each."""
POSITIONS = 4096
"""Positions of a scan that are chosen, at most: 64 MiB of patterns in all."""


class Recent:
    """Keeps the last `most` frames of chosen positions: every so-manieth frame.

    Which frames are chosen depends on their numbers alone, so that it does not matter
    in which batches they come. The others cost nothing.
    """

    def __init__(self, acquisition: Acquisition, scan: Scan, most: int) -> None:
        height, width = acquisition.frame_shape
        longest = max(height, width)
        self.factor = min(-(-longest // SIDE), height, width)
        self.every = -(-scan.positions // POSITIONS)
        self._scan = scan
        self._most = most
        shape = height // self.factor, width // self.factor
        self._index = np.empty(0, np.int64)
        self._time_ns = np.empty(0, np.int64)
        self._frames = np.empty((0, *shape), np.float32)

    def take(self, batch: Batch) -> None:
        """Keep what is chosen of `batch`."""
        chosen = np.flatnonzero(batch.index % self.every == 0)
        chosen = chosen[self._scan.position_of(batch.index[chosen]) >= 0]
        chosen = chosen[np.argsort(batch.index[chosen])][-self._most :]
        if not len(chosen):
            return
        frames = np.empty((len(chosen), *self._frames.shape[1:]), np.float32)
        for k, number in enumerate(chosen):
            binning.binned(batch.pixels[number], self.factor, frames[k])
        self._join(batch.index[chosen], batch.timestamp_ns[chosen], frames)

    def merge(self, other: Self) -> None:
        """Keep what `other` has kept, as far as it is among the last."""
        self._join(other._index, other._time_ns, other._frames)

    def result(self) -> Result:
        """Return ``patterns``: (n, height, width) float32, counts, in order of frames.

        ``meta``: lists ``index``, ``t_ns``, ``scan``, ``row`` and ``column``;
        ``binning``; ``every``, of so many frames one is chosen.
        """
        if not len(self._index):
            return invalid(NAME, "no frame of the sample yet")
        places = self._scan.position_of(self._index)
        scans, within = np.divmod(places, self._scan.positions)
        rows, columns = np.divmod(within, self._scan.shape[1])
        return Result(
            NAME,
            self._frames.copy(),
            frame=int(self._index[-1]),
            first=int(self._index[0]),
            used=len(self._index),
            units="counts",
            axes=("pattern", "y", "x"),
            meta={
                "index": self._index.tolist(),
                "t_ns": self._time_ns.tolist(),
                "scan": scans.tolist(),
                "row": rows.tolist(),
                "column": columns.tolist(),
                "binning": self.factor,
                "every": self.every,
            },
        )

    def to_values(self) -> dict[str, Array]:
        """Return what is kept."""
        return {"index": self._index, "t_ns": self._time_ns, "frames": self._frames}

    def from_values(self, found: dict[str, Array]) -> None:
        """Take over what `to_values` gave."""
        self._index, self._time_ns = found["index"], found["t_ns"]
        self._frames = found["frames"]

    # ---------------------------------------------------------------------------

    def _join(self, index: IntArray, time_ns: IntArray, frames: Array) -> None:
        both = np.concatenate([self._index, index])
        # The first of equals: a frame that comes twice is the same.
        numbers, first = np.unique(both, return_index=True)
        last = first[-self._most :]
        self._index = numbers[-self._most :]
        self._time_ns = np.concatenate([self._time_ns, time_ns])[last]
        self._frames = np.concatenate([self._frames, frames])[last]

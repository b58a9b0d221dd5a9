"""Drift of large frames, found on binned ones.

Correlation takes time in proportion to the pixels of a frame. A large field has more of
them than its drift needs: what binning loses is finer than what a nucleus is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside_processors.insitu.incoming import Condition
from scopeside_processors.insitu.stabilise import SHARED, Drift, Stabiliser
from scopeside_processors.kernels.residual import binned

Array = npt.NDArray[Any]

SIDE = 1024
"""Pixels that are left of the shorter side, at least."""


class CoarseStabiliser:
    """A `Stabiliser` that sees cells of `size` px, and speaks of px."""

    def __init__(self, acquisition: Acquisition) -> None:
        shape = acquisition.frame_shape
        self.size = max(1, min(shape) // SIDE)
        if self.size == 1:
            self._inner = Stabiliser(acquisition)
            return
        self._cells = np.zeros([n // self.size for n in shape], np.float32)
        coarse = replace(
            acquisition, frame_shape=self._cells.shape, dtype=self._cells.dtype
        )
        self._inner = Stabiliser(coarse)

    def of_batch(
        self, batch: Batch, conditions: Sequence[Condition]
    ) -> tuple[Drift, ...]:
        """Return the drift of each frame: the chain's, where a step before found it."""
        if self.size == 1 or SHARED in batch.shared:
            return self._inner.of_batch(batch, conditions)
        frames = zip(batch.pixels, conditions, strict=True)
        return tuple(self._of(frame, condition) for frame, condition in frames)

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        return self._inner.state()

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._inner.take_over(state)

    def _of(self, frame: Array, condition: Condition) -> Drift:
        if condition.usable:
            binned(frame, self.size, 0.0, 1.0, condition.mean, self._cells)
        area = self.size**2
        found = self._inner.of(
            self._cells, replace(condition, mean=condition.mean * area)
        )
        (yy, yx), (xy, xx) = found.covariance
        spread = (yy * area, yx * area), (xy * area, xx * area)
        dy, dx = found.dy * self.size, found.dx * self.size
        return replace(found, dy=dy, dx=dx, covariance=spread)

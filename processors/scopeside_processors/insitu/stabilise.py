"""Gives every frame of a movie its drift vector, for those who need still frames.

`Stabiliser` knows the stream: frames that cannot be used, gaps, and content that is
entirely new. `registration` does the numerics.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside_processors.insitu.fixtures import Rectangle
from scopeside_processors.insitu.incoming import Condition
from scopeside_processors.insitu.registration import ENOUGH, Estimate, Registration

Array = npt.NDArray[Any]
Covariance = tuple[tuple[float, float], tuple[float, float]]

SHARED = "drift"
"""Where a chain's `drift` step leaves (n,) `Drift` in `Batch.shared`: how far content
lies from its place in specimen coordinates in the frames as they are now."""

_HALF_SURE = 0.25
"""Standard deviation, px, at which confidence is one half: 1 px is then 4 of it."""
_LOST = 0.5
"""A lock or match below this is none."""
_PATIENCE = 15
"""Frames without a match after which content is taken for new."""


@dataclass(frozen=True, slots=True)
class Drift:
    """How far content has moved since frame 0, positive towards larger row, column.

    Attributes
    ----------
    dy, dx
        px.
    covariance
        ((yy, yx), (xy, xx)), px².
    confidence
        0 to 1: `lock`, times how precisely the place is known (one half where the
        standard deviation is a quarter of a pixel), times how far the template can be
        trusted (one half after 4 frames): the first frames of a movie say little.
    jumped
        Whether content moved further than its walk so far explains.
    segment
        Counts re-bases: places of different segments cannot be compared.
    reason
        Why there is no estimate, and the vector is the last one; empty if there is.
    lock
        Probability that the content is where it says, however precisely.
    """

    dy: float
    dx: float
    covariance: Covariance
    confidence: float
    jumped: bool
    segment: int
    reason: str = ""
    lock: float = 1.0

    @property
    def sigma(self) -> float:
        """Standard deviation along one axis, px."""
        return math.sqrt(max(0.0, (self.covariance[0][0] + self.covariance[1][1]) / 2))

    @property
    def locked(self) -> bool:
        """Whether the content was found; `sigma` says how precisely."""
        return not self.reason and self.lock >= _LOST


STILL = Drift(0.0, 0.0, ((0.0, 0.0), (0.0, 0.0)), 1.0, jumped=False, segment=0)
"""Of frame 0, and of all frames for those who correct nothing."""


class Stabiliser:
    """Estimates drift frame by frame, or takes it from the chain where it is known.

    Parameters
    ----------
    shape : an acquisition of frames, or (height, width), px
    """

    def __init__(self, shape: Acquisition | tuple[int, int]) -> None:
        if isinstance(shape, Acquisition):
            shape = shape.frame_shape
        self._registration = Registration(shape)
        self._origin = np.zeros(2)
        self._segment = 0
        self._lost = 0
        self._missing = 0
        self._last = STILL

    def of(self, frame: Array, condition: Condition) -> Drift:
        """Return the drift of the next frame.

        Parameters
        ----------
        frame : (height, width) counts
        condition : what `Incoming` says of it

        Returns
        -------
        Drift
            Of a frame that cannot be used: the last vector, confidence 0, a reason.
        """
        self._missing += condition.missing
        if not condition.usable:
            self._missing += 1
            return replace(
                self._last,
                confidence=0.0,
                lock=0.0,
                jumped=False,
                reason=condition.reason,
            )
        estimate = self._registration.register(frame, condition.mean, self._missing)
        self._missing = 0
        if self._is_lost(estimate):
            self.rebase()
            estimate = self._registration.register(frame, condition.mean)
        self._last = self._drift(estimate)
        return self._last

    def of_batch(
        self, batch: Batch, conditions: Sequence[Condition]
    ) -> tuple[Drift, ...]:
        """Return the drift of each frame: the chain's, where a step before found it."""
        known: tuple[Drift, ...] | None = batch.shared.get(SHARED)
        if known is not None:
            return known
        frames = zip(batch.pixels, conditions, strict=True)
        return tuple(self.of(frame, condition) for frame, condition in frames)

    def ignore(self, parts: tuple[Rectangle, ...]) -> None:
        """Leave out `parts` of the frames from now on; see `fixtures`."""
        self._registration.ignored = parts

    def rebase(self) -> None:
        """Begin a new segment: the content is not that of before.

        Drift goes on from the last vector.
        """
        self._registration.reset()
        self._origin = np.array([self._last.dy, self._last.dx])
        self._segment += 1
        self._lost = 0

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        last = self._last
        return {
            "registration": self._registration.state(),
            "origin": self._origin,
            "segment": self._segment,
            "lost": self._lost,
            "missing": self._missing,
            "last": [last.dy, last.dx, *last.covariance[0], *last.covariance[1]],
            "said": [last.confidence, last.lock, last.jumped, last.segment],
        }

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._registration.take_over(state["registration"])
        self._origin = np.array(state["origin"])
        self._segment, self._lost = state["segment"], state["lost"]
        self._missing = state["missing"]
        dy, dx, yy, yx, xy, xx = state["last"]
        confidence, lock, jumped, segment = state["said"]
        spread = (yy, yx), (xy, xx)
        self._last = Drift(dy, dx, spread, confidence, jumped, segment, lock=lock)

    def _is_lost(self, estimate: Estimate) -> bool:
        """Return whether the template has not been seen for too long."""
        if estimate.evidence < ENOUGH:
            return False
        missed = estimate.missed or estimate.lock < _LOST
        self._lost = self._lost + 1 if missed else 0
        return self._lost >= _PATIENCE

    def _drift(self, estimate: Estimate) -> Drift:
        dy, dx = (float(v) for v in self._origin + estimate.shift)
        (yy, yx), (xy, xx) = (tuple(map(float, row)) for row in estimate.covariance)
        lock = estimate.lock if self._lost == 0 else min(estimate.lock, 0.25)
        variance = (yy + xx) / 2
        confidence = lock * estimate.settled * 2 ** -(variance / _HALF_SURE**2)
        spread = (yy, yx), (xy, xx)
        return Drift(
            dy, dx, spread, confidence, estimate.jumped, self._segment, lock=lock
        )

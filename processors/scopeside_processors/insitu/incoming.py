"""Says of every frame of a movie whether it can be used, and if not, why.

All in-situ processors ask here, so that they agree on what a bad frame is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition

Array = npt.NDArray[Any]

BLANK = "no counts"
NOT_A_NUMBER = "not a number"
REPEATED = "the same picture as before"

_BLANK_SHARE = 0.02
"""A frame with less than this share of the usual counts is blank: the beam was off."""
_SETTLE = 0.05
"""Weight of a new frame in the usual counts."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What is to be known of a frame before it is used.

    Attributes
    ----------
    usable, reason
        Whether it can be used; why not.
    missing
        Frames between the one before and this one that were never seen.
    mean
        Counts per pixel.
    """

    usable: bool
    reason: str
    missing: int
    mean: float


class Incoming:
    """Looks at frames one after another, in order of arrival."""

    def __init__(self, acquisition: Acquisition) -> None:
        self._acquisition = acquisition
        self._usual = 0.0
        self._last_index = -1
        self._last: Array | None = None

    def look(
        self, frame: Array, index: int, timestamp_ns: int, epoch: int = 0
    ) -> Condition:
        """Return what is to be known of `frame` (height, width)."""
        mean = float(frame.mean(dtype=np.float64))
        missing = max(0, index - self._last_index - 1)
        reason = self._fault(frame, mean)
        self._last_index = index
        if not reason:
            share = _SETTLE if self._usual else 1.0
            self._usual += share * (mean - self._usual)
            self._last = frame[:: max(1, len(frame) // 16)].copy()
        return Condition(not reason, reason, missing, mean)

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        return {"usual": self._usual, "index": self._last_index, "last": self._last}

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._usual = state["usual"]
        self._last_index = state["index"]
        self._last = state["last"]

    def _fault(self, frame: Array, mean: float) -> str:
        if not np.isfinite(mean):
            return NOT_A_NUMBER
        if mean <= _BLANK_SHARE * self._usual or not frame.any():
            return BLANK
        rows = frame[:: max(1, len(frame) // 16)]
        if self._last is not None and np.array_equal(rows, self._last):
            return REPEATED
        return ""

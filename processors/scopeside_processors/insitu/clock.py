"""Time from frame to frame, where the time stamps of a movie tell it."""

from __future__ import annotations

import math
from statistics import median
from typing import Any, NamedTuple

BACKWARDS = "the time stamp lies before that of the last frame"
PAUSED = "the time stamp lies far behind that of the last frame"

_PAUSE = 4.0
"""A frame that comes so many times later than usual comes after a pause."""
_ENOUGH, _KEPT = 3, 5


class Step(NamedTuple):
    """The way in time from the frame before to this one.

    Attributes
    ----------
    elapsed_s
        Seconds; NaN if unknown.
    paused
        Whether the movie paused in between.
    note
        What is odd about the time stamp, in words.
    """

    elapsed_s: float
    paused: bool = False
    note: str = ""


class Clock:
    """Follows the time stamps of a movie.

    Parameters
    ----------
    frame_time_s
        From one frame to the next, s; None where nobody has said.
    """

    def __init__(self, frame_time_s: float | None) -> None:
        self._said = frame_time_s
        self._last_ns: int | None = None
        self._recent: list[float] = []

    def step(self, timestamp_ns: int, missing: int) -> Step:
        """Return the way from the frame before, with `missing` ones in between."""
        last, self._last_ns = self._last_ns, timestamp_ns
        if last is None:
            return Step(math.nan)
        usual = self._usual()
        elapsed = (timestamp_ns - last) / 1e9
        if elapsed <= 0:  # without time stamps all of them are 0
            guess = math.nan if usual is None else usual * (missing + 1)
            return Step(guess, note=BACKWARDS if elapsed < 0 else "")
        each = elapsed / (missing + 1)
        self._recent = [*self._recent[1 - _KEPT :], each]
        paused = usual is not None and each > _PAUSE * usual
        return Step(elapsed, paused, PAUSED if paused else "")

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, as plain values."""
        return {"last_ns": self._last_ns, "recent": list(self._recent)}

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._last_ns = state["last_ns"]
        self._recent = list(state["recent"])

    def _usual(self) -> float | None:
        enough = len(self._recent) >= _ENOUGH
        return median(self._recent) if enough else self._said

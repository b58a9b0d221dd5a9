"""When the next frames are due."""

from __future__ import annotations

import time
from collections.abc import Callable

_SHORTEST_S = 0.001  # so that at high rates frames travel together
_LONGEST_S = 0.05  # so that a stop is seen soon


class Pace:
    """A schedule of `fps` frames a second from now on, without drift.

    Parameters
    ----------
    fps
        Frames a second; None: all are due at once.
    now, sleep
        The clock, seconds; a test gives its own.
    """

    def __init__(
        self,
        fps: float | None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._fps = fps
        self._now = now
        self._sleep = sleep
        self._began = now()

    def due(self, total: int) -> int:
        """Return how many of `total` frames are due by now; the first at once."""
        if self._fps is None:
            return total
        return min(total, int((self._now() - self._began) * self._fps) + 1)

    def wait(self, frame: int) -> None:
        """Sleep until `frame` is due, at most 50 ms."""
        assert self._fps is not None  # else every frame is due
        left = self._began + frame / self._fps - self._now()
        self._sleep(min(max(left, _SHORTEST_S), _LONGEST_S))

"""What time it is for the guard; no clock of it is ever set back."""

from __future__ import annotations

import time


class WallClock:
    """The time of day when it was made, and the monotonic clock from there on."""

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def now_ns(self) -> int:
        """Return the time, ns since 1970 UTC."""
        return time.monotonic_ns() + self._offset_ns

    def hear(self, t_ns: int) -> None:
        """Frames do not move this clock."""


class FramesClock:
    """The time stamp of the newest frame: a recording is as old as it was then."""

    def __init__(self) -> None:
        self._now_ns = 0

    def now_ns(self) -> int:
        """Return the time, ns since 1970 UTC; 0 before the first frame."""
        return self._now_ns

    def hear(self, t_ns: int) -> None:
        """Take note of a frame's time stamp."""
        self._now_ns = max(self._now_ns, t_ns)


Clock = WallClock | FramesClock

"""Numbers and times of frames: from the stream's time stamps, or counted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Where a frame belongs.

    Attributes
    ----------
    missing
        How many frames lie between the one before and this one.
    late
        Whether it belongs before the one before: its time goes back.
    """

    index: int
    timestamp_ns: int
    missing: int = 0
    late: bool = False


class Timeline:
    """Gives frames their numbers and times.

    Parameters
    ----------
    began_ns
        Time of the first frame, ns since 1970.
    time_base
        Unit of the time stamps, s.
    rate
        Frames a second, None if unknown.
    fps
        The true rate, if the stream's time stamps mean nothing.
    by_time
        Whether a jump in the time stamps means that frames are missing.
    """

    def __init__(
        self,
        began_ns: int,
        time_base: float,
        rate: float | None,
        fps: float | None,
        *,
        by_time: bool,
    ) -> None:
        self._began_ns = began_ns
        self._time_base = time_base
        self.rate = rate
        self._fps = fps
        self.by_time = by_time and rate is not None and fps is None
        self._first_pts: int | None = None
        self._last_pts: int | None = None
        self.count = 0
        """Index of the frame that comes next, if none is missing."""
        self.longest_s = 0.0
        """Longest time between two frames."""

    def place(self, pts: int | None) -> Place:
        """Return where the frame with this time stamp belongs."""
        index, last = self.count, self._last_pts
        if pts is None or self._fps is not None:
            self.count += 1
            return Place(index, self._at(index))
        if self._first_pts is None:
            self._first_pts = pts
        seconds = (pts - self._first_pts) * self._time_base
        if last is not None:
            step_s = (pts - last) * self._time_base
            if step_s <= 0:
                return Place(index, 0, late=True)
            self.longest_s = max(self.longest_s, step_s)
        self._last_pts = pts
        missing = 0
        if self.by_time and self.rate is not None:
            missing = max(0, round(seconds * self.rate) - index)
        self.count = index + missing + 1
        return Place(index + missing, self._began_ns + round(seconds * 1e9), missing)

    def skip(self) -> int:
        """Count a frame that cannot be used; return its index."""
        self.count += 1
        return self.count - 1

    def _at(self, index: int) -> int:
        rate = self._fps or self.rate
        return self._began_ns + (round(index * 1e9 / rate) if rate else 0)

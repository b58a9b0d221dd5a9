"""When frames are due: at a steady rate that does not drift, or as fast as may be."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from scopeside.scan import IntArray

BATCH_S = 0.002  # a paced batch is what comes due in this time, as the sink's default


class Schedule:
    """Says how many frames are due, and when each was.

    Frame i is due (i + 1) / fps after the start: when its exposure has ended. Without
    `fps` any number is due at any time, and the frames since the last batch count as
    spread evenly over the time since then.

    Parameters
    ----------
    fps
        Frames per second, or None.
    monotonic_ns, wall_ns
        The clocks. The wall clock is asked only once, so that time stamps ascend even
        if it is set back.
    """

    def __init__(
        self,
        fps: float | None,
        *,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._fps = fps
        self._monotonic_ns = monotonic_ns
        self._start_ns = self._last_ns = monotonic_ns()
        self._wall_offset_ns = wall_ns() - self._start_ns

    def wait_s(self, done: int, frames: int) -> float:
        """Return for how long to wait until the next batch is due, s; ≤ 0: it is."""
        if self._fps is None:
            return 0.0
        together = max(1, int(self._fps * BATCH_S))
        last = min(done + together, frames)
        due_ns = self._start_ns + last / self._fps * 1e9
        return (due_ns - self._monotonic_ns()) / 1e9

    def due(self, done: int, most: int) -> int:
        """Return how many frames after the first `done` are due, from 1 to `most`."""
        if self._fps is None:
            return most
        so_far = int((self._monotonic_ns() - self._start_ns) * self._fps / 1e9)
        return min(max(so_far - done, 1), most)

    def timestamps_ns(self, done: int, n: int) -> IntArray:
        """Return (n,) when the frames after `done` were due, ns since 1970."""
        count = np.arange(1, n + 1)
        if self._fps is None:
            now = self._monotonic_ns()
            since_last = count * (now - self._last_ns) // n
            stamps = self._last_ns + since_last
            self._last_ns = now
        else:
            stamps = self._start_ns + ((done + count) * (1e9 / self._fps)).astype(
                np.int64
            )
        return stamps + self._wall_offset_ns

    def postpone(self, seconds: float) -> None:
        """Let all that is still to come be due so much later."""
        self._start_ns += int(seconds * 1e9)

"""When each frame of an acquisition was taken, as far as results tell."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

MOST = 512
_LAST_NS = (1 << 63) - 1
"""In the year 2262; a message holds no later time."""


class FrameTimes:
    """Learns from pairs of a frame and a time, and reads between them.

    A result bears the time of the newest frame of its chain, which may be a later one
    than that it stands on: a pair says that the frame was taken then, or earlier.

    Parameters
    ----------
    frame_time_s
        From one frame to the next, as the acquisition says; None: it does not.
    """

    def __init__(self, frame_time_s: float | None = None) -> None:
        self.frame_time_s = frame_time_s
        self._frames: list[int] = []
        self._times: list[int] = []

    @property
    def newest(self) -> int:
        """The newest frame that is known of; -1: none."""
        return self._frames[-1] if self._frames else -1

    @property
    def newest_ns(self) -> int | None:
        """Its time."""
        return self._times[-1] if self._times else None

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Frames and their times, as far as they are kept."""
        return list(zip(self._frames, self._times, strict=True))

    def put_before(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Take what somebody else has learned of earlier frames."""
        first = self._frames[0] if self._frames else None
        early = [one for one in pairs if first is None or one[0] < first]
        self._frames[:0] = [frame for frame, _ in early]
        self._times[:0] = [t_ns for _, t_ns in early]

    def thin(self, most: int) -> None:
        """Keep so many pairs, evenly spaced, the first and the last among them."""
        last = len(self._frames) - 1
        if last >= most:
            kept = [round(last * k / (most - 1)) for k in range(most)]
            self._frames = [self._frames[k] for k in kept]
            self._times = [self._times[k] for k in kept]

    def learn(self, frame: int, t_ns: int) -> None:
        """Take note that `frame` was taken at `t_ns`, or earlier."""
        if frame < 0 or t_ns <= 0 or frame <= self.newest:
            return
        while self._frames and self._too_late(frame, t_ns):
            self._frames.pop()
            self._times.pop()
        self._frames.append(frame)
        self._times.append(t_ns)
        if len(self._frames) > MOST:
            # The first and the last stay.
            self._frames[1:-1] = self._frames[1:-1:2]
            self._times[1:-1] = self._times[1:-1:2]

    def at(self, frame: float) -> int | None:
        """Return the time of a frame, ns since 1970 UTC; None before any is known.

        Also None where a plug-in counts its frames so that their times are none.
        """
        if not self._frames:
            return None
        t_ns = self._read(frame)
        return t_ns if abs(t_ns) <= _LAST_NS else None

    # ---------------------------------------------------------------------------

    def _read(self, frame: float) -> int:
        at = bisect_right(self._frames, frame)
        if 0 < at < len(self._frames):
            before, after = self._frames[at - 1], self._frames[at]
            share = (frame - before) / (after - before)
            return self._between(at, share)
        near = 0 if at == 0 else -1
        away = frame - self._frames[near]
        return self._times[near] + round(away * self._step_ns())

    def _too_late(self, frame: int, t_ns: int) -> bool:
        """Whether the last pair cannot be, as the new one came so soon after it."""
        least_ns = 0.5e9 * (self.frame_time_s or 0.0) * (frame - self._frames[-1])
        return self._times[-1] >= t_ns - least_ns

    def _between(self, at: int, share: float) -> int:
        before, after = self._times[at - 1], self._times[at]
        return before + round(share * (after - before))

    def _step_ns(self) -> float:
        if self.frame_time_s:
            return 1e9 * self.frame_time_s
        if len(self._frames) < 2:
            return 0.0
        frames = self._frames[-1] - self._frames[0]
        return (self._times[-1] - self._times[0]) / frames

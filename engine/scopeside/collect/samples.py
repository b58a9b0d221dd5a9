"""Samples of a channel in order of time, and the times of frames; both bounded."""

from __future__ import annotations

import numpy as np

from scopeside.join import LATEST_NS, FloatArray, IntArray

MAX_FRAMES = 1 << 24
"""Frames of an acquisition whose times are kept: 128 MiB at most."""
_UNKNOWN = -1


class Samples:
    """Time-stamped values, kept in order of time; a sample that is here is left out.

    Attributes
    ----------
    dropped
        Samples that went because there were more than `limit`: the oldest.
    """

    def __init__(self, limit: int) -> None:
        self.dropped = 0
        self._limit = limit
        self._n = 0
        self._times = np.empty(64, np.int64)
        self._values = np.empty(64, np.float64)

    def __len__(self) -> int:
        return self._n

    @property
    def times(self) -> IntArray:
        """Their times, ns, ascending; a view, not to be written to."""
        return self._times[: self._n]

    @property
    def values(self) -> FloatArray:
        """Their values; a view, not to be written to."""
        return self._values[: self._n]

    @property
    def newest_ns(self) -> int:
        """Time of the latest sample, -1 before the first."""
        return int(self._times[self._n - 1]) if self._n else -1

    def add(self, times: IntArray, values: FloatArray) -> None:
        """Put samples in, whatever their order."""
        if not len(times):
            return
        before = self._n
        self._make_room(before + len(times))
        self._times[before : before + len(times)] = times
        self._values[before : before + len(times)] = values
        self._n += len(times)
        # Nearly always they are later than all before, and only they are sorted.
        at = int(np.searchsorted(self._times[:before], times.min(), side="left"))
        self._tidy(at)
        if self._n > self._limit:
            self._shed()

    def copy(self, limit: int) -> Samples:
        """Return the same samples for another holder."""
        other = Samples(limit)
        other.add(self.times, self.values)
        return other

    def _make_room(self, n: int) -> None:
        if n > len(self._times):
            room = max(n, 2 * len(self._times)) - self._n
            self._times = np.concatenate([self.times, np.empty(room, np.int64)])
            self._values = np.concatenate([self.values, np.empty(room)])

    def _tidy(self, at: int) -> None:
        """Sort what lies behind `at`, by time and value, and leave out what is twice.

        By value, too: the same samples in whatever order give the same series.
        """
        times, values = self._times[at : self._n], self._values[at : self._n]
        order = np.lexsort((values, times))
        times, values = times[order], values[order]
        new = np.ones(len(times), bool)
        new[1:] = (times[1:] != times[:-1]) | (values[1:] != values[:-1])
        times, values = times[new], values[new]
        self._n = at + len(times)
        self._times[at : self._n] = times
        self._values[at : self._n] = values

    def _shed(self) -> None:
        """Let the oldest go, a quarter at once: each time what is left is moved."""
        gone = max(self._n - self._limit, self._limit // 4)
        self.dropped += gone
        self._n -= gone
        self._times[: self._n] = self._times[gone : gone + self._n].copy()
        self._values[: self._n] = self._values[gone : gone + self._n].copy()


class FrameTimes:
    """When each frame of an acquisition was taken, as far as it is known.

    Attributes
    ----------
    newest_ns
        Time of the latest frame, -1 before the first.
    highest
        Index of the last frame whose time is known, -1 before the first.
    beyond
        Whether frames came that are too many to be kept.
    """

    def __init__(self, expected: int | None) -> None:
        self.newest_ns = -1
        self.highest = -1
        self.beyond = False
        self._expected = expected or 0
        self._times = np.empty(0, np.int64)

    def add(self, index: IntArray, times: IntArray) -> None:
        """Keep the times of frames; those that are here already change nothing."""
        good = (index >= 0) & (index < MAX_FRAMES) & (times >= 0) & (times < LATEST_NS)
        if not good.all():
            self.beyond |= bool((index >= MAX_FRAMES).any())
            index, times = index[good], times[good]
        if not len(index):
            return
        self.highest = max(self.highest, int(index.max()))
        if self.highest >= len(self._times):
            size = max(self.highest + 1, 2 * len(self._times), self._expected)
            size = min(size, MAX_FRAMES)
            grown = np.full(size, _UNKNOWN, np.int64)
            grown[: len(self._times)] = self._times
            self._times = grown
        self._times[index] = times
        self.newest_ns = max(self.newest_ns, int(times.max()))

    @property
    def known(self) -> tuple[IntArray, IntArray]:
        """Indices of the frames whose times are known, ascending, and the times."""
        index = np.flatnonzero(self._times != _UNKNOWN).astype(np.int64)
        return index, self._times[index]

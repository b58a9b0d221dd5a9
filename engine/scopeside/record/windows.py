"""Which frames surround an event: the decision behind ``mode = "on_event"``.

No I/O and no clock: it is told what is known of events, and is asked about frames by
their time stamps. The window of an event is

    [onset - before, declaration + after]

both ends included: a frame at exactly either time is kept. Windows that overlap or
touch are one window that bears the labels of all. What is not in a window is let go,
but only when no event can be told any more that covers it: an event is declared at a
frame that nobody has looked at yet, so at ``upto`` or later, and its onset lies at most
``late`` before that. So a frame before ``upto - late - before`` is decided.

In doubt a frame is kept: one without a time stamp (0 or less), and one whose time lies
more than ``late`` behind that of a frame before it, because the clock was set back.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

MAX_LABELS = 64
"""Labels of one window; of those beyond nothing is kept."""
_LATEST = (1 << 63) - 1

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


class Told(NamedTuple):
    """An event: its onset, the frame at which it was declared, and what it is."""

    onset_ns: int
    declared_ns: int
    label: str


class Window(NamedTuple):
    """A stretch of time that is kept; both ends belong to it."""

    from_ns: int
    to_ns: int
    labels: tuple[str, ...]


class Keeper:
    """Decides for the frames of one acquisition, asked in the order they came.

    Attributes
    ----------
    windows
        Those known so far, in order of time, disjoint.
    doubted
        Whether frames were kept because their time says nothing.
    """

    def __init__(self, before_ns: int, after_ns: int, late_ns: int) -> None:
        self.windows: list[Window] = []
        self.doubted = False
        self._before_ns = before_ns
        self._after_ns = after_ns
        self._late_ns = late_ns
        self._upto_ns = -1
        self._final = False
        self._newest_ns = 0
        self._last = np.empty(0, np.int64)
        self._starts = np.empty(0, np.int64)
        self._ends = np.empty(0, np.int64)

    @property
    def decided_before_ns(self) -> int:
        """All frames earlier than this are decided."""
        if self._final:
            return _LATEST
        return self._upto_ns - self._late_ns - self._before_ns

    def know(
        self,
        events: Iterable[Sequence[int | str]],
        upto_ns: int,
        final: bool,
    ) -> None:
        """Take the state of what is known of an acquisition.

        States may come again, and in any order: what was known once stays known.

        Parameters
        ----------
        events
            [onset, declaration, label] of each event that has been told, ns.
        upto_ns
            Every frame up to this time has been looked at; -1 before the first.
        final
            All frames have been looked at: there will be no further event.
        """
        for onset, declared, label in events:
            told = Told(int(onset), int(declared), str(label))
            self._add(self._window_of(told))
        self._starts = np.array([one.from_ns for one in self.windows], np.int64)
        self._ends = np.array([one.to_ns for one in self.windows], np.int64)
        self._upto_ns = max(self._upto_ns, upto_ns)
        self._final |= final

    def verdict(self, times_ns: IntArray) -> BoolArray | None:
        """Return which frames of a batch are kept, (n,); None: it has to wait.

        `times_ns`: (n,) int64, the time stamps of its frames. A batch that has to wait
        is asked about again before those that came after it. One that is decided may
        be asked about again at once: the answer is the same.
        """
        if len(self._last) and not np.array_equal(times_ns, self._last):
            self._newest_ns = max(self._newest_ns, int(self._last.max()))
        doubtful = self._doubtful(times_ns)
        kept = self._covered(times_ns) | doubtful
        if not (kept | (times_ns < self.decided_before_ns)).all() and not self._final:
            return None
        self.doubted |= bool(doubtful.any())
        self._last = times_ns.copy()
        return kept

    # ---------------------------------------------------------------------------

    def _window_of(self, event: Told) -> Window:
        from_ns = event.onset_ns - self._before_ns
        to_ns = min(event.declared_ns + self._after_ns, _LATEST)
        return Window(from_ns, max(from_ns, to_ns), (event.label,))

    def _add(self, window: Window) -> None:
        """Put a window in; it swallows those that it overlaps or touches."""
        lo = bisect_left(self.windows, window.from_ns, key=_end)
        hi = bisect_right(self.windows, window.to_ns, key=_start)
        old = self.windows[lo:hi]
        labels = dict.fromkeys(label for one in old for label in one.labels)
        labels |= dict.fromkeys(window.labels)
        self.windows[lo:hi] = [
            Window(
                min([window.from_ns, *(one.from_ns for one in old)]),
                max([window.to_ns, *(one.to_ns for one in old)]),
                tuple(labels)[:MAX_LABELS],
            )
        ]

    def _covered(self, times_ns: IntArray) -> BoolArray:
        """Return which times lie in a window, (n,)."""
        if not self.windows:
            return np.zeros(len(times_ns), np.bool_)
        at = np.searchsorted(self._starts, times_ns, side="right") - 1
        covered: BoolArray = (at >= 0) & (times_ns <= self._ends[at])
        return covered

    def _doubtful(self, times_ns: IntArray) -> BoolArray:
        """Return which times say nothing, (n,)."""
        if not len(times_ns):
            return np.zeros(0, np.bool_)
        newest = np.maximum(np.maximum.accumulate(times_ns), self._newest_ns)
        doubtful: BoolArray = (times_ns <= 0) | (times_ns < newest - self._late_ns)
        return doubtful


def _start(window: Window) -> int:
    return window.from_ns


def _end(window: Window) -> int:
    return window.to_ns

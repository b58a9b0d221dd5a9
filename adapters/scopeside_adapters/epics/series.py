"""Which acquisition a frame belongs to, which index it has, and what is missing.

areaDetector does not say where an acquisition begins or ends. It is told by the
frames: `uniqueId` falls (ArrayCounter was set to 0), shape or type change, the number
of frames that is expected has come, or (the source's business) nothing comes for some
time. No clock here.
"""

from __future__ import annotations

from dataclasses import dataclass

from scopeside.detector import EndState
from scopeside_adapters.epics.protocol import Frame

REORDERED = 16
"""A frame may come so many frames late (plug-ins with several threads do this)."""
LONGEST_GAP = 1 << 20
"""A `uniqueId` that jumps further is another acquisition's."""
_WRAP = 1 << 32
_NOT_WRAPPED = 1 << 31


@dataclass(frozen=True, slots=True)
class SeriesStarted:
    """An acquisition begins, with frames like `frame`."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class FrameReceived:
    """Frame number `index` of the acquisition."""

    index: int
    frame: Frame


@dataclass(frozen=True, slots=True)
class FramesMissed:
    """Frames `first` to `last`, inclusive, have not come and will not."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class FrameRepeated:
    """The same frame came again."""

    index: int


@dataclass(frozen=True, slots=True)
class SeriesEnded:
    """The acquisition is over; `total` frames belong to it, missing ones included."""

    state: EndState
    reason: str
    total: int


Event = SeriesStarted | FrameReceived | FramesMissed | FrameRepeated | SeriesEnded


class Series:
    """Follows the frames of one channel.

    Parameters
    ----------
    frames
        How many an acquisition has; None: nobody knows.
    first_id
        `uniqueId` of the first frame of an acquisition; None: of the one that comes
        first.
    """

    def __init__(self, frames: int | None = None, first_id: int | None = None) -> None:
        self._frames = frames
        self._first_id = first_id
        self._open: Frame | None = None
        self._base = 0
        self._last = -1
        self._last_ns: int | None = None
        self._holes: list[tuple[int, int]] = []
        self._next_base: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether an acquisition has begun and not ended."""
        return self._open is not None

    def feed(self, frame: Frame) -> list[Event]:
        """Return what `frame` tells, in order."""
        events: list[Event] = []
        if self._open is not None and (reason := self._another(frame)):
            events += self.end(reason)
        if self._open is not None and self._index(frame) >= (self._frames or _WRAP):
            events += self._complete()
        if self._open is None:
            if self._is_repeated(frame):
                return [*events, FrameRepeated(self._last)]
            events += self._begin(frame)
        events += self._place(frame)
        return events + self._release(self._last - REORDERED)

    def settle(self) -> list[Event]:
        """Return what follows when late frames cannot be expected any more."""
        if self._open is None:
            return []
        return self._release(self._last)

    def end(
        self, reason: str, *, whole: EndState = "complete", short: EndState = "stopped"
    ) -> list[Event]:
        """End the acquisition, because of `reason`.

        In the state `short` if fewer frames have come than are expected; in `whole`
        if not, or if nobody knows how many that are.
        """
        if self._open is None:
            return []
        events = self._declared(self._last)
        total = self._last + 1
        state = whole
        if self._frames is not None and total < self._frames:
            state = short
            reason = f"{reason}, after {total} of {self._frames} frames"
        self._open = None
        self._next_base = None
        return [*events, SeriesEnded(state, reason, total)]

    def abandon(self) -> None:
        """Forget the acquisition: it could not be begun."""
        self._open = None
        self._holes = []

    # ---------------------------------------------------------------------------

    def _another(self, frame: Frame) -> str:
        """Say why `frame` belongs to another acquisition; empty if it does not."""
        assert self._open is not None
        if (frame.shape, frame.dtype) != (self._open.shape, self._open.dtype):
            return f"the frames changed from {_like(self._open)} to {_like(frame)}"
        index = self._index(frame)
        if self._is_repeated(frame) or self._is_late(index, frame):
            return ""
        if index <= self._last:
            return f"uniqueId began again at {frame.unique_id}"
        if index - self._last > LONGEST_GAP:
            return f"uniqueId jumped by {index - self._last}"
        return ""

    def _is_repeated(self, frame: Frame) -> bool:
        """Return whether it is the newest frame again, by number and time."""
        same = self._last >= 0 and self._index(frame) == self._last
        if self._open is None and frame.timestamp_ns is None:
            return False  # single frames without a time may all have one number
        return same and frame.timestamp_ns == self._last_ns

    def _is_late(self, index: int, frame: Frame) -> bool:
        """Return whether a frame that is missing comes after later ones.

        Its time stamp tells it from the first frames of a new acquisition.
        """
        if frame.timestamp_ns is None or self._last_ns is None:
            return False
        missing = any(first <= index <= last for first, last in self._holes)
        return missing and frame.timestamp_ns < self._last_ns

    def _index(self, frame: Frame) -> int:
        """Return the index, with uniqueId (32 bit) taken as a count without end."""
        index = frame.unique_id - self._base
        while self._last - index > _NOT_WRAPPED:
            index += _WRAP
        return index

    def _begin(self, frame: Frame) -> list[Event]:
        first = frame.unique_id if self._first_id is None else self._first_id
        if self._next_base is not None and self._frames is not None:
            # The count runs on: whole acquisitions may have been missed.
            ahead = frame.unique_id - self._next_base
            if 0 <= ahead <= LONGEST_GAP:
                first = self._next_base + ahead // self._frames * self._frames
        if not 0 <= frame.unique_id - first < min(LONGEST_GAP, self._frames or _WRAP):
            first = frame.unique_id  # joined in mid-run, or counted in another way
        self._open = frame
        self._base = first
        self._last = -1
        self._last_ns = None
        self._next_base = None
        return [SeriesStarted(frame)]

    def _place(self, frame: Frame) -> list[Event]:
        index = self._index(frame)
        if index == self._last:
            return [FrameRepeated(index)]
        if index < self._last:
            self._fill(index)
            return [FrameReceived(index, frame), *self._completed()]
        if index > self._last + 1:
            self._holes.append((self._last + 1, index - 1))
        self._last = index
        self._last_ns = frame.timestamp_ns
        return [FrameReceived(index, frame), *self._completed()]

    def _fill(self, index: int) -> None:
        """Take `index` out of the holes."""
        left: list[tuple[int, int]] = []
        for first, last in self._holes:
            if first <= index <= last:
                rest = ((first, index - 1), (index + 1, last))
                left += [(a, b) for a, b in rest if a <= b]
            else:
                left.append((first, last))
        self._holes = left

    def _declared(self, upto: int) -> list[Event]:
        """Give up what is missing up to `upto`."""
        gone = [hole for hole in self._holes if hole[1] <= upto]
        self._holes = self._holes[len(gone) :]
        return [FramesMissed(first, last) for first, last in gone]

    def _release(self, upto: int) -> list[Event]:
        events = self._declared(upto)
        return events + (self._completed() if events else [])

    def _completed(self) -> list[Event]:
        """Return the end if the last frame has come, and nothing is missing."""
        if self._open is None or self._frames is None or self._holes:
            return []
        return self._complete() if self._last + 1 >= self._frames else []

    def _complete(self) -> list[Event]:
        """End the acquisition, because a frame of it or after it was the last one."""
        assert self._frames is not None
        if self._last + 1 < self._frames:
            self._holes.append((self._last + 1, self._frames - 1))
        events = self._declared(self._frames)
        self._open = None
        self._next_base = _int32(self._base + self._frames)
        return [*events, SeriesEnded("complete", "", self._frames)]


def _int32(number: int) -> int:
    return (number + _NOT_WRAPPED) % _WRAP - _NOT_WRAPPED


def _like(frame: Frame) -> str:
    return f"{frame.shape[0]}×{frame.shape[1]} {frame.dtype}"

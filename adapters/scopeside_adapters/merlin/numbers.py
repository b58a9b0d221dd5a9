"""Turns the numbers of the frames into indices, and finds what is missing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from scopeside.ledger import FrameRanges

IntArray = npt.NDArray[np.int64]

_ENDLESS = 1 << 62
_LAST = 999_999  # six digits: what comes after it is not known for sure
_RESTART = 3  # frames after which number 1 is no repetition but a new series


@dataclass(frozen=True, slots=True)
class Taken:
    """What the numbers of some frames say.

    Attributes
    ----------
    which
        Which of the frames belong to the acquisition, by their place; ascending.
    index
        Of these.
    missing
        Ranges of indices that will not come.
    back
        In words, if the numbers went back or came twice; else empty.
    beyond
        How many frames have numbers beyond the last one of the acquisition.
    restarts
        Where number 1 has come again; None if it has not. Nothing was taken from
        there on.
    """

    which: IntArray
    index: IntArray
    missing: tuple[tuple[int, int], ...] = ()
    back: str = ""
    beyond: int = 0
    restarts: int | None = None


class Numbers:
    """The numbers of one acquisition; number 1 is index 0.

    What is skipped counts as missing once a further batch has not brought it. Numbers
    of six digits may begin again after 999999; the index goes on.

    Parameters
    ----------
    begin
        The first index that is awaited.
    stride
        Steps of the number from one frame to the next.
    most
        How many indices there are; None if nobody has said.

    Attributes
    ----------
    next
        One more than the highest index so far.
    received
        How many different indices have come.
    stride
        Steps of the number from one frame to the next.
    """

    def __init__(
        self, begin: int = 0, stride: int = 1, most: int | None = None
    ) -> None:
        self.next = begin
        self.received = 0
        self.stride = stride
        self._most = _ENDLESS if most is None else most
        self._shift = -1  # of a number to what it counts from 0
        self._seen = FrameRanges([(0, begin - 1)] if begin else [])
        self._doubtful: tuple[int, int] | None = None

    def widen(self) -> None:
        """Take every second number as the next frame, from now on."""
        if self.next:
            self._shift = 2 * (self.next - 1) - self.last
        self.stride = 2

    @property
    def last(self) -> int:
        """The number of the frame with the highest index so far."""
        return self._number(self.next - 1)

    def take(self, sequence: IntArray) -> Taken:
        """Return the indices of frames with these numbers, and what is missing."""
        before, self._doubtful = self._doubtful, None
        index = (sequence + self._shift) // self.stride
        last = self.next + len(index) - 1
        if (
            int(index[0]) == self.next
            and last < self._most
            and bool((np.diff(index) == 1).all())
        ):
            self.received += self._seen.add(self.next, last)
            self.next = last + 1
            taken = Taken(np.arange(len(index)), index)
        else:
            taken = self._one_by_one(sequence)
        if before is None:
            return taken
        return replace(taken, missing=tuple(self._seen.holes(*before)))

    def remaining(self) -> tuple[tuple[int, int], ...]:
        """Return what is missing so far, at the end of the acquisition."""
        doubtful, self._doubtful = self._doubtful, None
        return () if doubtful is None else tuple(self._seen.holes(*doubtful))

    def _one_by_one(self, sequence: IntArray) -> Taken:
        which: list[int] = []
        index: list[int] = []
        awaited, back, restarts = self.next, "", None
        for k, number in enumerate(sequence.tolist()):
            at = self._index(number)
            if at == 0 and self.next >= _RESTART:
                restarts = k
                break
            if at >= self._most:
                continue
            if at < self.next and not back:
                back = f"frame {number} came after frame {self.last}"
            if at >= 0:
                self.received += self._seen.add(at, at)
            self.next = max(self.next, at + 1)
            which.append(k)
            index.append(at)
        if self.next > awaited:
            self._doubtful = (awaited, self.next - 1)
        beyond = (len(sequence) if restarts is None else restarts) - len(which)
        places, found = np.array(which, np.int64), np.array(index, np.int64)
        return Taken(places, found, (), back, beyond, restarts)

    def _index(self, number: int) -> int:
        if number == 0 and self.next == 0:
            self._shift = 0  # a detector that counts from 0
        elif number <= 1 and self.last == _LAST:
            self._shift += _LAST + 1 - number
        return (number + self._shift) // self.stride

    def _number(self, index: int) -> int:
        return index * self.stride - self._shift

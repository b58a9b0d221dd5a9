"""The account of every frame: where it came from and in which one place it ended."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

Run = tuple[int, int]
"""First and last frame, inclusive."""


class FrameRanges:
    """A set of frame indices, kept as disjoint runs in order."""

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in runs:
            self.add(first, last)

    def add(self, first: int, last: int) -> int:
        """Put in frames `first` to `last`; return how many were new."""
        if self._lasts and first == self._lasts[-1] + 1:  # nearly always
            self._lasts[-1] = last
            return last - first + 1
        if not self._lasts or first > self._lasts[-1]:
            self._firsts.append(first)
            self._lasts.append(last)
            return last - first + 1
        lo = bisect_left(self._lasts, first - 1)
        hi = bisect_right(self._firsts, last + 1)
        old = sum(
            b - a + 1
            for a, b in zip(self._firsts[lo:hi], self._lasts[lo:hi], strict=True)
        )
        if lo < hi:
            first = min(first, self._firsts[lo])
            last = max(last, self._lasts[hi - 1])
        self._firsts[lo:hi] = [first]
        self._lasts[lo:hi] = [last]
        return last - first + 1 - old

    def overlaps(self, first: int, last: int) -> bool:
        """Whether any frame of `first` to `last` is in the set."""
        if not self._lasts or first > self._lasts[-1]:
            return False
        at = bisect_left(self._lasts, first)
        return self._firsts[at] <= last

    def covers(self, first: int, last: int) -> bool:
        """Whether every frame of `first` to `last` is in the set."""
        at = bisect_left(self._lasts, first)
        return at < len(self._lasts) and (
            self._firsts[at] <= first and last <= self._lasts[at]
        )

    def holes(self, first: int, last: int) -> Iterator[Run]:
        """Yield the runs of `first` to `last` that are not in the set."""
        at = bisect_left(self._lasts, first)
        while first <= last:
            if at >= len(self._firsts) or self._firsts[at] > last:
                yield first, last
                return
            if self._firsts[at] > first:
                yield first, self._firsts[at] - 1
            first = self._lasts[at] + 1
            at += 1

    @property
    def highest(self) -> int:
        """The highest frame index, -1 if there is none."""
        return self._lasts[-1] if self._lasts else -1

    def __len__(self) -> int:
        return sum(b - a + 1 for a, b in self)

    def __iter__(self) -> Iterator[Run]:
        return zip(self._firsts, self._lasts, strict=True)

    def runs(self, at_most: int | None = None) -> list[list[int]]:
        """Return the runs as plain lists, the first `at_most` of them."""
        return [
            [a, b]
            for a, b in zip(self._firsts[:at_most], self._lasts[:at_most], strict=True)
        ]


@dataclass(slots=True)
class Account:
    """The frames of one acquisition on one edge."""

    announced: int = 0
    processed: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)

    @property
    def in_flight(self) -> int:
        """Frames that have been announced and have not ended anywhere yet."""
        return (
            self.announced - self.processed - self.dropped.total() - self.failed.total()
        )

    @property
    def closed(self) -> bool:
        """Whether every announced frame has ended in exactly one place."""
        return self.in_flight == 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for messages and reports."""
        return {
            "announced": self.announced,
            "processed": self.processed,
            "dropped": dict(self.dropped),
            "failed": dict(self.failed),
            "in_flight": self.in_flight,
            "closed": self.closed,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return what `to_dict` gave."""
        return cls(
            values["announced"],
            values["processed"],
            Counter(values["dropped"]),
            Counter(values["failed"]),
        )

"""Puts numbered pictures into order, and waits for those that are missing.

It does no I/O and reads no clock. A key is (group, number): the group is empty in a
plain folder, and (hour, minute, second) in a tree as Gatan cameras write it, where
numbers begin again every second.
"""

from __future__ import annotations

import heapq
import re
from dataclasses import dataclass
from pathlib import PurePath

Key = tuple[tuple[int, ...], int]

_LAST_DIGITS = re.compile(r"(\d+)(?!.*\d)")
_TREE = re.compile(r"Hour_(\d+).*?Minute_(\d+).*?Second_(\d+).*?Frame_(\d+)", re.DOTALL)
_HIGHEST = 1 << 40  # beyond it, digits are a date or a serial number, no count


@dataclass(frozen=True, slots=True)
class Due:
    """The picture that comes next."""

    index: int
    path: PurePath


@dataclass(frozen=True, slots=True)
class Hole:
    """Frames that have been waited for long enough."""

    first: int
    last: int


class Numbering:
    """Which picture comes next.

    Parameters
    ----------
    first
        Number of frame 0; None: the lowest that is there when the first is asked for.
    hole_s
        How long a missing one is waited for, from when a later one is there.
    a_group
        Frames in a group; None if not known: then the next group is begun when its
        first picture has waited for `hole_s`.
    """

    def __init__(
        self, first: int | None, hole_s: float, a_group: int | None = None
    ) -> None:
        self._first = first
        self._hole_s = hole_s
        self._a_group = a_group
        self._pending: list[Key] = []  # a heap
        self._files: dict[Key, tuple[PurePath, float]] = {}
        self._group: tuple[int, ...] | None = None
        self._base = 0  # index of number 0 of the group
        self._next = 0  # number that comes next in the group

    def add(self, key: Key, path: PurePath, now: float) -> str:
        """Take in a picture; return why it is of no use: ``late``, ``duplicate``."""
        if key in self._files:
            return "" if self._files[key][0] == path else "duplicate"
        group, number = key
        begun = self._group is not None
        if (begun and key < (self._group, self._next)) or (
            not begun and number < (self._first or 0) and not group
        ):
            return "late"
        heapq.heappush(self._pending, key)
        self._files[key] = path, now
        return ""

    def next(self, now: float, *, ended: bool = False) -> Due | Hole | None:
        """Return what comes next; None if it has to be waited for.

        A picture comes again until `done` is called. With `ended`, nothing is
        waited for.
        """
        if not self._pending:
            return None
        group, number = self._pending[0]
        path, since = self._files[group, number]
        if self._group is None:
            self._begin(group, number)
        waited = ended or now - since >= self._hole_s
        if group != self._group:
            return self._next_group(group, waited)
        if number > self._next:
            return self._hole(number) if waited else None
        return Due(self._base + number, path)

    def since(self, due: Due) -> float:  # noqa: ARG002 - it is the first of all
        """Return when the picture that comes next was taken in."""
        return self._files[self._pending[0]][1]

    def done(self) -> None:
        """Go on behind the picture that came next."""
        key = heapq.heappop(self._pending)
        del self._files[key]
        self._next = key[1] + 1

    def shift(self, frames: int) -> None:
        """Let the frame that had the index `frames` be frame 0 of an acquisition."""
        self._base -= frames

    @property
    def lowest(self) -> Key | None:
        """Key of the picture that comes first of those that are here."""
        return self._pending[0] if self._pending else None

    @property
    def reached(self) -> int:
        """Index of the frame that comes next."""
        return self._base + self._next

    def _begin(self, group: tuple[int, ...], number: int) -> None:
        self._group = group
        self._next = number if self._first is None else self._first
        self._base = -self._next

    def _next_group(self, group: tuple[int, ...], waited: bool) -> Hole | Due | None:
        whole = self._a_group is not None and self._next >= self._a_group
        if not whole and not waited:
            return None
        if self._a_group is not None and not whole:
            return self._hole(self._a_group)
        self._base += self._next
        self._group, self._next = group, 0
        _, number = self._pending[0]
        return None if number else Due(self._base, self._files[group, 0][0])

    def _hole(self, number: int) -> Hole:
        """Give up what is missing before `number`."""
        hole = Hole(self._base + self._next, self._base + number - 1)
        self._next = number
        return hole


def key_of(path: PurePath, pattern: str | None) -> Key | None:
    """Return the key of a picture from its path; None where it has no number."""
    if pattern is None and (tree := _TREE.search(str(path))) is not None:
        hour, minute, second, frame = map(int, tree.groups())
        return (hour, minute, second), frame
    found = re.search(
        pattern or _LAST_DIGITS, path.stem if pattern is None else path.name
    )
    if found is None or not found[1] or not found[1].isdecimal():
        return None
    number = int(found[1][-20:])
    return ((), number) if number < _HIGHEST else None

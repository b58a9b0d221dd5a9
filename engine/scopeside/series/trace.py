"""Numbers over a whole experiment, in a bounded place: peaks survive."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MOST = 4096
"""Points that a trace keeps, besides the three of what is still being gathered."""

Point = tuple[int, float, float, float]
"""Time, ns since 1970 UTC; value; lower and upper end of its band (NaN: unknown)."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What a trace has new: its points later than `after` are these, from now on.

    Attributes
    ----------
    after
        Time of the last point that is as it was, ns; None: all are new.
    """

    after: int | None
    points: list[Point]


class Trace:
    """A number over time.

    As long as there is room every point is kept. When it is full, four neighbours
    become the least and the largest of them, and what comes from then on is gathered
    as coarsely: so hours are as well resolved as minutes ago, a peak of one frame stays
    where it was, and the first and the last point are always there.

    Attributes
    ----------
    every
        Two points that are kept stand for twice so many that came.
    """

    def __init__(self, most: int = MOST) -> None:
        self.every = 1
        self._most = max(8, most)
        self._kept: list[Point] = []
        self._revisions: list[int] = []  # of each; they rise
        self._gathered: list[Point] = []  # least, largest and last, by time
        self._came = 0  # points that `_gathered` stands for
        self._revision = 0  # of what is gathered

    def __len__(self) -> int:
        return len(self._kept) + len(self._gathered)

    @property
    def points(self) -> list[Point]:
        """What is kept, by time."""
        return self._kept + self._gathered

    @property
    def first_ns(self) -> int | None:
        """Time of the first point; None without one."""
        points = self._kept or self._gathered
        return points[0][0] if points else None

    def add(self, point: Point, revision: int) -> None:
        """Take a point that is later than all before; an earlier one is left out."""
        last = self._gathered or self._kept
        if last and point[0] <= last[-1][0]:
            return
        if not self._kept:
            self._keep([point], revision)
            return
        if self._came >= 2 * self.every:
            gathered = self._gathered
            self._keep(gathered if self.every == 1 else _extremes(gathered), revision)
            self._gathered, self._came = [], 0
        self._gathered = _extremes(self._gathered, point)
        self._came += 1
        self._revision = revision

    def put_before(self, points: Iterable[Point], revision: int) -> None:
        """Take points earlier than all that are there, as who came late learns them."""
        first = self.first_ns
        early = [p for p in points if first is None or p[0] < first]
        if early:
            self._begin_anew([*early, *self.points], revision)

    def replace_until(self, points: Sequence[Point], revision: int) -> None:
        """Take `points` for all that is there until the last of them."""
        later = [p for p in self.points if p[0] > points[-1][0]]
        self._begin_anew([*points, *later], revision)

    def replace_from(self, t_ns: int, points: Iterable[Point], revision: int) -> None:
        """Take `points` for all that is there from `t_ns` on."""
        at = bisect_left(self._kept, t_ns, key=lambda p: p[0])
        del self._kept[at:], self._revisions[at:]
        self._gathered, self._came = [], 0
        for point in points:
            if point[0] >= t_ns:
                self.add(point, revision)
        self._revision = revision

    def since(self, revision: int) -> Changed | None:
        """Return what has changed after `revision`; None if nothing has."""
        at = bisect_right(self._revisions, revision)
        if at == len(self._kept) and self._revision <= revision:
            return None
        after = self._kept[at - 1][0] if at else None
        return Changed(after, self._kept[at:] + self._gathered)

    # ---------------------------------------------------------------------------

    def _keep(self, points: list[Point], revision: int) -> None:
        if len(self._kept) + len(points) > self._most:
            self._thin(revision)
        self._kept += points
        self._revisions += [revision] * len(points)

    def _thin(self, revision: int) -> None:
        """Keep two of each four, but for the first of all."""
        thin = self._kept[:1]
        for at in range(1, len(self._kept), 4):
            group: list[Point] = []
            for point in self._kept[at : at + 4]:
                group = _extremes(group, point)
            thin += _extremes(group)
        self._kept = thin
        self._revisions = [revision] * len(thin)
        self.every *= 2

    def _begin_anew(self, points: Iterable[Point], revision: int) -> None:
        self.every, self._kept, self._revisions = 1, [], []
        self._gathered, self._came = [], 0
        for point in points:
            self.add(point, revision)
        self._revisions = [revision] * len(self._kept)


def _extremes(points: list[Point], newest: Point | None = None) -> list[Point]:
    """Return the least and the largest of `points` and `newest`, and `newest`, by time.

    What is no number is kept only where nothing else is.
    """
    every = points if newest is None else [*points, newest]
    numbers = [p for p in every if not math.isnan(p[1])]
    if numbers:
        kept = {min(numbers, key=_value), max(numbers, key=_value)}
    else:
        kept = set(every[:1])
    if newest is not None:
        kept.add(newest)
    return sorted(kept, key=lambda p: p[0])


def _value(point: Point) -> float:
    return point[1]

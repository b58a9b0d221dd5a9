"""The beam of the simulated microscope, placed on points one after another."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from scopeside.scan import IntArray
from scopeside_adapters.simulator.state import State

REMEMBERED_VISITS = 100_000
MOST_TOLD = 10_000
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Placement:
    """The beam dwells on each point, then does again what it did before.

    Attributes
    ----------
    points
        (row, column) of each, 0 (first position of the scan) … 1 (last one).
    """

    id: str | int
    before: State
    points: tuple[Point, ...]
    since_ns: int
    dwell_ns: int

    @property
    def until_ns(self) -> int:
        """When the beam leaves the last point."""
        return self.since_ns + len(self.points) * self.dwell_ns

    @property
    def after(self) -> State:
        """The state from then on."""
        return replace(self.before, epoch=self.before.epoch + len(self.points) + 1)

    def number_at(self, times_ns: IntArray) -> IntArray:
        """Return which point the beam stands on at each time."""
        number = (times_ns - self.since_ns) // self.dwell_ns
        return number.clip(0, len(self.points) - 1)

    def state(self, number: int) -> State:
        """Return the state while the beam stands on a point."""
        return replace(
            self.before,
            epoch=self.before.epoch + 1 + number,
            probe=self.points[number],
        )

    def state_at(self, t_ns: int) -> State:
        """Return the state at a time."""
        return self.state(int(self.number_at(np.array([t_ns]))[0]))

    def visits(self, end_ns: int) -> list[Visit]:
        """Return where the beam has been up to a time."""
        found = []
        for number, (row, column) in enumerate(self.points):
            since = self.since_ns + number * self.dwell_ns
            if since >= end_ns:
                break
            stayed = min(self.dwell_ns, end_ns - since)
            found.append(Visit(since, row, column, stayed / 1e9))
        return found


class Visit(NamedTuple):
    """One stay of the beam on a point."""

    t_ns: int
    row: float
    column: float
    dwell_s: float


class Visits:
    """The last stays of the beam, numbered from 0."""

    def __init__(self) -> None:
        self._kept: deque[Visit] = deque(maxlen=REMEMBERED_VISITS)
        self.total = 0

    def add(self, visits: list[Visit]) -> None:
        """Remember more of them."""
        self._kept.extend(visits)
        self.total += len(visits)

    def since(self, first: int) -> tuple[int, list[Visit]]:
        """Return the stays from number `first` on, and the number of the first.

        At most `MOST_TOLD`; those that are forgotten are left out.
        """
        forgotten = self.total - len(self._kept)
        begin = max(first - forgotten, 0)
        return begin + forgotten, list(self._kept)[begin : begin + MOST_TOLD]

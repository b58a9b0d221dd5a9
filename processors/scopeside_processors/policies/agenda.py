"""Which events wait to be looked at, and where has been looked already."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

MOST_WAITING = 64
MOST_VISITED = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """An event; `yx_m` on the specimen, metres."""

    name: int
    yx_m: FloatArray
    confidence: float
    t_ns: int


class Agenda:
    """Events by confidence; of those near to each other, and to one visited, one."""

    def __init__(self, apart_m: float) -> None:
        self._apart_m = apart_m
        self._waiting: list[Waiting] = []
        self._visited: list[FloatArray] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, event: Waiting) -> None:
        """Put in an event, or what is new of one that waits."""
        if any(self._near(place, event.yx_m) for place in self._visited):
            return
        same = [
            one
            for one in self._waiting
            if one.name == event.name or self._near(one.yx_m, event.yx_m)
        ]
        self._waiting = [one for one in self._waiting if one not in same]
        surest = max([event, *same], key=lambda one: one.confidence)
        self._waiting.append(replace(event, confidence=surest.confidence))
        # The surest first; of equal ones the one that was there first.
        self._waiting.sort(key=lambda one: (-one.confidence, one.t_ns, one.name))
        del self._waiting[MOST_WAITING:]

    def drop(self, name: int) -> None:
        """Take out an event that is none any more."""
        self._waiting = [one for one in self._waiting if one.name != name]

    def next(self, since_ns: int) -> Waiting | None:
        """Take out the event to be looked at next; those from before are dropped."""
        self._waiting = [one for one in self._waiting if one.t_ns >= since_ns]
        if not self._waiting:
            return None
        event = self._waiting.pop(0)
        self._visited = [*self._visited[1 - MOST_VISITED :], event.yx_m]
        return event

    def move(self, by_m: FloatArray) -> None:
        """Take note that the specimen has moved."""
        self._waiting = [replace(one, yx_m=one.yx_m + by_m) for one in self._waiting]
        self._visited = [place + by_m for place in self._visited]

    def forget(self) -> None:
        """Begin anew."""
        self._waiting.clear()
        self._visited.clear()

    def _near(self, one: FloatArray, other: FloatArray) -> bool:
        return float(np.hypot(*(one - other))) < self._apart_m

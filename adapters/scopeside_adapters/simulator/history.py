"""What the simulated microscope was set to, and when."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from scopeside.scan import IntArray
from scopeside_adapters.simulator.placing import Placement
from scopeside_adapters.simulator.state import State

REMEMBERED_STATES = 4096
Run = tuple[int, int, State]


class History:
    """The last states, each with the time from which on it holds.

    A `Placement` stands for the states of all its points; the state after it follows.
    """

    def __init__(self, state: State) -> None:
        self._states: deque[State | Placement] = deque([state], REMEMBERED_STATES)
        self._since_ns = deque([0], REMEMBERED_STATES)

    @property
    def last(self) -> State:
        """The state that holds once all placing is over."""
        state = self._states[-1]
        assert isinstance(state, State)  # a placement is followed by one
        return state

    def not_before(self, t_ns: int) -> int:
        """Return a time, but not one before the last state began."""
        return max(t_ns, self._since_ns[-1])

    def add(self, since_ns: int, state: State) -> None:
        """Add a state; the order is kept even if the wall clock is set back."""
        self._states.append(state)
        self._since_ns.append(self.not_before(since_ns))

    def place(self, placement: Placement) -> None:
        """Add a placement, and the state after it."""
        assert placement.since_ns >= self._since_ns[-1]
        self._states.append(placement)
        self._since_ns.append(placement.since_ns)
        self.add(placement.until_ns, placement.after)

    def end_placement(self) -> None:
        """Take back the state after the last placement: another is to follow it."""
        self._states.pop()
        self._since_ns.pop()

    def at(self, t_ns: int) -> State:
        """Return the state at a time; before all that is remembered, the oldest."""
        state = self._states[max(bisect_right(self._since_ns, t_ns), 1) - 1]
        return state.state_at(t_ns) if isinstance(state, Placement) else state

    def runs(self, times_ns: IntArray) -> list[Run]:
        """Return runs (first, end, state) of ascending times."""
        if len(times_ns) and times_ns[0] >= self._since_ns[-1]:
            return [(0, len(times_ns), self.last)]
        of_each = np.searchsorted(np.array(self._since_ns), times_ns, "right")
        found: list[Run] = []
        for first, end in _equal(np.maximum(of_each, 1)):
            state = self._states[max(int(of_each[first]), 1) - 1]
            if isinstance(state, State):
                found.append((first, end, state))
                continue
            numbers = state.number_at(times_ns[first:end])
            found += [
                (first + a, first + b, state.state(int(numbers[a])))
                for a, b in _equal(numbers)
            ]
        return found


def _equal(values: IntArray) -> Iterator[tuple[int, int]]:
    """Yield (first, end) of runs of equal values."""
    cuts = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    return ((a, b) for a, b in pairwise(cuts) if b > a)

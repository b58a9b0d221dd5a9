"""The commands that wait for the plan, between the link's thread and the RunEngine's.

A command is begun in time or never: it waits no longer than it may, and goes when its
sender has gone.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from scopeside.bluesky.plan_wire import DeviceValue, Reply, Request


class PlanCall(NamedTuple):
    """A command that the guard has allowed, for the plan to carry out.

    Attributes
    ----------
    id
        Hashable, used once.
    action
        As in `scopeside.control.actions`.
    values
        By name of the device, in its units.
    """

    id: str
    action: str
    values: Mapping[str, DeviceValue]


class Waiting:
    """At most a few commands; a blank goes first."""

    MOST = 16

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._calls: deque[tuple[float, PlanCall]] = deque()
        self._closed = False

    def put(self, request: Request, values: Mapping[str, DeviceValue]) -> str:
        """Take a command in; return why not, empty if it waits now."""
        action = request.action or "blank"
        call = (self._clock() + request.within_s, PlanCall(request.id, action, values))
        with self._changed:
            if self._closed:
                return "the plan has ended"
            if len(self._calls) >= self.MOST:
                return f"{self.MOST} commands wait for the plan already"
            if action == "blank":
                self._calls.appendleft(call)
            else:
                self._calls.append(call)
            self._changed.notify_all()
        return ""

    @property
    def any(self) -> bool:
        """Whether a command waits."""
        return bool(self._calls)

    def take(self, wait_s: float = 0.0) -> tuple[PlanCall | None, list[Reply]]:
        """Return the next command, and what those that came too late are answered."""
        late: list[Reply] = []
        ends = self._clock() + wait_s
        with self._changed:
            while True:
                call = self._next(late)
                left = ends - self._clock()
                if call is not None or late or left <= 0 or self._closed:
                    return call, late
                self._changed.wait(left)

    def drop(self, reason: str, ids: Iterable[str] | None = None) -> list[Reply]:
        """Take away what is not begun, all or some; return what to answer."""
        with self._changed:
            gone = [c for _, c in self._calls if ids is None or c.id in ids]
            self._calls = deque(one for one in self._calls if one[1] not in gone)
        return [Reply(call.id, False, reason) for call in gone]

    def close(self) -> None:
        """Take no more in; whoever waits for a command hears that there is none."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _next(self, late: list[Reply]) -> PlanCall | None:
        while self._calls:
            until, call = self._calls.popleft()
            if self._clock() < until:
                return call
            late.append(
                Reply(call.id, False, "the plan was busy; it was not begun in time")
            )
        return None

"""What the guard hears of us many times a second: that we live, and who does not."""

from __future__ import annotations

import time

from scopeside.supervise.member import State
from scopeside.supervise.processes import Processes
from scopeside.wire import Kind

BEAT_MS = 50
"""The guard hears so often from us."""


class Pulse:
    """Beats as long as there is a guard that can be spoken to."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._beaten = 0.0

    def wait_ms(self, wait_ms: int) -> int:
        """Return how long may be waited, instead of `wait_ms`."""
        return min(wait_ms, BEAT_MS) if self._has_guard else wait_ms

    def beat(self) -> None:
        """Let the guard know, if it is time."""
        now = time.monotonic()
        if not self._has_guard or now - self._beaten < BEAT_MS / 2e3:
            return
        self._beaten = now
        absent = [
            member.name
            for member in self._processes.members.values()
            if member.state is not State.RUNNING and not member.beside
        ]
        self._processes.say("guard", Kind.BEAT, degraded=absent)

    @property
    def _has_guard(self) -> bool:
        guard = self._processes.members.get("guard")
        return guard is not None and guard.state is State.RUNNING

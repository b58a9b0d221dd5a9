"""How the processes of an engine end: group after group, each within its time."""

from __future__ import annotations

import time

from scopeside.supervise.member import Member
from scopeside.supervise.processes import Processes

GRACE_S = 10.0
GRACES_S = {
    # It may try for a minute to blank the beam, if that does not work.
    "guard": 70.0,
    # Nothing depends on it: one that hangs does not hold up the end.
    "page": 2.0,
}
"""Of roles that have more or less than `GRACE_S` to end when they are asked."""


class Ending:
    """Asks all processes to end and kills what does not."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._deadline: float | None = None

    def ask(self) -> None:
        """Ask those who are next to end, once those before them have."""
        asked = self._processes.stop()
        if asked or self._deadline is None:
            graces_s = (GRACES_S.get(role, GRACE_S) for role in asked)
            grace_s = max(graces_s, default=GRACE_S)
            self._deadline = time.monotonic() + grace_s

    def look(self) -> bool:
        """Do what is due; return whether all have ended."""
        alive = [m for m in self._processes.members.values() if m.alive]
        self.ask()
        if self._deadline is not None and time.monotonic() > self._deadline:
            for member in alive:
                self._kill(member)
        return not alive

    def _kill(self, member: Member) -> None:
        self._processes.kill_loudly(member, "did not end when asked; it is killed")

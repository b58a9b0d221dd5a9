"""The processes of an engine: started, spoken to, restarted within their budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from scopeside.link import Link
from scopeside.settings import EngineSettings
from scopeside.supervise.member import Member, State
from scopeside.wire import Kind

ENDING = (
    ("collector", "worker", "channels"),
    ("adviser",),
    ("guard",),
    ("recorder",),
    ("page",),
)
"""Roles in the order in which they are asked to end; the adapter ends first, itself.

The page is last: people look at it until all is over."""

_READERS = ("worker", "recorder")

Note = Callable[[str, str], None]
"""Called with who says something, and what."""


class Processes:
    """All members of an engine by name.

    Parameters
    ----------
    for_adapter
        Gives what a new adapter process is told beside its epoch.

    Attributes
    ----------
    epoch
        Number of the adapter process, from 1; 0 before the first.
    """

    def __init__(
        self,
        members: dict[str, Member],
        control: Link,
        settings: EngineSettings,
        note: Note,
        for_adapter: Callable[[], Mapping[str, Any]],
    ) -> None:
        self.members = members
        self.epoch = 0
        self._control = control
        self._settings = settings
        self._note = note
        self._for_adapter = for_adapter
        self._asked_to_end: set[str] = set()

    @property
    def adapter(self) -> Member:
        """The member that runs the detector."""
        return self.members["adapter"]

    @property
    def workers(self) -> list[Member]:
        """The workers of all chains."""
        return [m for m in self.members.values() if m.spec.role == "worker"]

    @property
    def readers(self) -> list[Member]:
        """All who read frames from the slab: the workers, and the recorder."""
        return [m for m in self.members.values() if m.spec.role in _READERS]

    def workers_of(self, chain: str, *states: State) -> list[Member]:
        """Return those workers of a chain that are in one of `states`."""
        return [
            worker
            for worker in self.workers
            if worker.spec.chain == chain and worker.state in states
        ]

    def say(self, name: str, kind: Kind, **header: Any) -> None:
        """Say something to a member."""
        identity = self.members[name].spec.identity
        self._control.send(kind, header, to=identity.encode())

    def say_to_others(self, member: Member, kind: Kind, **header: Any) -> None:
        """Say something to all that run but one."""
        for other in self.members.values():
            if other is not member and other.state is State.RUNNING:
                self.say(other.name, kind, **header)

    def start(self, member: Member) -> None:
        """Start a new process for a member."""
        if member.spec.role == "adapter":
            self.epoch += 1
            member.start(epoch=self.epoch, **self._for_adapter())
        elif member.spec.role == "channels":
            member.start(kept_ns=member.board.read().get("kept_ns", {}))
        else:
            member.start()

    def restart(self, member: Member) -> bool:
        """Start a member again; False if it has died too often."""
        if member.budget.spend(time.monotonic()):
            self.start(member)
            self._note("engine", f"{member.name} is restarted")
            return True
        member.state = State.DEGRADED
        settings = self._settings
        self._note(
            "engine",
            f"DEGRADED: {member.name} died more than {settings.restarts} times within "
            f"{settings.window_s:g} s and is not restarted",
        )
        return False

    def end_of(self, member: Member) -> str | None:
        """Return how the process of a member has ended, None if it runs.

        What it has written is told; one that does not answer is killed.
        """
        self._tell_lines(member)
        if member.alive:
            settings = self._settings
            why = member.complaint(settings.silent_s, settings.stall_s)
            if why is None:
                return None
            self.kill_loudly(member, f"{why}; it is killed")
        how = member.reap()
        self._tell_lines(member)
        return how

    def kill_loudly(self, member: Member, why: str) -> None:
        """Kill a process that does not answer, and tell where it was."""
        self._note(member.name, why)
        for line in member.where_it_hangs():
            self._note(member.name, line)
        member.kill()

    def stop(self) -> set[str]:
        """Ask the next of `ENDING` to end, if all before them have; return their roles.

        The adviser hears out the collector, and the guard the adviser.
        """
        alive = [member for member in self.members.values() if member.alive]
        for roles in ENDING:
            now = [member for member in alive if member.spec.role in roles]
            if now:
                new = [
                    member for member in now if member.name not in self._asked_to_end
                ]
                for member in new:
                    self._asked_to_end.add(member.name)
                    self.say(member.name, Kind.STOP)
                return {member.spec.role for member in new}
        return set()

    def kill(self) -> None:
        """Kill what still runs, except the guard: it holds, blanks, and ends itself."""
        for member in self.members.values():
            if member.spec.role == "guard" and member.alive:
                continue
            member.kill()
            if member.process is not None:
                member.reap()

    def _tell_lines(self, member: Member) -> None:
        for line in member.read_stderr():
            self._note(member.name, line)

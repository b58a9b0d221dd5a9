"""What the death of one who reads frames asks for: no frame is lost, or done twice."""

from __future__ import annotations

from collections.abc import Callable

from scopeside.record.settings import EDGE
from scopeside.supervise.fences import Fences
from scopeside.supervise.member import Member, State
from scopeside.supervise.processes import Processes
from scopeside.supervise.recording import Recording
from scopeside.supervise.recovery import Recovery
from scopeside.wire import Kind


class Deaths:
    """Fences off the dead, and starts them again while their budget lasts.

    Attributes
    ----------
    blind
        Chains for which nobody works any more.
    """

    def __init__(
        self,
        processes: Processes,
        recovery: Recovery,
        fences: Fences,
        recording: Recording,
        say: Callable[..., None],
    ) -> None:
        self.blind: set[str] = set()
        self._processes = processes
        self._recovery = recovery
        self._fences = fences
        self._recording = recording
        self._say = say

    def worker(self, member: Member, *, recovering: bool) -> None:
        """See to a dead worker: its batches go to another.

        Parameters
        ----------
        recovering
            The adapter is dead too; workers start again with the next one.
        """
        self._recovery.drained(member.name)
        self._fences.put(member, self._processes.epoch)
        if recovering:
            member.state = State.ENDED
            return
        chain = member.spec.chain
        left = (State.STARTING, State.RUNNING, State.ENDED)
        if not self._processes.restart(member) and not self._processes.workers_of(
            chain, *left
        ):
            self.degrade(chain)

    def recorder(self, member: Member) -> None:
        """See to a dead recorder: what it held in the slab goes to the next one."""
        self._recovery.drained(member.name)
        self._say("adapter", Kind.FENCE, worker=member.spec.identity)
        if not self._processes.restart(member):
            self._say("adapter", Kind.DEGRADE, chain=EDGE)
            self._recording.lost()

    def degrade(self, chain: str) -> None:
        """Tell that nobody works for a chain any more."""
        self.blind.add(chain)
        self._say("adapter", Kind.DEGRADE, chain=chain)
        self._say("collector", Kind.DEGRADE, chain=chain)

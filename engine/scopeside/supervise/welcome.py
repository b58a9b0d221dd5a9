"""What a process that has become ready is told, and what the others then repeat."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

from scopeside.dashboard.place import address
from scopeside.supervise.fences import Fences
from scopeside.supervise.marks import Marks
from scopeside.supervise.member import Member, State
from scopeside.supervise.parameters import Parameters
from scopeside.supervise.phase import Phase
from scopeside.supervise.processes import Processes
from scopeside.supervise.recording import Recording
from scopeside.wire import Kind


@dataclass(frozen=True, slots=True)
class Welcome:
    """Brings a process up to what it missed, if it is not the first of its role.

    Attributes
    ----------
    servers
        Addresses that are told are put here.
    blind
        Chains that nobody works for any more.
    """

    processes: Processes
    fences: Fences
    marks: Marks
    recording: Recording
    parameters: Parameters
    servers: dict[str, str]
    blind: AbstractSet[str]

    def ready(self, member: Member, header: dict[str, Any], phase: Phase) -> None:
        """Take note that a process is ready."""
        member.state = State.RUNNING
        match member.spec.role:
            case "collector":
                self._collector(member, header)
            case "page":
                # The same again after a restart: open tabs come back to it.
                member.spec = replace(member.spec, page_port=header["port"])
                self.servers["page"] = address(header["port"])
            case "guard":
                self._tell_epoch(member)
                adviser = self.processes.members.get("adviser")
                if adviser is not None and adviser.state is State.RUNNING:
                    self.processes.say("adviser", Kind.RESEND)
            case "worker" | "recorder":
                if phase is not Phase.RECOVERING:
                    self._tell_epoch(member)
                if member.spec.role == "recorder":
                    self.recording.repeat()
                    self.processes.say("collector", Kind.RESEND)
            case "adapter":
                self.processes.say_to_others(
                    member, Kind.EPOCH, epoch=self.processes.epoch
                )
                self.parameters.adapter_is_there()

    def _tell_epoch(self, member: Member) -> None:
        self.processes.say(member.name, Kind.EPOCH, epoch=self.processes.epoch)

    def _collector(self, member: Member, header: dict[str, Any]) -> None:
        self.servers["results"] = header["results"]
        if header["outside"]:
            self.servers["results outside"] = header["outside"]
        port = int(header["results"].rpartition(":")[2])
        member.spec = replace(member.spec, results_port=port)
        self._tell_epoch(member)
        self.fences.repeat()
        self.marks.again()
        for chain in self.blind:
            self.processes.say(member.name, Kind.DEGRADE, chain=chain)
        again = member.spec.incarnation > 1
        for other in self.processes.members.values():
            sends = other.spec.role in ("worker", "channels")
            if again and sends and other.state is State.RUNNING:
                self.processes.say(other.name, Kind.RESEND)

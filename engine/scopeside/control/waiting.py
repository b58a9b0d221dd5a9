"""Proposals that wait for a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scopeside.control.proposal import Proposal

MAX_WAITING = 32


@dataclass(frozen=True, slots=True)
class Waits:
    """A proposal that waits, and for whom."""

    proposal: Proposal
    client: str
    until_ns: int

    def status(self) -> Mapping[str, Any]:
        """Return what a person has to see to decide."""
        proposal = self.proposal
        return {
            "id": proposal.id,
            "client": self.client,
            "action": proposal.action,
            "fields": dict(proposal.fields),
            "rule": proposal.rule,
            "why": proposal.why,
            "acquisition": proposal.evidence.acquisition,
            "frame": proposal.evidence.frame,
            "confidence": proposal.evidence.confidence,
            "t_frame_ns": proposal.evidence.t_frame_ns,
            "until_ns": self.until_ns,
        }


class Waiting:
    """At most one of each rule and action, so that what a person reads stays there."""

    def __init__(self) -> None:
        self._waits: dict[str, Waits] = {}

    def __len__(self) -> int:
        return len(self._waits)

    def full(self, proposal: Proposal, client: str) -> str:
        """Return why this one cannot wait too; "" if it can."""
        for one in self._waits.values():
            same = (one.client, one.proposal.rule, one.proposal.action)
            if same == (client, proposal.rule, proposal.action):
                text = f"{one.proposal.id} of the same rule and action waits already"
                return f"{text} for a person"
        if len(self._waits) >= MAX_WAITING:
            return f"{MAX_WAITING} proposals wait for a person already"
        return ""

    def add(self, waits: Waits) -> None:
        """Let it wait."""
        self._waits[waits.proposal.id] = waits

    def get(self, key: str) -> Waits | None:
        """Return the one of that id."""
        return self._waits.get(key)

    def take(self, key: str) -> Waits:
        """Return the one of that id, and let it wait no longer."""
        return self._waits.pop(key)

    def over(self, now_ns: int) -> list[Waits]:
        """Take those that have waited too long."""
        late = [one for one in self._waits.values() if now_ns >= one.until_ns]
        return [self.take(one.proposal.id) for one in late]

    def clear(self) -> list[Waits]:
        """Take all."""
        return [self.take(key) for key in list(self._waits)]

    def status(self) -> list[Mapping[str, Any]]:
        """Return plain values, the oldest first."""
        return [one.status() for one in self._waits.values()]

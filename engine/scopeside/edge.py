"""One edge: batches on their way from the slab to the workers of one chain.

It decides and counts; it owns no socket. A ticket stands for a batch in the slab. It
is *offered*, waits, is *assigned* to a worker that has credit, and is *settled* when
the collector has its results. When a worker dies its tickets go back to the front.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from scopeside.ledger import Run
from scopeside.settings import EdgePolicy
from scopeside.wire import Buffer

MAX_KILLS = 2
"""A batch that kills so many workers is quarantined."""

_CREDIT = {"lossless": 32, "bounded": 2, "latest": 1, "sample": 1}
POLICY_CAUSES = frozenset({"superseded", "queue_full", "sampled_out", "no_event"})
"""Losses that the pipeline file asks for; any other makes an acquisition unsound."""
_OVERFLOW = {"bounded": "queue_full", "latest": "superseded", "sample": "superseded"}


@dataclass(slots=True, eq=False)
class Ticket:
    """A batch in the slab."""

    seq: int
    acquisition: str
    slot: int
    n: int
    runs: tuple[Run, ...]
    message: list[Buffer]
    users: int = 0
    change: int = 0
    kills: dict[str, int] = field(default_factory=dict)

    @property
    def first(self) -> int:
        """Index of its first frame."""
        return self.runs[0][0]


@dataclass(slots=True, eq=False)
class _Worker:
    credit: int
    held: dict[int, Ticket] = field(default_factory=dict)


class Edge:
    """The queue of one chain and what its workers hold."""

    def __init__(self, name: str, policy: EdgePolicy, *, ordered: bool) -> None:
        self.name = name
        self.policy = policy
        self._ordered = ordered
        self._queue: deque[Ticket] = deque()
        self._workers: dict[bytes, _Worker] = {}
        self._offered = 0
        self._latest: dict[str, int] = {}
        self.degraded = False

    @property
    def lossless(self) -> bool:
        """Whether its queue is never cut to keep up."""
        return self.policy.policy == "lossless"

    @property
    def queued(self) -> int:
        """Batches that wait for a worker."""
        return len(self._queue)

    @property
    def held(self) -> int:
        """Batches that are with a worker."""
        return sum(len(worker.held) for worker in self._workers.values())

    @property
    def workers(self) -> list[bytes]:
        """Identities of the workers that have joined."""
        return list(self._workers)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the status."""
        return {
            "queued": self.queued,
            "held": self.held,
            "workers": len(self.workers),
            "degraded": self.degraded,
        }

    def join(self, worker: bytes) -> None:
        """Give a worker its credit."""
        self._workers[worker] = _Worker(_CREDIT[self.policy.policy])

    def offer(self, ticket: Ticket) -> str | None:
        """Queue a ticket; return the cause if the edge does not take it."""
        self._offered += 1
        if self.degraded:
            return "degraded"
        if self.policy.policy == "sample" and (
            (self._offered - 1) % self.policy.number != 0
        ):
            return "sampled_out"
        if self._ordered and ticket.first <= self._latest.get(ticket.acquisition, -1):
            return "late"
        if self._ordered:
            self._latest[ticket.acquisition] = ticket.runs[-1][1]
        self._queue.append(ticket)
        return None

    def assign(self) -> Iterator[tuple[bytes, Ticket]]:
        """Hand waiting tickets to the workers with credit, least loaded first."""
        while self._queue:
            ready = [
                (len(worker.held), name)
                for name, worker in self._workers.items()
                if len(worker.held) < worker.credit
            ]
            if not ready:
                return
            name = min(ready)[1]
            ticket = self._queue.popleft()
            self._workers[name].held[ticket.seq] = ticket
            yield name, ticket

    def overflow(self) -> Iterator[tuple[Ticket, str]]:
        """Take out what the policy does not let wait, oldest first."""
        if self.lossless:
            return
        room = self.policy.number if self.policy.policy == "bounded" else 1
        while len(self._queue) > room:
            yield self._queue.popleft(), _OVERFLOW[self.policy.policy]

    def shed(self) -> Ticket | None:
        """Take out the oldest waiting ticket, for an edge that has stalled."""
        return self._queue.popleft() if self._queue else None

    def settle(self, seq: int) -> Ticket | None:
        """Take out a ticket that is done; None if nobody holds it."""
        for worker in self._workers.values():
            ticket = worker.held.pop(seq, None)
            if ticket is not None:
                return ticket
        return self._take_queued(seq)

    def outstanding(self) -> Iterator[Ticket]:
        """Yield all tickets that wait or are with a worker."""
        for worker in self._workers.values():
            yield from worker.held.values()
        yield from self._queue

    def leave(self, name: bytes, culprit: int | None) -> Ticket | None:
        """Put the tickets of a dead worker back; return one to quarantine.

        `culprit` is the ticket that it was working on when it died.
        """
        worker = self._workers.pop(name, None)
        if worker is None:
            return None
        back = [worker.held[seq] for seq in sorted(worker.held)]
        condemned = None
        for ticket in back:
            if ticket.seq == culprit:
                kills = ticket.kills.get(self.name, 0) + 1
                ticket.kills[self.name] = kills
                if kills >= MAX_KILLS:
                    condemned = ticket
        if condemned is not None:
            back.remove(condemned)
        merged = sorted([*back, *self._queue], key=lambda ticket: ticket.seq)
        self._queue = deque(merged)
        return condemned

    def degrade(self) -> list[Ticket]:
        """Give up: return all that waits; nothing is taken from now on."""
        self.degraded = True
        waiting = list(self._queue)
        self._queue.clear()
        return waiting

    def forget(self, acquisition: str) -> None:
        """Drop what was kept for an acquisition that is over."""
        self._latest.pop(acquisition, None)

    def _take_queued(self, seq: int) -> Ticket | None:
        for ticket in self._queue:
            if ticket.seq == seq:
                self._queue.remove(ticket)
                return ticket
        return None

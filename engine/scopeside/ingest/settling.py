"""What becomes of a batch on each edge: counted once, and its slot given back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from queue import Queue
from typing import Any

from scopeside.edge import Edge, Ticket
from scopeside.ingest import quarantine
from scopeside.ingest.accounts import OpenAcquisition
from scopeside.ingest.recording import NO_SLOT
from scopeside.ledger import FrameRanges
from scopeside.slab import Slab, batch_at
from scopeside.wire import decode_own


class Settling:
    """Keeps the accounts of the edges, and the slots that batches hold.

    Parameters
    ----------
    open_ones
        The acquisitions that are open, by id.
    free
        Slots that are given back.
    notes
        What the operator should know is added here.

    Attributes
    ----------
    in_use
        Slots that batches hold.
    """

    def __init__(
        self,
        open_ones: Mapping[str, OpenAcquisition],
        free: Queue[int],
        slab: Slab,
        quarantine_folder: Path,
        notes: list[str],
    ) -> None:
        self.in_use = 0
        self._open = open_ones
        self._free = free
        self._slab = slab
        self._quarantine_folder = quarantine_folder
        self._notes = notes

    def drop(self, edge: Edge, ticket: Ticket, cause: str) -> None:
        """Count a batch as dropped by an edge."""
        self._open[ticket.acquisition].edges[edge.name].dropped[cause] += ticket.n
        self.release(ticket)

    def settle(self, edge: Edge, seq: int, cause: str | None) -> None:
        """Count a batch as processed, or as failed for a `cause`."""
        ticket = edge.settle(seq)
        if ticket is None:
            return  # settled before: the collector was restarted and says it again
        account = self._open[ticket.acquisition].edges[edge.name]
        if cause is None:
            account.processed += ticket.n
        else:
            account.failed[cause] += ticket.n
        self.release(ticket)

    def catch_up(
        self, account: OpenAcquisition, edge: Edge, said: dict[str, Any]
    ) -> None:
        """Settle what a collector has that was restarted."""
        done = FrameRanges((a, b) for a, b in said["merged"])
        failed = {
            cause: FrameRanges((a, b) for a, b in runs)
            for cause, runs in said["failed"].items()
        }
        for ticket in list(edge.outstanding()):
            if ticket.acquisition != account.acquisition.id:
                continue
            if all(done.covers(a, b) for a, b in ticket.runs):
                self.settle(edge, ticket.seq, None)
            for cause, ranges in failed.items():
                if all(ranges.covers(a, b) for a, b in ticket.runs):
                    self.settle(edge, ticket.seq, cause)

    def quarantine(self, edge: Edge, ticket: Ticket) -> None:
        """Keep a batch aside that has killed two workers, and count it as failed."""
        batch = batch_at(self._slab, decode_own(ticket.message).header)
        kept = quarantine.keep(
            self._quarantine_folder, ticket.acquisition, edge.name, batch
        )
        self._notes.append(
            f"frames {ticket.first} to {ticket.runs[-1][1]} killed two workers of "
            f"chain {edge.name!r}: quarantined, {kept}"
        )
        account = self._open[ticket.acquisition]
        account.edges[edge.name].failed["killed_worker"] += ticket.n
        self.release(ticket)

    def release(self, ticket: Ticket) -> None:
        """Give a slot back that no edge needs any more."""
        ticket.users -= 1
        if ticket.users == 0 and ticket.slot != NO_SLOT:
            self.in_use -= 1
            self._free.put(ticket.slot)

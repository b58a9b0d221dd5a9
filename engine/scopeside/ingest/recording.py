"""The recorder's side of the tee.

The recorder holds batches longer than others: it may copy one into its spool, which
gives the slot back (*released*) long before the batch is on disk (*done*). It is told
in order what is said between the batches as well: gaps of the detector, changes of
parameters, the end. Those are tickets without frames and without a slot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from scopeside.edge import Edge, Ticket
from scopeside.ledger import Account
from scopeside.record.settings import EDGE, credit_of
from scopeside.settings import EdgePolicy
from scopeside.wire import Kind, encode

SILENT_S = 2.0
"""When the detector waits for a slot, a recorder that does not move is waited for so
long; then its oldest batches are given up, so that everything else goes on."""
RESTART_S = 10.0
"""So long where it has died: the next one starts within seconds, nothing is lost."""
NO_SLOT = -1


class RecordEdge(Edge):
    """The queue of the recorder: one reader, whose batches may outlive their slots."""

    def __init__(self) -> None:
        super().__init__(EDGE, EdgePolicy(policy="lossless"), ordered=False)
        self._spooled: dict[int, Ticket] = {}
        self._credit = credit_of(0)

    def lay_out(self, slots: int) -> None:
        """Fit the credit to the number of slots, so that most stay for the others."""
        self._credit = credit_of(slots)
        for worker in self._workers.values():
            worker.credit = self._credit

    def join(self, worker: bytes) -> None:
        """Take a recorder in the place of any before it."""
        for before in self.workers:
            self.leave(before, None)
        super().join(worker)
        self._workers[worker].credit = self._credit

    def shed(self) -> Ticket | None:
        """Take out the oldest batch that waits, if nobody else holds its slot.

        What is said between the batches stays.
        """
        oldest = next((t for t in self._queue if t.slot != NO_SLOT), None)
        if oldest is None or oldest.users > 1:
            return None
        self._queue.remove(oldest)
        return oldest

    def release(self, seq: int) -> Ticket | None:
        """Take note that a batch needs its slot no more; None if that is known."""
        ticket = self.settle(seq)
        if ticket is not None:
            self._spooled[seq] = ticket
        return ticket

    def settle_spooled(self, seq: int) -> Ticket | None:
        """Take out a batch that was released, and is done or given up."""
        return self._spooled.pop(seq, None)

    def has_released(self, seq: int) -> bool:
        """Whether a batch was released and is not settled."""
        return seq in self._spooled

    @property
    def patience_s(self) -> float:
        """For how long the detector may wait for a recorder that does not move, s."""
        return SILENT_S if self._workers else RESTART_S

    @property
    def spooled(self) -> list[Ticket]:
        """Batches that were released."""
        return list(self._spooled.values())

    def owes(self, acquisition: str) -> bool:
        """Whether anything of an acquisition is not with the recorder for good."""
        return any(
            ticket.acquisition == acquisition
            for ticket in (*self.outstanding(), *self._spooled.values())
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the status."""
        return {**super().to_dict(), "spooled": len(self._spooled)}


class Recording:
    """Takes the recorder's word into the accounts.

    Parameters
    ----------
    account
        Gives the account of our edge for an acquisition.
    release
        Gives the slot of a ticket back.
    notes
        What the operator is to be told goes here.
    """

    def __init__(
        self,
        edge: RecordEdge,
        epoch: int,
        account: Callable[[str], Account],
        release: Callable[[Ticket], None],
        notes: list[str],
    ) -> None:
        self.edge = edge
        self.notes = notes
        self._epoch = epoch
        self._account = account
        self._release = release
        self._shed: list[Ticket] = []
        self._shed_frames = 0

    @classmethod
    def of(
        cls,
        edges: Iterable[Edge],
        epoch: int,
        account: Callable[[str], Account],
        release: Callable[[Ticket], None],
        notes: list[str],
    ) -> Self | None:
        """Return it for the recorder's among these edges; None if there is none."""
        for edge in edges:
            if isinstance(edge, RecordEdge):
                return cls(edge, epoch, account, release, notes)
        return None

    def tell(self, seq: int, kind: Kind, acquisition: str, **header: Any) -> None:
        """Queue something that is said between batches."""
        message = encode(
            kind, {"acq": acquisition, "epoch": self._epoch, "seq": seq, **header}
        )
        self.edge.offer(Ticket(seq, acquisition, NO_SLOT, 0, (), message, users=1))

    def joined(self, have: Mapping[str, Any]) -> list[int]:
        """Bring the accounts up to what a recorder has that was restarted.

        Returns the batches that it will be sent again and that come before others that
        it has: a recorder before it died while it wrote them.

        Parameters
        ----------
        have
            ``upto``: the last batch on disk, by acquisition; ``spooled``: batches;
            ``dropped``: first batch, last batch, cause; ``kept``, of a recorder that
            keeps what surrounds events: batch and its frames on disk, of the last.
        """
        self.tell_shed()
        spooled = set(have["spooled"])
        for ticket in [*self.edge.outstanding(), *self.edge.spooled]:
            seq = ticket.seq
            given_up = [cause for a, b, cause in have["dropped"] if a <= seq <= b]
            if seq in spooled:
                self._released(seq)
            elif given_up:
                self._settle(seq, dropped=given_up[0])
            elif "kept" in have:
                self._decided(ticket, have)
            elif seq <= have["upto"].get(ticket.acquisition, -1):
                self._settle(seq)
        for ticket in self.edge.spooled:
            if ticket.seq not in spooled:
                self._settle(ticket.seq, failed="recorder_died")
        last = max(spooled, default=-1)
        return [t.seq for t in self.edge.outstanding() if t.seq < last]

    def _decided(self, ticket: Ticket, have: Mapping[str, Any]) -> None:
        """Settle a batch that a recorder of events had decided on, and not said so.

        It decides in order, so what is not in its ring any more and comes before what
        is on disk, or had been in the ring, is on disk, or no event had asked for it.
        """
        seq, name = ticket.seq, ticket.acquisition
        kept = dict(have["kept"].get(name, ())).get(seq, 0)
        if kept == ticket.n:
            self._settle(seq)
        elif seq <= have["upto"].get(name, -1) or self.edge.has_released(seq):
            self._settle(seq, dropped="no_event", kept=kept)

    def acknowledged(self, header: Mapping[str, Any]) -> None:
        """Take an ACK: done, failed, released, dropped, and cut (kept in part)."""
        self.tell_shed()
        for seq in header["released"]:
            self._released(seq)
        for seq in header["done"]:
            self._settle(seq)
        for seq, cause in header["failed"]:
            self._settle(seq, failed=cause)
        for seq, cause in header["dropped"]:
            self._settle(seq, dropped=cause)
        for seq, kept, cause in header["cut"]:
            self._settle(seq, dropped=cause, kept=kept)

    def give_up(self, cause: str) -> None:
        """Count all that is not settled as failed."""
        for ticket in [*self.edge.outstanding(), *self.edge.spooled]:
            self._settle(ticket.seq, failed=cause)

    def degraded(self) -> None:
        """Count what a recorder had copied aside that is not started again."""
        for ticket in self.edge.spooled:
            self._settle(ticket.seq, dropped="degraded")

    def shed(self) -> Ticket | None:
        """Return a batch to be given up, because the recorder does not move."""
        ticket = self.edge.shed()
        if ticket is None:
            return None
        if not self._shed:
            self.notes.append(
                f"the recorder has not moved for {self.edge.patience_s:g} s while "
                f"the detector waits: frames from {ticket.first} on are not recorded "
                "until it does"
            )
        self._shed = [*self._shed[:1], ticket]
        self._shed_frames += ticket.n
        return ticket

    def tell_shed(self) -> None:
        """Say what was given up, now that the recorder moves again."""
        if self._shed:
            first, last = self._shed[0], self._shed[-1]
            self.notes.append(
                f"the recorder moves again: frames {first.first} to {last.runs[-1][1]} "
                f"are not recorded ({self._shed_frames} frames, stalled)"
            )
            self._shed.clear()
            self._shed_frames = 0

    def _released(self, seq: int) -> None:
        ticket = self.edge.release(seq)
        if ticket is not None:
            self._release(ticket)

    def _settle(
        self, seq: int, *, dropped: str = "", failed: str = "", kept: int = 0
    ) -> None:
        ticket = self.edge.settle(seq)
        if ticket is not None:
            self._release(ticket)
        else:
            ticket = self.edge.settle_spooled(seq)
        if ticket is None or not ticket.n:
            return
        account = self._account(ticket.acquisition)
        if dropped:
            account.processed += kept
            account.dropped[dropped] += ticket.n - kept
        elif failed:
            account.failed[failed] += ticket.n
        else:
            account.processed += ticket.n

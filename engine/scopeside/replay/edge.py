"""The edge of a chain that gets the very frames that it has processed once."""

from __future__ import annotations

from scopeside.edge import Edge, Ticket
from scopeside.ledger import FrameRanges
from scopeside.settings import EdgePolicy


class RecordedEdge(Edge):
    """Takes the batches of these frames, and lets all others go.

    Its policy is lossless: what the chain may have is decided.
    """

    def __init__(self, name: str, frames: FrameRanges, *, ordered: bool) -> None:
        super().__init__(name, EdgePolicy(policy="lossless"), ordered=ordered)
        self._frames = frames

    def offer(self, ticket: Ticket) -> str | None:
        """Queue a ticket, if all of its frames were processed then."""
        if not all(self._frames.covers(first, last) for first, last in ticket.runs):
            return "as_recorded"
        return super().offer(ticket)

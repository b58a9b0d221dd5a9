"""Gaps where a lossless edge holds up ingest and does not move."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from scopeside.edge import Edge, Ticket
from scopeside.ingest.recording import Recording
from scopeside.ingest.sink import SlabSink
from scopeside.record.settings import EDGE


class Relief:
    """Says which batches have to be given up so that frames can go on.

    Parameters
    ----------
    progress
        When each edge has moved last, on the monotonic clock.
    wait_s
        An edge may stand still for so long.
    notes
        What the operator should know is added here.
    """

    def __init__(
        self,
        edges: Mapping[str, Edge],
        recording: Recording | None,
        sink: SlabSink,
        *,
        progress: Mapping[str, float],
        wait_s: float,
        notes: list[str],
    ) -> None:
        self._edges = edges
        self._recording = recording
        self._sink = sink
        self._progress = progress
        self._wait_s = wait_s
        self._notes = notes

    def stalled(self, slots: int) -> Iterator[tuple[Edge, Ticket]]:
        """Yield the batches to be dropped now; `slots`: of the slab."""
        if not self._sink.waiting:
            return
        now = time.monotonic()
        for edge in self._edges.values():
            if edge.name == EDGE:
                yield from self._of_recorder(now, slots)
                continue
            if now - self._progress[edge.name] < self._wait_s:
                continue
            ticket = edge.shed()
            if ticket is not None:
                self._notes.append(
                    f"edge {edge.name!r} made no progress for {self._wait_s:g} s and "
                    f"gives up frames {ticket.first} to {ticket.runs[-1][1]}"
                )
                yield edge, ticket

    def _of_recorder(self, now: float, slots: int) -> Iterator[tuple[Edge, Ticket]]:
        """Give a quarter of the slots back if the recorder does not move."""
        recording = self._recording
        if recording is None:
            return
        if now - self._progress[EDGE] < recording.edge.patience_s:
            return
        while self._sink.free.qsize() < max(1, slots // 4):
            ticket = recording.shed()
            if ticket is None:
                return
            yield recording.edge, ticket

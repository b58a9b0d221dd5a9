"""Sends every batch down every edge, takes acknowledgements, and keeps the ledger.

It runs in the adapter process beside the detector's thread, and is the only place
where a frame can be lost to a slow reader; each such loss is counted with its cause.
The account is written to the board before a batch is sent, so that it is never behind
what others know, even when this process is killed.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from queue import Empty
from typing import Any

from scopeside.board import Board
from scopeside.edge import Edge, Ticket
from scopeside.errors import EngineError
from scopeside.ingest.accounts import OpenAcquisition
from scopeside.ingest.changes import Changes
from scopeside.ingest.closing import Closing
from scopeside.ingest.listeners import Listeners
from scopeside.ingest.news import (
    Changed,
    Ended,
    Filled,
    Finished,
    Missed,
    News,
    Noted,
    Rejected,
    Started,
)
from scopeside.ingest.recording import NO_SLOT, Recording
from scopeside.ingest.relief import Relief
from scopeside.ingest.settling import Settling
from scopeside.ingest.sink import SlabSink
from scopeside.ingest.ticket import ticket_of
from scopeside.link import Link
from scopeside.record.settings import EDGE
from scopeside.slab import Slab
from scopeside.wire import Buffer, Kind, Message, encode

log = logging.getLogger(__name__)

BOARD_PERIOD_S = 1.0


class Tee:
    """The edges of one adapter process."""

    def __init__(
        self,
        *,
        router: Link,
        sink: SlabSink,
        slab: Slab,
        edges: Sequence[Edge],
        board: Board,
        epoch: int,
        wait_s: float,
        quarantine_folder: Path,
    ) -> None:
        self.router = router
        self.edges = {edge.name: edge for edge in edges}
        self.finished: Finished | None = None
        self.notes: list[str] = []
        self.fenced: list[str] = []
        self.changes = Changes(self.edges, epoch, self._tell_change)
        self._open: dict[str, OpenAcquisition] = {}
        self._settling = Settling(
            self._open, sink.free, slab, quarantine_folder, self.notes
        )
        self._progress = dict.fromkeys(self.edges, time.monotonic())
        self._recording = Recording.of(
            edges,
            epoch,
            lambda name: self._open[name].edges[EDGE],
            self._settling.release,
            self.notes,
        )
        self._relief = Relief(
            self.edges,
            self._recording,
            sink,
            progress=self._progress,
            wait_s=wait_s,
            notes=self.notes,
        )
        self._closing = Closing(self._open, self.edges, router, epoch)
        self._sink = sink
        self._board = board
        self._epoch = epoch
        self._listeners = Listeners(router)
        self._stray: Counter[str] = Counter()
        self._seq = 0
        self._slots = 0
        self._frames = self._bytes = 0
        self._dirty = True
        self._wrote = 0.0

    @property
    def done(self) -> bool:
        """Whether the detector has ended and every acquisition is closed."""
        return self.finished is not None and not self._open

    def complete(self, workers: Mapping[str, int]) -> bool:
        """Whether the collector and so many workers of each chain have joined."""
        return self._listeners.collector is not None and all(
            edge.degraded or len(edge.workers) >= workers[name]
            for name, edge in self.edges.items()
        )

    # -- turning the crank ------------------------------------------------------

    def turn(self) -> None:
        """Do all that can be done now."""
        self._drain_events()
        self._drain_messages()
        for edge, ticket in self._relief.stalled(self._slots):
            self._drop(edge, ticket, "stalled")
        collector = self._listeners.collector
        if collector is not None and self._closing.look(collector):
            self._dirty = True
        if self._dirty or time.monotonic() - self._wrote > BOARD_PERIOD_S:
            self._write_board()
        self._pump()

    def _drain_events(self) -> None:
        try:
            os.eventfd_read(self._sink.wake)
        except BlockingIOError:
            return
        while True:
            try:
                event = self._sink.events.get_nowait()
            except Empty:
                return
            self._dirty = True
            self._take(event)

    def _take(self, event: News) -> None:
        match event:
            case Filled():
                self._filled(event)
            case Started(acquisition):
                account = OpenAcquisition(
                    acquisition, self.edges, self.changes.holding()
                )
                self._open[acquisition.id] = account
                self._listeners.tell_all(self._start_of(account))
            case Missed(name, first, last, cause):
                self._open[name].miss(first, last, cause)
                self._record(Kind.GAP, name, first=first, last=last, cause=cause)
                self.notes.append(f"{name}: frames {first} to {last} lost: {cause}")
            case Rejected(n, cause, message):
                open_ones = list(self._open.values())
                rejected = open_ones[-1].ingest.rejected if open_ones else self._stray
                rejected[cause] += n
                if message:
                    self.notes.append(f"rejected ({cause}): {message}")
            case Ended():
                account = self._open[event.acquisition]
                self._end_of(account, event)
                self.changes.begin("", 0)
                if event.state == "failed":
                    self.notes.append(f"{event.acquisition} failed: {event.reason}")
                if said := account.off_the_scan:
                    self.notes.append(f"{event.acquisition}: {said}")
            case Noted(message):
                self.notes.append(message)
            case Changed(change):
                self.changes.put(change)
                if all(one.ended is not None for one in self._open.values()):
                    self.changes.begin("", 0)
            case Finished():
                self.finished = event

    def _end_of(self, account: OpenAcquisition, event: Ended) -> None:
        for first, last in account.end(event):
            self._record(
                Kind.GAP, event.acquisition, first=first, last=last, cause="missing"
            )
        self._record(Kind.END, event.acquisition, state=event.state)

    def _record(self, kind: Kind, acquisition: str, **header: Any) -> None:
        """Tell the recorder, if there is one, something between batches."""
        if self._recording is not None:
            self._seq += 1
            self._recording.tell(self._seq, kind, acquisition, **header)

    def _filled(self, event: Filled) -> None:
        account = self._open[event.acquisition]
        began = self.changes.begin(event.acquisition, event.runs[0][0])
        account.changes += began
        for more, change in zip(reversed(range(len(began))), began, strict=True):
            self._record(
                Kind.PARAM, event.acquisition, change=change.to_dict(), more=more
            )
        account.receive(event.runs, event.n, event.events or 0)
        account.newest_ns = event.timestamp_ns
        self._frames += event.n
        self._bytes += event.n_bytes
        if self._slots != event.layout.slots and self._recording is not None:
            self._recording.edge.lay_out(event.layout.slots)
        self._slots = event.layout.slots
        self._seq += 1
        ticket = ticket_of(
            event,
            account.acquisition,
            seq=self._seq,
            epoch=self._epoch,
            change=self.changes.number,
            users=len(self.edges),
        )
        self._settling.in_use += 1
        for edge in self.edges.values():
            if not edge.queued and not edge.held:
                self._progress[edge.name] = time.monotonic()  # it had nothing to do
            if cause := edge.offer(ticket):
                self._drop(edge, ticket, cause)

    def _pump(self) -> None:
        for edge in self.edges.values():
            for worker, ticket in edge.assign():
                self.router.forward(ticket.message, to=worker)
            for ticket, cause in edge.overflow():
                self._drop(edge, ticket, cause)

    def change(self, header: Mapping[str, Any]) -> None:
        """Take a change of parameters; it takes effect with the next batch."""
        self._dirty = True
        running = next((one for one in self._open.values() if one.ended is None), None)
        self.changes.ask(header, None if running is None else running.acquisition)
        if running is None:
            self.changes.begin("", 0)

    # -- messages ---------------------------------------------------------------

    def _drain_messages(self) -> None:
        while (found := self.router.receive_from()) is not None:
            sender, message = found
            self._dirty = True
            self._hear(sender, message)

    def _hear(self, sender: bytes, message: Message) -> None:
        header = message.header
        if header.get("epoch") != self._epoch:
            return  # of an adapter process before this one
        match message.kind:
            case Kind.JOIN:
                self._join_worker(sender, header)
            case Kind.MERGED:
                self._join_collector(sender, header["merged"])
            case Kind.ACK:
                self._acknowledged(header)
            case Kind.FENCED:
                self._fenced(header)
            case Kind.CLOSED:
                self._closed(header["acq"])
            case other:
                raise EngineError(f"the tee was sent a {other.name} by {sender!r}")

    def _join_worker(self, worker: bytes, header: Mapping[str, Any]) -> None:
        if self._listeners.knows(worker):
            return  # the word of its death was faster; or it says it twice
        chain = header["chain"]
        edge = self.edges[chain]
        self._listeners.add(worker)
        self._progress[chain] = time.monotonic()
        self.changes.catch_up(worker, chain)
        for account in self._open.values():
            self.router.forward(self._start_of(account), to=worker)
        edge.join(worker)
        if self._recording is not None and chain == EDGE:
            again = self._recording.joined(header["have"])
            said = {"epoch": self._epoch, "again": again}
            self.router.send(Kind.SPOOLED, said, to=worker)

    def _join_collector(
        self, collector: bytes, merged: dict[str, dict[str, Any]]
    ) -> None:
        """Bring the ledger up to what the collector has, if it was restarted."""
        self._listeners.collector = collector
        for account in self._open.values():
            self.router.forward(self._start_of(account), to=collector)
            account.announced_end = account.announced_drained = False
            for chain, said in merged.get(account.acquisition.id, {}).items():
                self._settling.catch_up(account, self.edges[chain], said)

    def _acknowledged(self, header: dict[str, Any]) -> None:
        edge = self.edges[header["chain"]]
        self._progress[edge.name] = time.monotonic()
        if self._recording is not None and edge is self._recording.edge:
            self._recording.acknowledged(header)
            return
        for seq in header["done"]:
            self._settling.settle(edge, seq, None)
        for seq, cause in header["failed"]:
            self._settling.settle(edge, seq, cause)

    def fence_recorder(self, name: str) -> None:
        """Take back what a dead recorder held in the slab, for the next one."""
        self._dirty = True
        recorder = name.encode()
        if self._listeners.fence(recorder):
            self.edges[EDGE].leave(recorder, None)

    def _fenced(self, header: dict[str, Any]) -> None:
        """Send on what a dead worker held; keep aside what killed two."""
        edge = self.edges[header["chain"]]
        worker: bytes = header["worker"].encode()
        self._listeners.fence(worker)
        condemned = edge.leave(worker, header["culprit"])
        if condemned is not None:
            self._settling.quarantine(edge, condemned)
        if edge.degraded:
            self.degrade(edge.name)
        self.fenced.append(header["worker"])

    def _closed(self, name: str) -> None:
        account = self._open.pop(name, None)
        if account is None:
            return
        for edge in self.edges.values():
            edge.forget(name)
        self._listeners.tell_workers(
            encode(Kind.END, {"acq": name, "epoch": self._epoch})
        )

    def degrade(self, chain: str) -> None:
        """Drop what an edge has and will get: its workers could not be kept alive."""
        self._dirty = True
        edge = self.edges[chain]
        for ticket in edge.degrade():
            if ticket.slot != NO_SLOT:
                self._drop(edge, ticket, "degraded")
        if self._recording is not None and chain == EDGE:
            self._recording.degraded()

    def abandon(self, *, recording: bool = False) -> None:
        """Count what is still in flight as failed; the drain took too long.

        What the recorder holds only where `recording` says so: it may take longer.
        """
        self._dirty = True
        for edge in self.edges.values():
            if self._recording is not None and edge is self._recording.edge:
                if recording:
                    self._recording.give_up("not_drained")
                continue
            for ticket in list(edge.outstanding()):
                self._settling.settle(edge, ticket.seq, "not_drained")

    # -- accounts ---------------------------------------------------------------

    def _drop(self, edge: Edge, ticket: Ticket, cause: str) -> None:
        self._settling.drop(edge, ticket, cause)
        self._dirty = True

    def _start_of(self, account: OpenAcquisition) -> list[Buffer]:
        return encode(
            Kind.START,
            {
                "acquisition": account.acquisition.to_dict(),
                "epoch": self._epoch,
                "change": self.changes.number,
                "changes": [change.to_dict() for change in account.began_with],
            },
        )

    def _tell_change(self, worker: bytes, header: dict[str, Any]) -> None:
        self.router.send(Kind.PARAM, header, to=worker)

    def _write_board(self) -> None:
        self._dirty = False
        self._wrote = time.monotonic()
        stages = self._sink.stages
        self._board.update(
            epoch=self._epoch,
            open={name: account.to_dict() for name, account in self._open.items()},
            newest={name: account.newest_ns for name, account in self._open.items()},
            frames=self._frames,
            bytes=self._bytes,
            rejected=dict(self._stray),
            busy_ns=stages.busy_ns,
            blocked_ns=stages.blocked_ns,
            slots=self._slots,
            slots_in_use=self._settling.in_use,
            queues={name: edge.to_dict() for name, edge in self.edges.items()},
        )

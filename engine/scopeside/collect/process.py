"""The collector process: ``python -m scopeside.collect.process``."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zmq

from scopeside.changes import held_to_dict
from scopeside.child import Child, main
from scopeside.collect.beside import Beside, Named
from scopeside.collect.closing import LOOK_MS, Closings
from scopeside.collect.collector import Collector, Held
from scopeside.collect.feed import Feed
from scopeside.collect.journal import Journal
from scopeside.collect.publisher import Publisher
from scopeside.collect.publishing import JOIN_FRAMES, Publishing
from scopeside.collect.recorder_link import RecorderLink
from scopeside.link import Link
from scopeside.pipeline import CHANNELS
from scopeside.processor import prepare
from scopeside.wire import Kind, Message

log = logging.getLogger(__name__)


class CollectorProcess:
    """The collector's links: workers, adapter, supervisor, subscribers."""

    def __init__(self, child: Child) -> None:
        spec = child.spec
        self._child = child
        folder = Path(spec.results_folder) if spec.results_folder else None
        pipeline = spec.load_pipeline()
        steps = (step.cls for chain in pipeline.chains for step in chain.steps)
        prepare(steps, spec.prepare_lock)
        self._collector = Collector(pipeline, Journal(spec.journal_fds), folder)
        if pipeline.control is not None and pipeline.control.wants:
            to = spec.endpoint("adviser")
            self._collector.feed_to(
                Feed(child.context, to, spec.identity, pipeline.control)
            )
        self._recorder: RecorderLink | None = None
        if pipeline.records_on_event:
            self._recorder = RecorderLink(
                child.context,
                spec.endpoint("recorder"),
                spec.identity,
                self._collector.told,
            )
        if pipeline.record is not None:
            self._collector.beside = Beside(
                Path(spec.run_folder), pipeline.record.results_s
            )
        self._closings = Closings(self._collector.channels)
        self._parts = Link.listen(child.context, spec.endpoint("collector"))
        self._publisher = Publisher(
            child.context, spec.endpoints, spec.identity, spec.results_port
        )
        self._publishing = Publishing(self._collector, self._publisher)
        outside = pipeline.results
        self._outside = ""
        if outside.bind is not None and outside.keys is not None:
            self._outside = self._publisher.open_to(outside.bind, outside.keys)
        self._tee: Link | None = None
        self._epoch = 0
        self._fenced: set[str] = set()
        self._waiting: list[tuple[bytes, Message]] = []
        self._stopping = False
        self._board_wrote = 0.0
        self._poller = zmq.Poller()
        for socket in (
            child.control.socket,
            self._parts.socket,
            self._publisher.socket,
        ):
            self._poller.register(socket, zmq.POLLIN)
        child.tell(Kind.READY, results=self._publisher.tcp, outside=self._outside)
        for held in self._collector.held.values():
            if held.closed is not None:
                child.tell(Kind.CLOSED, **held.closed)

    def run(self) -> None:
        """Collect until the supervisor says that it is enough."""
        while not self._stopping:
            self._poller.poll(self._wait_ms())
            while (message := self._child.control.receive()) is not None:
                self._obey(message)
            self._hear_tee()
            while (found := self._parts.receive_from()) is not None:
                self._hear_worker(*found)
            self._close_due(all_of_them=self._stopping)
            for note in self._publisher.told():
                self._child.tell(Kind.NOTE, message=note)
            self._publishing.look()
            self._tell_recorder()
            self._write_beside()
            self._write_board()
        self._publishing.end()
        self._parts.close()
        if self._collector.feed is not None:
            self._collector.feed.end()
        if self._recorder is not None:
            self._recorder.end()
        self._publisher.close()

    # -- messages ---------------------------------------------------------------

    def _obey(self, message: Message) -> None:
        header = message.header
        match message.kind:
            case Kind.EPOCH:
                self._join(header["epoch"])
            case Kind.FENCE:
                self._fence(header)
            case Kind.ABORT:
                if header["acquisition"] is not None:
                    self._start(header["acquisition"], [])
                self._collector.drained(header["acq"])
                self._closings.add(header["acq"], header["ledger"])
            case Kind.KEEP:
                self._child.tell(
                    Kind.KEEP, id=header["id"], kept=self._collector.keep(header)
                )
            case Kind.DEGRADE:
                self._collector.blind(header["chain"])
            case Kind.RESEND:
                if self._recorder is not None:
                    self._recorder.repeat()
            case Kind.STOP:
                self._stopping = True
            case other:
                log.warning("the collector does not know what to do on %s", other)

    def _hear_tee(self) -> None:
        while self._tee is not None and (message := self._tee.receive()) is not None:
            match message.kind:
                case Kind.START:
                    header = message.header
                    self._start(header["acquisition"], header["changes"])
                case Kind.END:
                    self._closings.add(message.header["acq"], message.header["ledger"])
                case Kind.DRAINED:
                    self._collector.drained(message.header["acq"])
                case other:
                    log.warning("the collector does not know what to do on %s", other)

    def _hear_worker(self, sender: bytes, message: Message) -> None:
        header = message.header
        match message.kind:
            case Kind.PART | Kind.SAID:
                self._part(sender, message)
            case Kind.RECALL:
                self._recall(sender, header)
            case Kind.SAMPLES:
                self._sample(sender, message)
            case other:
                log.warning("the collector does not know what to do on %s", other)

    def _part(self, sender: bytes, message: Message) -> None:
        header = message.header
        if header["worker"] in self._fenced:
            return  # its batches are with another worker by now
        if header["acq"] not in self._collector.held:
            self._waiting.append((sender, message))
            return
        if message.kind == Kind.SAID:
            self._collector.hear(message)
        elif self._collector.absorb(message):
            self._acknowledge(header)
        self._parts.send(Kind.PART_OK, {"number": header["number"]}, to=sender)

    def _sample(self, sender: bytes, message: Message) -> None:
        self._collector.sample(message)
        for note in self._collector.channels.notes:
            self._child.tell(Kind.NOTE, message=note)
        self._collector.channels.notes.clear()
        number = message.header["number"]
        self._parts.send(Kind.SAMPLES_OK, {"number": number}, to=sender)

    def _recall(self, sender: bytes, header: dict[str, Any]) -> None:
        if header["acq"] not in self._collector.held:
            self._waiting.append((sender, Message(Kind.RECALL, header, [])))
            return
        master = self._collector.held[header["acq"]].masters[header["chain"]]
        states = master.state_of_ordered()
        self._parts.send(
            Kind.STATE,
            {
                "acq": header["acq"],
                "steps": list(states),
                "held": held_to_dict(master.held),
            },
            list(states.values()),
            to=sender,
        )

    def _start(
        self, acquisition: dict[str, Any], changes: list[dict[str, Any]]
    ) -> None:
        """Open an acquisition, and hear those who knew of it before we did."""
        self._collector.start(acquisition, changes)
        waiting, self._waiting = self._waiting, []
        for sender, message in waiting:
            self._hear_worker(sender, message)

    def _acknowledge(self, header: dict[str, Any]) -> None:
        if self._tee is not None:
            self._tee.send(
                Kind.ACK,
                {
                    "epoch": header["epoch"],
                    "chain": header["chain"],
                    "acq": header["acq"],
                    "done": header["done"],
                    "failed": [[seq, cause] for seq, _, cause in header["failed"]],
                },
            )

    def _fence(self, header: dict[str, Any]) -> None:
        """Take nothing more from a dead worker, and let its batches go on."""
        self._fenced.add(header["worker"])
        if self._tee is not None:
            self._tee.send(Kind.FENCED, {**header, "epoch": self._epoch})

    def _join(self, epoch: int) -> None:
        """Dial the adapter process of this epoch and say what is merged."""
        if epoch == self._epoch:
            return  # said twice at the start: by us being ready, and by the adapter
        if self._tee is not None:
            self._poller.unregister(self._tee.socket)
            self._tee.close()
        spec = self._child.spec
        self._waiting.clear()
        self._epoch = self._collector.epoch = epoch
        self._tee = Link.dial(
            self._child.context, spec.endpoint(f"tee-{epoch}"), spec.identity
        )
        self._poller.register(self._tee.socket, zmq.POLLIN)
        self._tee.send(
            Kind.MERGED, {"epoch": epoch, "merged": self._collector.account()}
        )

    def _close_due(self, *, all_of_them: bool) -> None:
        for acquisition, ledger in self._closings.due(all_of_them=all_of_them):
            self._close(acquisition, ledger)

    def _close(self, acquisition: str, ledger: dict[str, Any]) -> None:
        closed = self._collector.close(acquisition, ledger)
        self._publisher.keep(self._collector.held)
        self._write_board(now=True)
        self._child.tell(Kind.CLOSED, **closed)
        if self._tee is not None:
            self._tee.send(Kind.CLOSED, {"acq": acquisition, "epoch": self._epoch})

    def _tell_recorder(self) -> None:
        """Say what is known of events, and tell the operator what is odd of them."""
        if self._recorder is None:
            return
        self._recorder.say()
        for told in self._collector.told.values():
            for note in told.notes:
                self._child.tell(Kind.NOTE, message=note)
            told.notes.clear()

    # -- beside the recording ---------------------------------------------------

    def _unwritten(self) -> list[Held]:
        held = self._collector.held.values()
        return [one for one in held if one.unwritten and one.closed is None]

    def _write_beside(self) -> None:
        """Put what is new of the results beside the recording, if it is time."""
        beside = self._collector.beside
        if beside is None or not self._unwritten():
            return
        if beside.due_in(time.monotonic()) <= 0:
            for held in self._unwritten():
                chains, held.unwritten = sorted(held.unwritten), set()
                beside.write(held.acquisition, self._results_now(held, chains))
        for note in beside.notes:
            self._child.tell(Kind.NOTE, message=note)
        beside.notes.clear()

    def _results_now(self, held: Held, chains: list[str]) -> Iterator[Named]:
        """Yield the results of some chains; of channels if they are quickly made."""
        for chain in chains:
            for processor, result in held.masters[chain].results():
                yield chain, processor, result
        channels, name = self._collector.channels, held.acquisition.id
        if channels and channels.timed_frames(name) <= JOIN_FRAMES:
            for processor, result in channels.results(name, live=True):
                yield CHANNELS, processor, result

    def _wait_ms(self) -> int:
        wait = LOOK_MS if self._closings else self._publishing.wait_ms()
        beside = self._collector.beside
        if beside is not None and self._unwritten():
            wait = min(wait, int(1000 * beside.due_in(time.monotonic())) + 1)
        return wait if self._recorder is None else self._recorder.wait_ms(wait)

    def _write_board(self, *, now: bool = False) -> None:
        time_now = time.monotonic()
        if not now and time_now - self._board_wrote < 0.1:
            return
        self._board_wrote = time_now
        self._child.board.update(
            frames=self._collector.merged_frames,
            busy_ns=self._collector.merge_ns,
            latencies=self._collector.latencies.counts,
            samples=self._collector.channels.received,
            merged={
                name: {chain: len(m.merged) for chain, m in held.masters.items()}
                for name, held in self._collector.held.items()
            },
        )


def run(child: Child) -> None:
    """Run a collector."""
    CollectorProcess(child).run()


if __name__ == "__main__":
    main(run)

"""The collector process: ``python -m scopeside.collect.process``."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
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
from scopeside.collect.paced import MARK, Paced, Told
from scopeside.collect.publisher import Publisher
from scopeside.collect.recorder_link import RecorderLink
from scopeside.link import Link
from scopeside.pipeline import CHANNELS
from scopeside.processor import prepare
from scopeside.wire import Kind, Message

log = logging.getLogger(__name__)

_IDLE_MS = 1000
PUBLISH_SHARE = 3
"""Publishing pauses for so many times what it took."""
PUBLISH_EVERY_S = 0.002
"""And never comes oftener than this."""
JOIN_EVERY_S = 0.5
"""Channels are joined and published so often while an acquisition is open."""
JOIN_SHARE = 50
"""But that pauses for so many times what it took."""
JOIN_FRAMES = 1 << 16
"""Beyond so many frames only at its end: joining would hold up the others."""


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
        outside = pipeline.results
        self._outside = ""
        if outside.bind is not None and outside.keys is not None:
            self._outside = self._publisher.open_to(outside.bind, outside.keys)
        self._tee: Link | None = None
        self._epoch = 0
        self._fenced: set[str] = set()
        self._waiting: list[tuple[bytes, Message]] = []
        self._stopping = False
        self._published = 0.0
        self._publish_took = 0.0
        self._paced = Paced(self._publish_paced)
        self._board_wrote = 0.0
        self._joined = 0.0
        self._join_took = 0.0
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
            for asked in self._publisher.new_subscriptions():
                self._repeat(asked)
            for note in self._publisher.told():
                self._child.tell(Kind.NOTE, message=note)
            self._publish_if_due()
            self._paced.publish_if_due(self._collector.held)
            self._tell_recorder()
            self._write_beside()
            self._write_board()
        self._publish(everything=True)
        self._paced.publish(self._collector.held)
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

    # -- publishing -------------------------------------------------------------

    def _wait_ms(self) -> int:
        wait = self._publish_wait_ms()
        paced_s = self._paced.wait_s()
        if paced_s is not None:
            wait = min(wait, int(1000 * paced_s) + 1)
        beside = self._collector.beside
        if beside is not None and self._unwritten():
            wait = min(wait, int(1000 * beside.due_in(time.monotonic())) + 1)
        return wait if self._recorder is None else self._recorder.wait_ms(wait)

    def _publish_wait_ms(self) -> int:
        if self._closings:
            return LOOK_MS
        if not self._publisher.wanted or not self._dirty():
            return _IDLE_MS
        return max(0, int(1000 * (self._due() - time.monotonic())) + 1)

    def _dirty(self) -> bool:
        return any(held.dirty for held in self._collector.held.values())

    def _due(self) -> float:
        pause = max(PUBLISH_EVERY_S, PUBLISH_SHARE * self._publish_took)
        return self._published + pause

    def _publish_if_due(self) -> None:
        if self._dirty() and time.monotonic() >= self._due():
            self._publish()

    def _publish(self, *, everything: bool = False) -> None:
        began = time.monotonic()
        for held in self._collector.held.values():
            for chain in sorted(held.dirty if not everything else held.masters):
                self._publish_chain(held, chain)
            if everything or (held.dirty and self._may_join(held)):
                self._publish_channels(held, live=held.closed is None)
            held.dirty.clear()
        self._published = time.monotonic()
        self._publish_took = self._published - began

    def _publish_chain(self, held: Held, chain: str, *, whole: bool = False) -> None:
        """Publish what is new of a chain, or the `whole` of what is known."""
        master = held.masters[chain]
        prefix = f"{held.acquisition.id}/".encode()
        if self._publisher.wants(prefix, MARK):
            self._paced.add(held, chain, master.fresh)
        if not self._publisher.wants(prefix):
            master.fresh.clear()
            return
        if whole or held.closed is not None:
            results = list(master.results())
        else:
            results = [*master.fresh, *master.merged_results()]
            master.fresh.clear()
        self._send(held, chain, results, whole=whole)

    def _publish_paced(self, held: Held, chain: str, results: Iterable[Told]) -> None:
        self._send(held, chain, results, mark=MARK)

    def _send(
        self, held: Held, chain: str, results: Iterable[Told], **how: Any
    ) -> None:
        t_frame_ns = held.masters[chain].t_frame_ns
        for processor, result in results:
            self._publisher.publish(
                result,
                acquisition=held.acquisition.id,
                chain=chain,
                processor=processor,
                t_frame_ns=t_frame_ns,
                final=held.closed is not None,
                channels=self._samples_at(t_frame_ns),
                **how,
            )

    def _samples_at(self, t_frame_ns: int) -> dict[str, Any] | None:
        channels = self._collector.channels
        return channels.at(t_frame_ns) if channels else None

    def _may_join(self, held: Held) -> bool:
        """Whether channels may be joined now; always, once it is closed."""
        channels, name = self._collector.channels, held.acquisition.id
        if not channels or held.closed is not None:
            return bool(channels)
        pause = max(JOIN_EVERY_S, JOIN_SHARE * self._join_took)
        rested = time.monotonic() - self._joined >= pause
        return rested and channels.timed_frames(name) <= JOIN_FRAMES

    def _publish_channels(self, held: Held, *, live: bool = False) -> None:
        """Publish the channels, joined to the frames that are known by now."""
        name = held.acquisition.id
        processors = ("channels", "map", "samples")
        marks = [
            mark
            for mark in (b"", MARK)
            if any(
                self._publisher.wants(f"{name}/{p}/".encode(), mark) for p in processors
            )
        ]
        if not marks:
            return
        began = time.monotonic()
        t_frame_ns = max(master.t_frame_ns for master in held.masters.values())
        for processor, result in self._collector.channels.results(name, live=live):
            for mark in marks:
                self._publisher.publish(
                    result,
                    acquisition=name,
                    chain=CHANNELS,
                    processor=processor,
                    t_frame_ns=t_frame_ns,
                    final=held.closed is not None,
                    channels=self._samples_at(t_frame_ns),
                    mark=mark,
                )
        self._joined = time.monotonic()
        self._join_took = self._joined - began

    def _repeat(self, asked: bytes) -> None:
        """Send the last values to whoever has just subscribed."""
        mark = MARK if asked.startswith(MARK) else b""
        for held in self._collector.held.values():
            name = mark + f"{held.acquisition.id}/".encode()
            if asked.startswith(name) or name.startswith(asked):
                for chain, master in held.masters.items():
                    if mark:
                        self._paced.add(held, chain, list(master.results()))
                    else:
                        self._publish_chain(held, chain, whole=True)
                self._publish_channels(held)

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

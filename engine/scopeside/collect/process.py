"""The collector process: ``python -m scopeside.collect.process``."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import zmq

from scopeside.child import Child, main
from scopeside.collect.collector import Collector, Held
from scopeside.collect.journal import Journal
from scopeside.collect.publisher import Publisher
from scopeside.link import Link
from scopeside.processor import prepare
from scopeside.wire import Kind, Message

log = logging.getLogger(__name__)

_IDLE_MS = 1000
PUBLISH_SHARE = 4
"""Publishing pauses for so many times what it took."""
PUBLISH_EVERY_S = 0.002
"""And never comes oftener than this."""


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
        self._parts = Link.listen(child.context, spec.endpoint("collector"))
        self._publisher = Publisher(
            child.context, spec.endpoints, spec.identity, spec.results_port
        )
        self._tee: Link | None = None
        self._epoch = 0
        self._fenced: set[str] = set()
        self._waiting: list[tuple[bytes, Message]] = []
        self._stopping = False
        self._published = 0.0
        self._publish_took = 0.0
        self._board_wrote = 0.0
        self._poller = zmq.Poller()
        for socket in (
            child.control.socket,
            self._parts.socket,
            self._publisher.socket,
        ):
            self._poller.register(socket, zmq.POLLIN)
        child.tell(Kind.READY, results=self._publisher.tcp)
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
            for asked in self._publisher.new_subscriptions():
                self._repeat(asked)
            self._publish_if_due()
            self._write_board()
        self._publish(everything=True)
        self._parts.close()
        self._publisher.socket.close(linger=500)

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
                    self._start(header["acquisition"])
                self._close(header["acq"], header["ledger"])
            case Kind.STOP:
                self._stopping = True
            case other:
                log.warning("the collector does not know what to do on %s", other)

    def _hear_tee(self) -> None:
        while self._tee is not None and (message := self._tee.receive()) is not None:
            match message.kind:
                case Kind.START:
                    self._start(message.header["acquisition"])
                case Kind.END:
                    self._close(message.header["acq"], message.header["ledger"])
                case other:
                    log.warning("the collector does not know what to do on %s", other)

    def _hear_worker(self, sender: bytes, message: Message) -> None:
        header = message.header
        match message.kind:
            case Kind.PART:
                self._part(sender, message)
            case Kind.RECALL:
                self._recall(sender, header)
            case other:
                log.warning("the collector does not know what to do on %s", other)

    def _part(self, sender: bytes, message: Message) -> None:
        header = message.header
        if header["worker"] in self._fenced:
            return  # its batches are with another worker by now
        if header["acq"] not in self._collector.held:
            self._waiting.append((sender, message))
            return
        if self._collector.absorb(message):
            self._acknowledge(header)
        self._parts.send(Kind.PART_OK, {"number": header["number"]}, to=sender)

    def _recall(self, sender: bytes, header: dict[str, Any]) -> None:
        if header["acq"] not in self._collector.held:
            self._waiting.append((sender, Message(Kind.RECALL, header, [])))
            return
        states = self._collector.state_for(header["acq"], header["chain"])
        self._parts.send(
            Kind.STATE,
            {"acq": header["acq"], "steps": list(states)},
            list(states.values()),
            to=sender,
        )

    def _start(self, acquisition: dict[str, Any]) -> None:
        """Open an acquisition, and hear those who knew of it before we did."""
        self._collector.start(acquisition)
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
        self._epoch = epoch
        self._tee = Link.dial(
            self._child.context, spec.endpoint(f"tee-{epoch}"), spec.identity
        )
        self._poller.register(self._tee.socket, zmq.POLLIN)
        self._tee.send(
            Kind.MERGED, {"epoch": epoch, "merged": self._collector.account()}
        )

    def _close(self, acquisition: str, ledger: dict[str, Any]) -> None:
        closed = self._collector.close(acquisition, ledger)
        self._publisher.keep(self._collector.held)
        self._write_board(now=True)
        self._child.tell(Kind.CLOSED, **closed)
        if self._tee is not None:
            self._tee.send(Kind.CLOSED, {"acq": acquisition, "epoch": self._epoch})

    # -- publishing -------------------------------------------------------------

    def _wait_ms(self) -> int:
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
            held.dirty.clear()
        self._published = time.monotonic()
        self._publish_took = self._published - began

    def _publish_chain(self, held: Held, chain: str, *, whole: bool = False) -> None:
        """Publish what is new of a chain, or the `whole` of what is known."""
        master = held.masters[chain]
        if not self._publisher.wants(f"{held.acquisition.id}/".encode()):
            master.fresh.clear()
            return
        if whole or held.closed is not None:
            results = list(master.results())
        else:
            results = [*master.fresh, *master.merged_results()]
            master.fresh.clear()
        for processor, result in results:
            self._publisher.publish(
                result,
                acquisition=held.acquisition.id,
                chain=chain,
                processor=processor,
                t_frame_ns=master.t_frame_ns,
                final=held.closed is not None,
            )

    def _repeat(self, asked: bytes) -> None:
        """Send the last values to whoever has just subscribed."""
        for held in self._collector.held.values():
            name = f"{held.acquisition.id}/".encode()
            if asked.startswith(name) or name.startswith(asked):
                for chain in held.masters:
                    self._publish_chain(held, chain, whole=True)

    def _write_board(self, *, now: bool = False) -> None:
        time_now = time.monotonic()
        if not now and time_now - self._board_wrote < 0.1:
            return
        self._board_wrote = time_now
        self._child.board.update(
            frames=self._collector.merged_frames,
            busy_ns=self._collector.merge_ns,
            latencies=self._collector.latencies.counts,
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

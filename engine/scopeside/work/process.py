"""The worker process: ``python -m scopeside.work.process``."""

from __future__ import annotations

import zmq

from scopeside.child import Child, main
from scopeside.device.choose import choose
from scopeside.link import Link
from scopeside.processor import prepare
from scopeside.slab import Slab
from scopeside.wire import Kind, Message
from scopeside.work.gpu import Gpu
from scopeside.work.worker import Worker


class WorkerProcess:
    """The worker's links: to the adapter, to the collector, to the supervisor."""

    def __init__(self, child: Child) -> None:
        spec = child.spec
        pipeline = spec.load_pipeline()
        chain = pipeline.chain(spec.chain)
        prepare((step.cls for step in chain.steps), spec.prepare_lock)
        self._child = child
        choice = choose(chain.device, [step.cls for step in chain.steps])
        notes = [] if choice.note is None else [f"chain {chain.name!r}: {choice.note}"]
        slab = Slab(
            spec.slab_fd,
            spec.slab_bytes,
            writable=False,
            lockable=choice.card is not None,
        )
        gpu = None
        if choice.card is not None:
            gpu = Gpu(choice.card, pipeline.slab.batch_kib << 10, notes.append)
            gpu.pin(slab)
            gpu.prepare(chain)
        child.board.update(device="cpu" if gpu is None else gpu.doing)
        self._worker = Worker(
            chain,
            "cpu",
            slab,
            child.board,
            spec.identity,
            timed=bool(pipeline.channels),
            stamped=pipeline.control is not None or pipeline.records_on_event,
            gpu=gpu,
        )
        self._worker.notes = notes
        self._tee: Link | None = None
        self._draining = False
        self._stopping = False
        self._dials = 0
        self._poller = zmq.Poller()
        self._poller.register(child.control.socket, zmq.POLLIN)
        self._dial_collector()
        self._pass_on_notes()
        child.tell(Kind.READY)

    def run(self) -> None:
        """Work until the supervisor says that it is enough."""
        while not self._stopping:
            worker = self._worker
            if worker.ready:
                worker.work()
            wait_ms = worker.commit_if_due()
            self._pass_on_notes()
            self._report_drained()
            if not worker.ready:
                self._poller.poll(wait_ms)
            self._hear()

    def _hear(self) -> None:
        while (message := self._child.control.receive()) is not None:
            self._obey(message)
        if self._tee is not None:
            while (message := self._tee.receive()) is not None:
                self._worker.hear_tee(message)
        assert self._worker.collector is not None
        while (message := self._worker.collector.receive()) is not None:
            self._worker.hear_collector(message)

    def _obey(self, message: Message) -> None:
        match message.kind:
            case Kind.EPOCH:
                self._join(message.header["epoch"])
            case Kind.RESEND:
                self._dial_collector()
                self._worker.resend()
            case Kind.DRAIN:
                self._draining = True
                self._worker.discard_unknown()
            case Kind.STOP:
                self._stopping = True
            case other:
                self._child.tell(Kind.NOTE, message=f"unexpected {other.name}")

    def _join(self, epoch: int) -> None:
        """Dial the adapter process of this epoch and offer to work."""
        if self._tee is not None and epoch == self._worker.epoch:
            return  # said when we were ready, and again when the adapter was
        if self._tee is not None:
            self._poller.unregister(self._tee.socket)
            self._tee.close()
        spec = self._child.spec
        endpoint = spec.endpoint(f"tee-{epoch}")
        self._tee = Link.dial(self._child.context, endpoint, spec.identity)
        self._poller.register(self._tee.socket, zmq.POLLIN)
        self._worker.begin_epoch(epoch)
        self._tee.send(Kind.JOIN, {"epoch": epoch, "chain": spec.chain})

    def _dial_collector(self) -> None:
        old = self._worker.collector
        if old is not None:
            self._poller.unregister(old.socket)
            old.close()
        spec = self._child.spec
        # A name of its own for each dial: an old connection that is accepted late
        # would take the name over, and with it all answers.
        self._dials += 1
        name = f"{spec.identity}/{self._dials}"
        link = Link.dial(self._child.context, spec.endpoint("collector"), name)
        self._poller.register(link.socket, zmq.POLLIN)
        self._worker.collector = link

    def _pass_on_notes(self) -> None:
        for note in self._worker.notes:
            self._child.tell(Kind.NOTE, message=note)
        self._worker.notes.clear()

    def _report_drained(self) -> None:
        if self._draining and self._worker.drained:
            self._draining = False
            self._child.tell(Kind.DRAINED, epoch=self._worker.epoch)


def run(child: Child) -> None:
    """Run a worker."""
    WorkerProcess(child).run()


if __name__ == "__main__":
    main(run)

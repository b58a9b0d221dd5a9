"""The recorder process: ``python -m scopeside.record.process``."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import zmq

from scopeside.acquisition import Acquisition
from scopeside.child import Child, main
from scopeside.control.settings import ControlSettings
from scopeside.link import Link
from scopeside.messages import validate
from scopeside.record.gate import Gate
from scopeside.record.item import Item
from scopeside.record.left import items_left
from scopeside.record.notebook import Notebook
from scopeside.record.recorder import Recorder
from scopeside.record.report import Report
from scopeside.record.ring import ring_warning
from scopeside.record.settings import EDGE, RecordSettings
from scopeside.record.spool import Spool
from scopeside.record.writing import Writer, Written
from scopeside.runs import manifest
from scopeside.slab import Slab
from scopeside.wire import Kind, Message

log = logging.getLogger(__name__)

IDLE_MS = 500
BUSY_MS = 50
PROBE_NS = 1_000_000_000
"""A disk that is full or fails is tried again so often."""
PATIENCE = 0.75
"""Part of [engine] drain_s: after an acquisition a full disk is waited for so long."""


class RecorderProcess:
    """The recorder's links: to the adapter, to the supervisor."""

    def __init__(self, child: Child) -> None:
        spec = child.spec
        pipeline = spec.load_settings()  # to be back soon after a crash
        assert pipeline.record is not None
        self._child = child
        self._settings: RecordSettings = pipeline.record
        self._patience_ns = int(PATIENCE * pipeline.engine.drain_s * 1e9)
        self._slab = Slab(spec.slab_fd, spec.slab_bytes, writable=False)
        self._spool = Spool(spec.spool_fd, self._settings.spool_mib << 20)
        self._notebook = Notebook(spec.spool_fd)
        about = {
            "pipeline": dict(spec.pipeline),
            "pipeline_folder": spec.pipeline_folder,
            "pipeline_source": spec.pipeline_source,
            "software": manifest.software(),
            "record": self._settings.model_dump(mode="json"),
        }
        if pipeline.control is not None:
            folder = Path(spec.pipeline_folder)
            guard = validate(ControlSettings, pipeline.control, folder=folder)
            about["control"] = {"clock": guard.clock, "log": str(guard.audit)}
        self._writer = Writer(
            self._settings, self._notebook, about, Path(spec.run_folder)
        )
        self._gate: Gate | None = None
        self._events: Link | None = None
        if self._settings.mode == "on_event":
            self._gate = Gate(self._settings)
            self._events = Link.listen(child.context, spec.endpoint("recorder"))
        self._recorder = Recorder(self._spool, self._notebook, self._gate)
        self._recover()
        self._report = Report(
            board=child.board,
            settings=self._settings,
            recorder=self._recorder,
            spool=self._spool,
            writer=self._writer,
            gate=self._gate,
        )
        self._tee: Link | None = None
        self._epoch = 0
        self._ended: set[str] = set()
        self._probe_ns = 0
        self._trouble_since_ns = 0
        self._draining = False
        self._stopping = False
        self._poller = zmq.Poller()
        self._poller.register(child.control.socket, zmq.POLLIN)
        self._poller.register(self._writer.wake, zmq.POLLIN)
        if self._events is not None:
            self._poller.register(self._events.socket, zmq.POLLIN)
        self._writer.start()
        child.tell(Kind.READY)

    def _recover(self) -> None:
        """Go on where a recorder before this one was killed."""
        for problem in self._writer.recover():
            self._note(problem)
        for name, run in self._writer.runs.items():
            if run.writer is not None and run.writer.record:
                self._recorder.started.add(name)
        now = time.monotonic_ns()
        left = items_left(self._spool, self._notebook, now, self._is_written)
        self._recorder.recover(left)

    def _is_written(self, acquisition: str, epoch: int, seq: int) -> bool:
        run = self._writer.runs.get(acquisition)
        if run is None:
            return self._notebook.answer_of(acquisition) is not None
        return (epoch, seq) <= run.done

    def run(self) -> None:
        """Record until the supervisor says that it is enough, and all is written."""
        while not (self._stopping and self._at_rest):
            wait_ms = IDLE_MS if self._recorder.queues.idle else BUSY_MS
            self._poller.poll(wait_ms)
            self._hear()
            self._take_news()
            self._recorder.spill()
            self._hand_out()
            self._lose_patience()
            self._answer()
            self._report_drained()
            self._say(self._report.look())
        self._end()

    @property
    def _at_rest(self) -> bool:
        """Whether nothing is left to do, or nothing more can be done."""
        recorder = self._recorder
        stuck = bool(recorder.trouble) and not recorder.queues.with_writer
        return recorder.queues.idle or (stuck and not self._may_hope)

    @property
    def _may_hope(self) -> bool:
        return time.monotonic_ns() - self._trouble_since_ns < self._patience_ns

    # -- messages ---------------------------------------------------------------

    def _hear(self) -> None:
        while (message := self._child.control.receive()) is not None:
            self._obey(message)
        if self._tee is not None:
            while (message := self._tee.receive()) is not None:
                self._hear_tee(message)
        while self._events is not None and (found := self._events.receive_from()):
            if self._gate is not None and found[1].kind is Kind.EVENTS:
                self._gate.hear(found[1].header)

    def _obey(self, message: Message) -> None:
        header = message.header
        match message.kind:
            case Kind.EPOCH:
                self._join(header["epoch"])
            case Kind.BOOK:
                self._book(header)
            case Kind.DRAIN:
                self._recorder.awaited = set()
                self._draining = True
            case Kind.STOP:
                self._stopping = True
            case other:
                log.warning("the recorder does not know what to do on %s", other)

    def _hear_tee(self, message: Message) -> None:
        header, now = message.header, time.monotonic_ns()
        match message.kind:
            case Kind.START:
                self._start(header, now)
            case Kind.BATCH:
                item = Item.of_batch(header, self._slab, now)
                self._report.came += item.size
                self._recorder.put(item)
                self._recorder.spill()
            case Kind.GAP | Kind.PARAM:
                self._recorder.put(
                    Item(
                        message.kind,
                        header["acq"],
                        header["epoch"],
                        header["seq"],
                        header,
                        now,
                    )
                )
            case Kind.SPOOLED:
                self._recorder.awaited = set(header["again"])
            case Kind.END if "seq" in header:
                self._ended.add(header["acq"])
                self._recorder.answers.done.append(header["seq"])
            case Kind.END:
                pass  # the tee has forgotten it; its book is on the way
            case other:
                log.warning("the recorder does not know what to do on %s", other)

    def _start(self, header: dict[str, Any], now: int) -> None:
        name = header["acquisition"]["id"]
        recorder = self._recorder
        if name in recorder.started or self._notebook.answer_of(name) is not None:
            return  # told again
        item = Item(Kind.START, name, header.get("epoch", 0), -1, header, now)
        if name in recorder.queues.acquisitions:
            recorder.put_first(item)
        else:
            recorder.put(item)
        recorder.started.add(name)
        about = Acquisition.from_dict(header["acquisition"])
        if words := ring_warning(self._settings, about):
            self._note(f"{name}: {words}")

    def _book(self, header: dict[str, Any]) -> None:
        now = time.monotonic_ns()
        book, name = header["book"], header["acq"]
        if self._recorder.queues.awaits_book(name):
            return  # said again to one that was restarted, and heard twice
        acquisition = {"acquisition": book["acquisition"], "change": 0, "changes": []}
        self._start({**acquisition, "epoch": self._epoch}, now)
        self._recorder.awaited = set()  # whoever could send something again is gone
        self._recorder.put(Item(Kind.BOOK, name, self._epoch, -1, header, now))
        self._ended.add(name)

    def _join(self, epoch: int) -> None:
        """Dial the adapter process of this epoch and say what is here already."""
        if self._tee is not None and epoch == self._epoch:
            return  # said when we were ready, and again when the adapter was
        if self._tee is not None:
            self._poller.unregister(self._tee.socket)
            self._tee.close()
        spec = self._child.spec
        self._epoch = self._recorder.epoch = epoch
        self._tee = Link.dial(
            self._child.context, spec.endpoint(f"tee-{epoch}"), spec.identity
        )
        self._poller.register(self._tee.socket, zmq.POLLIN)
        said = {"epoch": epoch, "chain": EDGE, "have": self._have(epoch)}
        self._tee.send(Kind.JOIN, said)

    def _have(self, epoch: int) -> dict[str, Any]:
        """Return what of this epoch need not be sent again."""
        runs = self._writer.runs
        dropped = [
            [first, last, cause]
            for run in runs.values()
            for one, first, last, cause in run.given_up
            if one == epoch
        ]
        dropped += [
            [*gap.seqs, gap.cause] for gap in self._notebook.gaps if gap.epoch == epoch
        ]
        kept = {
            name: [[seq, n] for one, seq, n in run.last if one == epoch]
            for name, run in runs.items()
        }
        return {
            **({} if self._gate is None else {"kept": kept}),
            "upto": {n: run.done[1] for n, run in runs.items() if run.done[0] == epoch},
            "spooled": self._recorder.queues.spooled_seqs(epoch),
            "dropped": dropped,
        }

    def _answer(self) -> None:
        said = self._recorder.take_answers()
        if said is not None and self._tee is not None:
            self._tee.send(Kind.ACK, {"epoch": self._epoch, "chain": EDGE, **said})

    def _report_drained(self) -> None:
        if self._draining and self._recorder.leave_slab():
            self._draining = False
            self._child.tell(Kind.DRAINED, epoch=self._epoch)

    # -- the writer -------------------------------------------------------------

    def _hand_out(self) -> None:
        recorder = self._recorder
        if recorder.trouble:
            now = time.monotonic_ns()
            if now < self._probe_ns or recorder.queues.with_writer:
                return
            self._writer.retry()
        while (item := recorder.next()) is not None:
            if self._gate is not None:
                item.since_ns = time.monotonic_ns()  # until now it waited for an event
            if item.kind is Kind.BOOK and self._gate is not None:
                windows = self._gate.windows(item.acquisition)
                item.header = {**item.header, "windows": windows}
            self._writer.give(item, recorder.losses.of(item.acquisition))
            if recorder.trouble:
                return  # one, to see whether it can be written again

    def _take_news(self) -> None:
        for said in self._writer.news():
            if said.trouble:
                self._refused(said)
                continue
            if self._recorder.trouble and said.item.kind is Kind.BATCH:
                self._note("the disk can be written to again")
            self._recorder.written(said.item)
            self._tell_written(said)

    def _tell_written(self, said: Written) -> None:
        item = said.item
        if item.gap is not None:
            gap = item.gap
            n = sum(b - a + 1 for a, b in gap.runs)
            self._note(
                f"GAP: frames {gap.runs[0][0]} to {gap.runs[-1][1]} of "
                f"{gap.acquisition} ({n} frames) are not recorded: {gap.cause}"
            )
        elif item.kind is Kind.BOOK:
            assert said.answer is not None
            self._recorder.losses.forget(item.acquisition)
            if self._gate is not None:
                self._gate.forget(item.acquisition)
            self._ended.discard(item.acquisition)
            self._say(self._report.look(now=True))
            self._child.tell(Kind.RECORDED, acq=item.acquisition, **said.answer)

    def _refused(self, said: Written) -> None:
        now = time.monotonic_ns()
        if said.trouble == "waits":
            self._recorder.refused(said.item, "")
            return
        self._probe_ns = now + PROBE_NS
        if said.trouble != self._recorder.trouble:
            self._trouble_since_ns = now
            words = "DISK FULL" if said.trouble == "disk_full" else "THE DISK FAILS"
            what = _IN_WORDS.get(said.item.kind, "frames")
            self._note(
                f"{words}: {what} cannot be written to {self._settings.to}: "
                f"{said.why}; up to {self._settings.spool_mib} MiB wait in memory, "
                "then frames are not recorded; it is tried again every second"
            )
        self._recorder.refused(said.item, said.trouble)

    def _lose_patience(self) -> None:
        """Give up what waits for a disk that stays full after the last frame."""
        recorder = self._recorder
        if not recorder.trouble or recorder.queues.with_writer or self._may_hope:
            return
        over = recorder.queues.acquisitions <= self._ended or self._stopping
        if over and recorder.queues.batches:
            self._report.knows(recorder.trouble)
            given_up = recorder.give_up_waiting()
            runs = [run for gap in self._notebook.gaps for run in gap.runs]
            frames = ", ".join(f"{first} to {last}" for first, last in runs[:20])
            self._note(
                f"{given_up} batches that waited for the disk are given up (frames "
                f"{frames}{' …' if len(runs) > 20 else ''}): it could not be written "
                f"to for {self._patience_ns / 1e9:.0f} s"
            )

    def _say(self, words: Iterable[str]) -> None:
        for text in words:
            self._note(text)

    def _note(self, text: str) -> None:
        self._child.tell(Kind.NOTE, message=text)

    def _end(self) -> None:
        if not self._recorder.queues.idle:
            left = ", ".join(self._notebook.open_runs.values())
            self._note(
                f"NOT FINISHED: the disk cannot be written to; {left} has no manifest "
                "of its end (scopeside runs recover)"
            )
        self._writer.stop(2.0)
        if self._events is not None:
            self._events.close()


_IN_WORDS = {
    Kind.START: "a new run",
    Kind.BOOK: "the manifest",
    Kind.GAP: "a gap",
    Kind.PARAM: "a change of parameters",
}


def run(child: Child) -> None:
    """Run a recorder."""
    RecorderProcess(child).run()


if __name__ == "__main__":
    main(run)

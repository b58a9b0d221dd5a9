"""The adapter process: ``python -m scopeside.ingest.process``."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import zmq

from scopeside.child import Child, main
from scopeside.detector import Detector, Preparing, StopRequested
from scopeside.edge import Edge
from scopeside.errors import ScopesideError
from scopeside.ingest.recording import RecordEdge
from scopeside.ingest.sink import SlabSink
from scopeside.ingest.tee import BOARD_PERIOD_S, Tee
from scopeside.link import Link
from scopeside.slab import Slab
from scopeside.wire import Kind

log = logging.getLogger(__name__)


def run(child: Child) -> None:
    """Run a detector and the edges behind it until both have nothing left to do."""
    spec = child.spec
    pipeline = spec.load_pipeline()
    detector = pipeline.detector_cls(pipeline.detector_params, pipeline.acquisition)
    if isinstance(detector, Preparing):
        detector.prepare()
    slab = Slab(spec.slab_fd, spec.slab_bytes, writable=True)
    sink = SlabSink(
        slab,
        pipeline.slab,
        pipeline.acquisition,
        spec.epoch,
        spec.limit,
        used_ids=spec.used_ids,
    )
    tee = Tee(
        router=Link.listen(child.context, spec.endpoint(f"tee-{spec.epoch}")),
        sink=sink,
        slab=slab,
        edges=[
            *(
                Edge(chain.name, chain.edge, ordered=chain.ordered)
                for chain in pipeline.chains
            ),
            *([] if pipeline.record is None else [RecordEdge()]),
        ],
        board=child.board,
        epoch=spec.epoch,
        wait_s=pipeline.engine.wait_s,
        quarantine_folder=Path(spec.quarantine_folder),
    )
    child.tell(Kind.READY)
    _serve(child, tee, sink, detector)
    tee.router.flush_and_close()


def _serve(child: Child, tee: Tee, sink: SlabSink, detector: Detector) -> None:
    events = zmq.Poller()
    for waker in (tee.router.socket, sink.wake, child.control.socket):
        events.register(waker, zmq.POLLIN)
    thread = threading.Thread(
        target=_detect, args=(detector, sink), name="detector", daemon=True
    )
    expected: dict[str, int] | None = None
    while not tee.done:
        while (message := child.control.receive()) is not None:
            match message.kind:
                case Kind.GO:
                    expected = message.header["workers"]
                case Kind.STOP:
                    sink.stop()
                    if thread.ident is None:
                        expected = None
                        sink.finish("stopped", "")
                case Kind.DEGRADE:
                    tee.degrade(message.header["chain"])
                case Kind.FENCE:
                    tee.fence_recorder(message.header["worker"])
                case Kind.ABORT:
                    tee.abandon(recording=message.header["recording"])
                case Kind.PARAM:
                    tee.change(message.header)
                case other:
                    log.warning("the adapter does not know what to do on %s", other)
        tee.turn()
        if expected is not None and tee.complete(expected):
            expected = None
            thread.start()
        for note in tee.notes:
            child.tell(Kind.NOTE, message=note)
        tee.notes.clear()
        for worker in tee.fenced:
            child.tell(Kind.FENCED, worker=worker)
        tee.fenced.clear()
        for answer in tee.changes.answers:
            child.tell(Kind.PARAM, **answer)
        tee.changes.answers.clear()
        if not tee.done:
            events.poll(int(BOARD_PERIOD_S * 1000))
    assert tee.finished is not None
    child.tell(Kind.DONE, error=tee.finished.error)


def _detect(detector: Detector, sink: SlabSink) -> None:
    """Run the detector's loop; whatever ends it, the sink is told."""
    try:
        detector.run(sink)
    except StopRequested:
        sink.finish("stopped", "stopped on request")
    except ScopesideError as error:
        sink.finish("failed", str(error), str(error))
    except Exception as error:
        log.exception("the detector failed")
        text = f"{type(error).__name__}: {error}"
        sink.finish("failed", text, text)
    else:
        sink.finish("failed", "the detector ended without an end of the acquisition")


if __name__ == "__main__":
    main(run)

"""An IOC and a detector that watches it, in threads of one process."""

import threading
import time
from contextlib import contextmanager

from tests.doubles import MemorySink

from scopeside.detector import StopRequested
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.epics.simulator import EpicsSimulatorParams, Ioc
from scopeside_adapters.epics.source import EpicsDetector

PV = "13SIM1:Pva1:Image"
PATIENCE_S = 30.0


def until(condition, what="it"):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} never came"
        time.sleep(0.002)


def ioc(**table):
    """An IOC on a free port."""
    said = {"port": 0, "pv": PV, "shape": (12, 20), "frames": 20, "fps": 500.0}
    return Ioc(EpicsSimulatorParams.model_validate({**said, **table}))


def detector(address, settings=None, **table):
    said = {"pv": PV, "servers": [address], "silence_s": 1.0, "queue": 500}
    params = EpicsDetector.Params.model_validate({**said, **table})
    return EpicsDetector(params, AcquisitionSettings.model_validate(settings or {}))


@contextmanager
def running(source, sink=None):
    """Run a detector until the test is over; give its sink."""
    sink = sink or MemorySink()
    failures = []

    def go():
        try:
            source.run(sink)
        except StopRequested:
            pass
        except Exception as error:  # noqa: BLE001 - raised again by the test
            failures.append(error)

    thread = threading.Thread(target=go)
    thread.start()
    try:
        until(lambda: sink.notes or failures, "the detector")
        yield sink
    finally:
        sink.stopping = True
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
        if failures:
            raise failures[0]


@contextmanager
def watching(server, sink=None, settings=None, **table):
    """Watch `server`, from before its first frame."""
    source = detector(server.address, settings, **table)
    with running(source, sink) as found:
        until(lambda: source.intake and source.intake.idle, "the channel")
        yield found


def played(table=None, settings=None, acquisitions=1, capacity=8, **options):
    """Play acquisitions of `table` and give what the sink has at their end."""
    with ioc(**(table or {})) as server:
        sink = MemorySink(capacity=capacity)
        with watching(server, sink, settings, **options):
            for number in range(acquisitions):
                server.play()
                until(lambda n=number: len(sink.ends) > n, "the end")
    return sink


def causes(sink):
    return [(n, cause) for n, cause, _ in sink.rejects]

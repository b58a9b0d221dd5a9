"""A sink for channels that keeps everything, and a source that runs beside a test."""

import threading
import time
from contextlib import contextmanager

from scopeside.detector import StopRequested

PATIENCE_S = 20.0


class MemoryChannelSink:
    """A `ChannelSink` for tests of sources without an engine."""

    def __init__(self, name="t", unit="", since_ns=None):
        self.name, self.unit, self.since_ns = name, unit, since_ns
        self.stopping = False
        self.found = []
        self.rejects = []
        self.notes = []
        self.error = None

    def sample(self, t_ns, value):
        self._refuse_if_stopping()
        self.found.append((t_ns, value))

    def samples(self, t_ns, values):
        self._refuse_if_stopping()
        self.found += zip(t_ns.tolist(), values.tolist(), strict=True)

    def reject(self, n, cause, message):
        self._refuse_if_stopping()
        self.rejects.append((n, cause, message))

    def note(self, message):
        self._refuse_if_stopping()
        self.notes.append(message)

    def _refuse_if_stopping(self):
        if self.stopping:
            raise StopRequested


def until(condition, what="it"):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} never came"
        time.sleep(0.002)


def _run(source, sink):
    try:
        source.run(sink)
    except StopRequested:
        return
    except Exception as error:  # noqa: BLE001 - looked at by the test
        sink.error = error


@contextmanager
def running(source, sink=None):
    """Run a source in a thread, give its sink, and stop it."""
    sink = sink or MemoryChannelSink()
    thread = threading.Thread(target=_run, args=(source, sink))
    thread.start()
    try:
        yield sink
    finally:
        sink.stopping = True
        thread.join(PATIENCE_S)
    assert not thread.is_alive()

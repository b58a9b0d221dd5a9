"""Runs the timepix3 detector in a thread, against doubles or words of a test."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress

import numpy as np
from tests.doubles import MemorySink

from scopeside.detector import StopRequested
from scopeside.errors import ScopesideError
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.timepix3 import gather
from scopeside_adapters.timepix3 import tables as k
from scopeside_adapters.timepix3.layout import LAYOUTS
from scopeside_adapters.timepix3.protocol import RawParser
from scopeside_adapters.timepix3.scan import ScanPlan
from scopeside_adapters.timepix3.simulator import (
    Timepix3Simulator,
    Timepix3SimulatorParams,
)
from scopeside_adapters.timepix3.source import Timepix3Detector

PATIENCE_S = 30.0
SCAN = (16, 12)


def detector(scan=SCAN, **table):
    table = {"listen": "127.0.0.1:0", **table}
    params = Timepix3Detector.Params.model_validate(table)
    return Timepix3Detector(params, AcquisitionSettings(scan=scan))


def simulator(**table):
    table = {"paced": False, "scan": SCAN, "disorder_us": 5, **table}
    return Timepix3Simulator(Timepix3SimulatorParams.model_validate(table))


def room():
    """A sink with room for whole scans."""
    return MemorySink(capacity=4096, words=1 << 16)


def until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.002)


@contextmanager
def listening(sink=None, scan=SCAN, **table):
    """Run the detector in a thread; give its sink, and where it listens."""
    sink = sink or room()
    source, errors = detector(scan, **table), []

    def run():
        try:
            source.run(sink)
        except StopRequested:
            pass
        except ScopesideError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        until(lambda: sink.notes or errors)
        yield sink, sink.notes[0].split()[-1] if sink.notes else ""
    finally:
        sink.stopping = True
        thread.join(PATIENCE_S)
    assert not thread.is_alive()
    sink.errors = errors


def sent(messages, sink=None, ends=1, **table):
    """Send bytes over a connection, and give the sink once it has seen `ends`."""
    with listening(sink, **table) as (filled, address):
        send(address, messages)
        until(lambda: len(filled.ends) >= ends)
    return filled


def send(address, messages):
    """Send until all is sent, or the detector has hung up on what it refuses."""
    host, port = address.split(":")
    with (
        socket.create_connection((host, int(port))) as connection,
        suppress(ConnectionResetError, BrokenPipeError),
    ):
        for message in messages:
            connection.sendall(message)


def played(simulated, sink=None, ends=None, **table):
    """Have a simulator send, and give the sink once all scans have ended."""
    ends = simulated._params.scans if ends is None else ends
    with listening(sink, **table) as (filled, address):
        simulated.send_to(address)
        until(lambda: len(filled.ends) >= ends)
    return filled


def found(sink, number=0):
    """(position, pixel, value) of all events of an acquisition, sorted."""
    events = sink.events(number)
    rows = np.stack([events.index[events.place], events.address, events.value], axis=1)
    return rows[np.lexsort(rows.T[::-1])]


def expected(scan, *, tot=False):
    """The same of a synthetic scan."""
    lit = scan.hits.position >= 0
    value = scan.hits.tot if tot else np.ones_like(scan.hits.tot)
    columns = scan.hits.position[lit], scan.address()[lit], value[lit]
    rows = np.stack(columns, axis=1)
    return rows[np.lexsort(rows.T[::-1])]


def parser_of(plan, layout="single", **options):
    return RawParser(LAYOUTS[layout], plan, hits_per_s=1e6, **options)


def line_plan(columns, lines, **options):
    return ScanPlan("line", columns, lines, **options)


def parse(parser, words, sizes=()):
    """Feed words in pieces, and give (position, pixel, value) of all events."""
    data = np.ascontiguousarray(words).view(np.int64)
    begin = 0
    for size in [*sizes, len(data)]:
        stop = min(begin + size, len(data))
        while begin < stop:
            begin = parser.feed(data, begin, stop)
    parser.finish()
    return taken(parser.memory)


def taken(m):
    events, index, stamps = np.empty(1 << 16, np.int64), *np.empty((2, 4096), np.int64)
    count, out = np.zeros(2, np.int64), []
    forever = np.iinfo(np.int64).max
    while (kind := gather.next_is(forever, forever, m)) != gather.NOTHING:
        if kind == gather.GAP:
            gather.step(m)
            continue
        gather.take(forever, forever, events, index, stamps, 0, 0, m, count)
        got = events[: count[1]]
        place, value = got >> 40, (got >> 24) & 0xFFFF
        out.append(np.stack([index[place], got & 0xFFFFFF, value], axis=1))
    rows = np.concatenate([np.empty((0, 3), np.int64), *out])
    return rows[np.lexsort(rows.T[::-1])]


def closes(m):
    """Whether every hit went to exactly one place."""
    spent = sum(int(m[number]) for number in [k.EVENTS, *k.CAUSES])
    return spent == m[k.HITS]

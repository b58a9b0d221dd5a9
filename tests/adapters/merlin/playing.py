"""Runs the merlin detector against peers on real loopback sockets."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager

import numpy as np
from tests.doubles import MemorySink

from scopeside.detector import StopRequested
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.merlin.simulator import MerlinSimulator
from scopeside_adapters.merlin.source import MerlinDetector

PATIENCE_S = 20.0


def until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.002)


def detector(settings=None, **table):
    settings = AcquisitionSettings.model_validate(settings or {})
    return MerlinDetector(MerlinDetector.Params.model_validate(table), settings)


@contextmanager
def simulating(**table):
    """Run a simulated Merlin whose chips read four rows, unless it is told else."""
    table = {"pixels": "R64", "depth": 6, "rows": 4, "frames": 20, **table}
    params = {"port": 0, "control_port": 0, "different": 32, **table}
    simulator = MerlinSimulator(MerlinSimulator.Params.model_validate(params))
    lines = []
    thread = threading.Thread(target=simulator.run, args=(lines.append,))
    thread.start()
    try:
        yield simulator
    finally:
        simulator.stop()
        thread.join(PATIENCE_S)
    assert not thread.is_alive()


def ports(simulator):
    return {"port": simulator.port, "control_port": simulator.control_port}


@contextmanager
def running(source, sink):
    """Run a detector in a thread; give what came out of it; stop it at the end."""
    outcome = []

    def run():
        try:
            source.run(sink)
        except StopRequested:
            outcome.append("stopped")
        except Exception as error:  # noqa: BLE001 - tests look at it
            outcome.append(error)
        else:
            outcome.append("done")

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield outcome
    finally:
        sink.stopping = True
        thread.join(PATIENCE_S)
    assert not thread.is_alive()


def played(simulated=None, settings=None, sink=None, **table):
    """Take armed acquisitions from a simulator; give the sink and the simulator."""
    sink = sink or MemorySink(capacity=8)
    with simulating(**(simulated or {})) as simulator:
        source = detector(settings, arm=True, **ports(simulator), **table)
        source.run(sink)
    return sink, simulator


@contextmanager
def serving(*scripts):
    """A data port that serves connections one after another, each with its bytes.

    A script is the bytes to send; None in the end keeps the connection open.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(PATIENCE_S)
    ended = threading.Event()

    def serve():
        for script in scripts:
            client, _ = listener.accept()
            with client:
                for part in script:
                    if part is None:
                        ended.wait(PATIENCE_S)
                    else:
                        client.sendall(part)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        ended.set()
        thread.join(PATIENCE_S)
        listener.close()


def assert_holds(sink, frames, acquisition=0, index=None):
    """Assert that an acquisition has exactly `frames`, as stored, upright."""
    got = sink.frames(acquisition)
    expected = np.arange(len(frames)) if index is None else np.array(index)
    np.testing.assert_array_equal(got.index, expected)
    np.testing.assert_array_equal(got.pixels, frames[:, ::-1])

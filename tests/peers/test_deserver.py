"""The deserver detector against the simulated server that Direct Electron ships."""

import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from tests.doubles import MemorySink

from scopeside.detector import StopRequested
from scopeside.errors import SourceError
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.deserver.source import DeServerDetector

pytestmark = pytest.mark.peers

pytest.importorskip("deapi", reason="deapi is not installed (extra deserver)")
MINUTE_S = 60.0
SIZE, OFFSET, SCAN = 128, 448, (9, 7)
PROPERTIES = {
    "Hardware ROI Offset X": OFFSET,
    "Hardware ROI Offset Y": OFFSET,
    "Hardware ROI Size X": SIZE,
    "Hardware ROI Size Y": SIZE,
    "Scan - Enable": "On",
    "Scan - Size Y": SCAN[0],
    "Scan - Size X": SCAN[1],
    "Grabbing - Frames Per Buffer": 16,
    "Frames Per Second": 1000.0,
}


@contextmanager
def server():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "deapi.simulated_server.initialize_server", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout.readline().startswith("started")
        drain = threading.Thread(target=process.stdout.read)
        drain.start()
        yield port, process
    finally:
        process.kill()
        process.wait(MINUTE_S)
        drain.join(MINUTE_S)
        process.stdout.close()


def detector(port, **table):
    said = {"port": port, "properties": PROPERTIES, **table}
    params = DeServerDetector.Params.model_validate(said)
    return DeServerDetector(params, AcquisitionSettings())


def expected():
    """The frames that the simulated camera gives, in the order of the scan."""
    from deapi.fake_data.grains import TiltGrains

    data = TiltGrains(
        x_pixels=SCAN[1], y_pixels=SCAN[0], kx_pixels=1024, ky_pixels=1024
    )
    here = slice(OFFSET, OFFSET + SIZE)
    return data.flat[:][:, here, here].astype(np.uint16)


def until(condition):
    deadline = time.monotonic() + MINUTE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.002)


def test_three_scans_in_a_row_are_those_of_the_simulated_camera():
    sink = MemorySink(capacity=5)
    with server() as (port, _):
        source = detector(port, acquisitions=3)
        source.run(sink)
    assert sink.ends == [("complete", "", 63)] * 3
    assert sink.gaps == sink.rejects == []
    (about, *_) = sink.acquisitions
    assert (about.frame_shape, about.dtype) == ((SIZE, SIZE), np.dtype("<u2"))
    assert about.scan.shape == SCAN
    assert about.calibration == {"frame_time_s": pytest.approx(0.001)}
    frames = expected()
    for k in range(3):
        got = sink.frames(k)
        assert got.index.tolist() == list(range(63))
        np.testing.assert_array_equal(got.pixels.sum((1, 2)), frames.sum((1, 2)))
        np.testing.assert_array_equal(got.pixels, frames)


def test_a_server_that_is_killed_is_named():
    sink = MemorySink()
    failures = []

    def go():
        try:
            source.run(sink)
        except SourceError as error:
            failures.append(str(error))

    with server() as (port, process):
        many = {**PROPERTIES, "Scan - Size X": 1000, "Scan - Size Y": 1000}
        source = detector(port, properties=many)
        thread = threading.Thread(target=go)
        thread.start()
        until(lambda: len(sink.batches) > 3)
        process.kill()
        thread.join(MINUTE_S)
    assert not thread.is_alive()
    assert sink.ends[0][0] == "failed"
    assert failures == [sink.ends[0][1]]
    assert f"DE-Server at 127.0.0.1:{port}: the link broke" in failures[0]


def test_a_stop_in_mid_series_and_a_start_again():
    with server() as (port, _):
        many = {**PROPERTIES, "Scan - Size X": 1000, "Scan - Size Y": 1000}
        with pytest.raises(StopRequested):
            detector(port, properties=many).run(MemorySink(stop_after_batches=4))
        again = MemorySink()
        detector(port).run(again)
    assert again.ends == [("complete", "", 63)]
    np.testing.assert_array_equal(again.frames().pixels, expected())


def test_a_property_that_is_not_there_is_told():
    with (
        server() as (port, _),
        pytest.raises(SourceError, match="does not take 'No Such Property' = 1"),
    ):
        detector(port, properties={"No Such Property": 1}).run(MemorySink())

"""The merlin detector against LiberTEM-live's simulator, an implementation by others.

It is started as its command line starts it, in a process of its own, with a .mib file
that is written here.
"""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from tests.doubles import MemorySink
from tests.peers.programs import program_of
from tests.real_data import real

from scopeside.detector import StopRequested
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.merlin import recording
from scopeside_adapters.merlin.protocol import PREFIX
from scopeside_adapters.merlin.source import MerlinDetector

pytestmark = [pytest.mark.peers, pytest.mark.timeout(300)]

PATIENCE_S = 120.0  # it compiles its readers first
BETWEEN_S = 1.0  # or its old connection swallows the next STARTACQUISITION
SCAN = (8, 8)


@pytest.fixture(scope="session")
def command():
    found = program_of("libertem-live-mib-sim")
    if found is None:
        pytest.skip(
            "libertem-live-mib-sim is not installed (pip install libertem-live)"
        )
    return found


def free_ports(n):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def write(folder, kind, depth=12, layout="1x1", n=64):
    """Write a .mib and its .hdr; return the .hdr and the frames as stored."""
    pixels, depth = recording.pixel_format(kind, layout, 256, depth)
    rng = np.random.default_rng(2024)
    shape = (n, *pixels.frame_shape)
    frames = rng.integers(0, 1 << min(depth, 8), shape).astype(pixels.dtype)
    header = recording.acquisition_header(n, SCAN[1], layout, depth)
    made = recording.made(frames, pixels, kind, layout, depth=depth, header=header)
    folder.mkdir(exist_ok=True)
    (folder / "t.hdr").write_bytes(header)
    (folder / "t.mib").write_bytes(made.data[:, PREFIX:].tobytes())
    return folder / "t.hdr", frames


@contextmanager
def simulating(command, hdr, *options):
    """Start the simulator; give its process and its ports."""
    data, control, trigger = free_ports(3)
    ports = ["--data-port", data, "--control-port", control, "--trigger-port", trigger]
    process = subprocess.Popen(
        [command, str(hdr), "--host", "127.0.0.1", *map(str, ports), *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: listens(control) and listens_only(data), process)
        yield process, {"port": data, "control_port": control}
    finally:
        process.kill()
        process.wait(PATIENCE_S)


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def listens_only(port):
    """Tell whether somebody listens, without connecting: it would be a client."""
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(f":{port:04X} 00000000:0000 0A" in row for row in rows)


def until(condition, process=None):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        assert process is None or process.poll() is None, "the simulator has ended"
        time.sleep(0.02)


def detector(ports, settings=None, **params):
    table = {"arm": True, "trigger": "soft", **ports, **params}
    settings = AcquisitionSettings.model_validate(settings or {})
    return MerlinDetector(MerlinDetector.Params.model_validate(table), settings)


@contextmanager
def taking(source, sink):
    """Run the detector in a thread; stop it at the end."""
    raised = []

    def run():
        try:
            source.run(sink)
        except StopRequested:
            raised.append("stopped")
        except Exception as error:  # noqa: BLE001 - it is looked at below
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield raised
    finally:
        sink.stopping = True
        thread.join(PATIENCE_S)
    assert not thread.is_alive()


class Pausing(MemorySink):
    """Leaves the simulator time between acquisitions, which it needs."""

    def end(self, *args, **options):
        super().end(*args, **options)
        time.sleep(BETWEEN_S)


@pytest.mark.parametrize(
    ("kind", "depth", "layout"),
    [("U08", 6, "1x1"), ("U16", 12, "1x1"), ("R64", 12, "1x1"), ("R64", 6, "2x2")],
)
def test_three_acquisitions_in_a_row_on_one_connection(
    command, tmp_path, kind, depth, layout
):
    hdr, frames = write(tmp_path, kind, depth, layout)
    sink = Pausing(capacity=16)
    with simulating(command, hdr, "--wait-trigger") as (_, ports):
        source = detector(ports, acquisitions=3)
        with taking(source, sink) as raised:
            until(lambda: len(sink.ends) == 3 or raised)
    assert sink.ends == [("complete", "", 64)] * 3, (sink.notes, raised)
    assert sink.rejects == sink.gaps == []
    for k in range(3):
        got = sink.frames(k)
        assert got.index.tolist() == list(range(64))
        np.testing.assert_array_equal(
            got.pixels.sum(axis=(1, 2)), frames.sum(axis=(1, 2))
        )
        np.testing.assert_array_equal(got.pixels, frames[:, ::-1])
        assert sink.acquisitions[k].scan_shape == SCAN
    assert sum("started" in note for note in sink.notes) == 3


def test_nonsense_before_an_acquisition_is_passed_over(command, tmp_path):
    hdr, frames = write(tmp_path, "U16")
    sink = MemorySink(capacity=16)
    with (
        simulating(command, hdr, "--garbage") as (_, ports),
        taking(detector(ports), sink),
    ):
        until(lambda: sink.ends)
    assert sink.ends == [("complete", "", 64)]
    np.testing.assert_array_equal(sink.frames().pixels, frames[:, ::-1])


def test_what_the_detector_itself_sends_is_listened_to(command, tmp_path):
    hdr, frames = write(tmp_path, "U08")
    sink = MemorySink(capacity=16)
    with (
        simulating(command, hdr) as (_, ports),
        taking(detector(ports, arm=False, trigger=None), sink),
    ):
        until(lambda: len(sink.ends) >= 2)
    assert set(sink.ends[:2]) == {("complete", "", 64)}
    for k in range(2):
        np.testing.assert_array_equal(sink.frames(k).pixels, frames[:, ::-1])


def test_a_stop_in_mid_series_and_a_new_start(command, tmp_path):
    hdr, frames = write(tmp_path, "U16")
    with simulating(command, hdr, "--wait-trigger", "--dwelltime", "20000") as (
        _,
        ports,
    ):
        first = MemorySink(capacity=4)
        with taking(detector(ports), first) as raised:
            until(lambda: first.batches)
        assert raised == ["stopped"]
        assert first.ends == []
        assert 0 < len(first.frames()) < 64
        time.sleep(3 * BETWEEN_S)  # it plays on into the closed connection
        second = MemorySink(capacity=16)
        with taking(detector(ports), second):
            until(lambda: second.ends)
    assert second.ends == [("complete", "", 64)]
    np.testing.assert_array_equal(second.frames().pixels, frames[:, ::-1])


def test_a_simulator_killed_in_mid_series_is_named(command, tmp_path):
    hdr, frames = write(tmp_path, "U16")
    sink = MemorySink(capacity=4)
    with (
        simulating(command, hdr, "--wait-trigger", "--dwelltime", "20000") as (
            process,
            ports,
        ),
        taking(detector(ports), sink),
    ):
        until(lambda: sink.batches)
        process.kill()
        until(lambda: sink.ends)
    [(state, reason, total)] = sink.ends
    assert (state, total) == ("failed", None)
    assert f"Merlin at 127.0.0.1:{ports['port']}: it hung up" in reason or (
        "the connection broke" in reason
    )
    got = sink.frames()
    assert f"after {len(got)} of 64 frames" in reason
    np.testing.assert_array_equal(got.pixels, frames[: len(got), ::-1])


@pytest.mark.data
def test_a_real_quad_file_played_by_others(command):
    mib = real("stem/merlin_depths/Quad_9_Frame_CounterDepth_12_Rows_256.mib")
    raw = np.fromfile(mib, np.uint8).reshape(9, -1)[:, 768:]
    frames = raw.copy().view(">u2").reshape(9, 512, 512)
    sink = MemorySink(capacity=4)
    with (
        simulating(
            command, mib.with_suffix(".hdr"), "--wait-trigger", "--nav-shape", "3", "3"
        ) as (_, ports),
        taking(detector(ports, {"scan": [3, 3]}), sink),
    ):
        until(lambda: sink.ends)
    assert sink.ends == [("complete", "", 9)]
    np.testing.assert_array_equal(sink.frames().pixels, frames[:, ::-1])

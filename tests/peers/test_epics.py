"""The epics detector against servers that others wrote: pvapy's camera, p4p's server.

pvapy-ad-sim-server speaks through EPICS' own pvAccess library, p4p through PVXS: two
independent implementations of the protocol.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from tests.adapters.epics.playing import detector, running, until
from tests.peers.programs import program_of

pytestmark = pytest.mark.peers

pytest.importorskip("p4p", reason="p4p is not installed (extra epics)")
PV = "pvapy:image"
MINUTE_S = 60.0
FRAMES = np.random.default_rng(2024).poisson(9, (40, 96, 192)).astype(np.uint16)


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Camera:
    """pvapy's simulated camera on ports of its own."""

    def __init__(self, *arguments):
        program = program_of("pvapy-ad-sim-server")
        if program is None:
            pytest.skip("pvapy-ad-sim-server is not installed (pip install pvapy)")
        self.tcp, self.udp = free_port(), free_port(socket.SOCK_DGRAM)
        self._command = [
            program, "-dc", "-cn", PV, "-std", "1", "-shd", "0", "-rp", "0",
            "-rt", "60", *map(str, arguments),
        ]  # fmt: skip
        self.start()

    def start(self):
        environment = {
            **os.environ,
            "EPICS_PVA_ADDR_LIST": "127.0.0.1",
            "EPICS_PVA_AUTO_ADDR_LIST": "NO",
            "EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1",
            "EPICS_PVAS_AUTO_BEACON_ADDR_LIST": "NO",
            "EPICS_PVAS_BEACON_ADDR_LIST": "127.0.0.1",
        }
        for side in ("EPICS_PVA", "EPICS_PVAS"):
            environment[f"{side}_SERVER_PORT"] = str(self.tcp)
            environment[f"{side}_BROADCAST_PORT"] = str(self.udp)
        self.process = subprocess.Popen(
            self._command, env=environment, stdout=subprocess.DEVNULL
        )

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(MINUTE_S)


@contextmanager
def watched(*arguments, **table):
    """A camera, and what a detector finds that searches by UDP, as at a beam line."""
    found = Camera(*arguments)
    said = {"pv": PV, "servers": [], "addresses": [f"127.0.0.1:{found.udp}"]}
    try:
        with running(detector("", **{**said, "silence_s": 2.0, **table})) as sink:
            yield found, sink
    finally:
        found.kill()


def assert_is_the_file(sink, acquisition):
    """Every frame has the pixels of the file, and every number is accounted for."""
    got = sink.frames(acquisition)
    first = sink.acquisitions[acquisition].metadata["first_unique_id"]
    expected = FRAMES[(first + got.index - 1) % len(FRAMES)]
    np.testing.assert_array_equal(got.pixels.sum((1, 2)), expected.sum((1, 2)))
    np.testing.assert_array_equal(got.pixels, expected)
    total = sink.ends[acquisition][2]
    assert len(got) + missed(sink) >= total
    if not sink.gaps:
        assert got.index.tolist() == list(range(total))


def missed(sink):
    return sum(last - first + 1 for first, last, _ in sink.gaps)


@pytest.fixture
def numpy_file(tmp_path):
    np.save(tmp_path / "frames.npy", FRAMES)
    return tmp_path / "frames.npy"


def test_frames_of_pvapy_are_those_of_the_file_three_times_in_a_row(numpy_file):
    with watched("-if", numpy_file, "-fps", 100, frames=50) as (_, sink):
        until(lambda: len(sink.ends) >= 3)
    assert [end[0] for end in sink.ends[:3]] == ["complete"] * 3
    assert sink.acquisitions[0].frame_shape == (96, 192)
    for k in range(3):
        assert_is_the_file(sink, k)
    firsts = [a.metadata["first_unique_id"] for a in sink.acquisitions[:3]]
    assert np.diff(firsts).tolist() == [50, 50]


def test_compressed_chunks_of_pvapy_are_unpacked(tmp_path):
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    filters = pytest.importorskip("hdf5plugin", reason="hdf5plugin is not installed")
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        file.create_dataset(
            "entry/data/data",
            data=FRAMES,
            chunks=(1, *FRAMES.shape[1:]),
            **filters.Bitshuffle(cname="lz4"),
        )
    arguments = ("-if", tmp_path / "frames.h5", "-hds", "entry/data/data", "-hcm")
    with watched(*arguments, "-fps", 100, frames=50) as (_, sink):
        until(lambda: sink.ends)
    assert sink.acquisitions[0].metadata["codec"] == "bslz4"
    assert sink.rejects == []
    assert_is_the_file(sink, 0)


def test_a_killed_pvapy_is_named_and_the_next_acquisition_works(numpy_file):
    with watched("-if", numpy_file, "-fps", 200, silence_s=30) as (found, sink):
        until(lambda: len(sink.batches) > 10)
        found.kill()
        until(lambda: sink.ends, "the loss")
        found.start()
        until(lambda: len(sink.batches_of) > 1 and len(sink.batches_of[1]) > 10)
    state, reason, _ = sink.ends[0]
    assert state == "failed"
    assert "the IOC closed the link or died" in reason
    first = sink.acquisitions[1].metadata["first_unique_id"]
    got = sink.frames(1)
    expected = FRAMES[(first + got.index - 1) % len(FRAMES)]
    np.testing.assert_array_equal(got.pixels, expected)


P4P = """
import sys, time
import numpy as np
from p4p.nt import NTNDArray
from p4p.server import Server
from p4p.server.thread import SharedPV

frames = np.load(sys.argv[1])
conf = {
    "EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1", "EPICS_PVAS_SERVER_PORT": sys.argv[2],
    "EPICS_PVAS_BROADCAST_PORT": "0", "EPICS_PVAS_AUTO_BEACON_ADDR_LIST": "NO",
}
pv = SharedPV(initial=NTNDArray().wrap(np.zeros((2, 2), "u1")))
with Server(providers=[{"p4p:image": pv}], conf=conf, useenv=False):
    print("serving", flush=True)
    for line in sys.stdin:
        for k, frame in enumerate(frames):
            value = NTNDArray().wrap(frame)
            value["uniqueId"] = k + 1
            pv.post(value)
            time.sleep(0.005)
"""
"""A server as p4p's documentation has it: no time, no codec, one image a post."""


@contextmanager
def p4p_server(path):
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", P4P, str(path), str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "serving\n"
        yield f"127.0.0.1:{port}", process
    finally:
        process.kill()
        process.wait(MINUTE_S)
        process.stdin.close()
        process.stdout.close()


def test_frames_of_a_plain_p4p_server_three_times_in_a_row(numpy_file):
    with p4p_server(numpy_file) as (address, process):
        source = detector(address, pv="p4p:image", frames=40)
        with running(source) as sink:
            until(lambda: source.intake and source.intake.idle)
            for k in range(3):
                process.stdin.write("play\n")
                process.stdin.flush()
                until(lambda k=k: len(sink.ends) > k)
    assert sink.ends == [("complete", "", 40)] * 3
    assert sink.acquisitions[0].metadata["timestamps"] == "of reception"
    for k in range(3):
        np.testing.assert_array_equal(sink.frames(k).pixels, FRAMES)
        assert sink.frames(k).index.tolist() == list(range(40))


def test_a_killed_p4p_server_is_named(numpy_file):
    with p4p_server(numpy_file) as (address, process):
        source = detector(address, pv="p4p:image", silence_s=30)
        with running(source) as sink:
            until(lambda: source.intake and source.intake.idle)
            process.stdin.write("play\n")
            process.stdin.flush()
            until(lambda: len(sink.batches) > 3)
            killer = threading.Thread(target=process.kill)
            killer.start()
            until(lambda: sink.ends)
            killer.join()
    assert sink.ends[0][0] == "failed"
    assert "the IOC closed the link or died" in sink.ends[0][1]

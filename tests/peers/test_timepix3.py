"""The timepix3 detector against programs that other people wrote."""

import socket
import struct
import subprocess
import threading
import time
from contextlib import contextmanager, suppress

import numpy as np
import pytest
from tests.adapters.timepix3.playing import (
    closes,
    found,
    line_plan,
    parse,
    parser_of,
    room,
    until,
)
from tests.peers.programs import program_of

from scopeside.detector import StopRequested
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.timepix3 import words as w
from scopeside_adapters.timepix3.layout import LAYOUTS
from scopeside_adapters.timepix3.source import Timepix3Detector
from scopeside_adapters.timepix3.synthetic import Beam, SyntheticScan

pytestmark = pytest.mark.peers

SIMULATOR = program_of("libertem-live-asi-tpx-sim")
NAV = (16, 16)
needs_simulator = pytest.mark.skipif(
    SIMULATOR is None, reason="libertem-live-asi-tpx-sim (libertem-live) is missing"
)
DTYPES = {2: "<u1", 3: "<u2", 4: "<u4", 5: "<u8"}


def decoder():
    return pytest.importorskip(
        "tpx3awkward.processing.decoding", reason="tpx3awkward is missing"
    )


def test_what_we_encode_is_what_tpx3awkward_reads():
    awkward = decoder()
    rng = np.random.default_rng(3)
    x, y, tot = (rng.integers(0, top, 2000) for top in (256, 256, 1024))
    time_ = np.sort(rng.integers(1 << 20, 1 << 33, 2000))
    words = w.chunk(w.hits(x, y, time_, tot), 3)
    got = awkward._ingest_raw_data(words)
    order = np.argsort(got[3] - np.where(got[0] // 2 % 16 == 0, 16, got[0] // 2 % 16))
    # It scales the time over threshold to ns, and adds a phase to each column.
    phase = np.where((x / 2 % 16).astype(int) == 0, 16, (x / 2 % 16).astype(int))
    assert len(order) == 2000
    mine = np.lexsort([y, x, time_ + phase])
    theirs = np.lexsort([got[1], got[0], got[3]])
    np.testing.assert_array_equal(got[0][theirs], x[mine])
    np.testing.assert_array_equal(got[1][theirs], y[mine])
    np.testing.assert_array_equal(got[2][theirs], tot[mine] * 25)
    np.testing.assert_array_equal(got[3][theirs], (time_ + phase)[mine])


@pytest.mark.parametrize("chip", range(4))
def test_our_flipped_quad_is_the_camera_of_tpx3awkward(chip):
    awkward = decoder()
    scan = SyntheticScan(Beam((4, 5), disorder_s=0.0), LAYOUTS["single"], 1)
    hits = scan.hits
    sent = w.hits(hits.x, hits.y, hits.time, hits.tot)
    edges, _ = scan.edges()
    words = np.concatenate([w.chunk(edges), w.chunk(sent, chip)])
    parser = parser_of(line_plan(5, 4), "quad_flipped")
    rows = parse(parser, words)
    assert closes(parser.memory)
    x, y, *_ = awkward._ingest_raw_data(w.chunk(sent, chip))
    pixels = np.bincount(y.astype(int) * 512 + x, minlength=512 * 512)
    lit = np.bincount(rows[:, 1], minlength=512 * 512)
    assert lit.sum() == (hits.position >= 0).sum()
    assert (lit <= pixels).all()


def test_its_edges_are_ours():
    awkward = decoder()
    scan = SyntheticScan(Beam((4, 5), disorder_s=0.0), LAYOUTS["single"], 1)
    edges, times = scan.edges()
    clock = w.global_time(int(times[0]) - 1000)
    hits = w.hits([1], [2], [int(times[0])], [3])
    words = w.chunk(np.concatenate([clock, hits, edges]))
    *_, ns, kinds, _ = awkward._ingest_raw_data(words, True)
    np.testing.assert_allclose(ns, times * 1.5625, atol=2.0)
    assert kinds.tolist() == [0, 1] * 4


# -- the sparse stream of LiberTEM-live ----------------------------------------------


@contextmanager
def libertem(nav=NAV, sleep=0.5):
    """The simulator of LiberTEM-live, on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    command = [SIMULATOR, "--mock-nav-shape", *map(str, nav), "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--sleep", str(sleep)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: answers(port))
        yield process, port
    finally:
        process.kill()
        process.wait()


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@contextmanager
def connected(port, sink, **table):
    params = Timepix3Detector.Params(stream="csr", connect=f"127.0.0.1:{port}", **table)
    source = Timepix3Detector(params, AcquisitionSettings())

    def run():
        with suppress(StopRequested):
            source.run(sink)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        sink.stopping = True
        thread.join(30)
    assert not thread.is_alive()


def read(connection, size):
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        assert part, "it hung up"
        data += part
    return data


def decoded_apart(port):
    """(position, pixel, value) of one scan, by a reader that shares no code of ours."""
    rows, first, dtypes = [], 0, ()
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        while True:
            head = read(connection, 32)
            if head[0] == 0:
                found_ = struct.unpack_from("<BBBHHBHHBI", head)
                dtypes = DTYPES[found_[5]], DTYPES[found_[8]]
            elif head[0] == 1:
                read(connection, struct.unpack_from("<BIQ", head)[2])
            elif head[0] == 2:
                _, value, n, nnz, at_index, at_value = struct.unpack_from(
                    "<BBIIII", head
                )
                size = at_value + nnz * np.dtype(DTYPES[value]).itemsize
                data = read(connection, size)
                bounds = np.frombuffer(data, dtypes[0], n + 1).astype(int)
                pixel = np.frombuffer(data, dtypes[1], nnz, at_index).astype(int)
                values = np.frombuffer(data, DTYPES[value], nnz, at_value).astype(int)
                position = np.repeat(np.arange(n), np.diff(bounds)) + first
                rows.append(np.stack([position, pixel, values], axis=1))
                first += n
            else:
                break
    rows = np.concatenate(rows)
    return first, rows[np.lexsort(rows.T[::-1])]


@needs_simulator
def test_three_acquisitions_in_a_row_are_what_an_independent_reader_decodes():
    with libertem() as (_, port):
        frames, truth = decoded_apart(port)
        sink = room()
        with connected(port, sink):
            until(lambda: len(sink.ends) >= 3)
    assert frames == 256
    for number in range(3):
        np.testing.assert_array_equal(found(sink, number), truth)
        index = np.concatenate([b.index for b in sink.batches_of[number]])
        assert index.tolist() == list(range(256))
    assert sink.ends[:3] == [("complete", "", 256)] * 3
    assert sink.acquisitions[0].scan.shape == NAV


@needs_simulator
def test_frames_made_of_it_have_the_same_sums():
    with libertem((4, 4)) as (_, port):
        _, truth = decoded_apart(port)
        sink = room()
        sink._capacity = 16
        with connected(port, sink, output="frames"):
            until(lambda: sink.ends)
    sums = np.bincount(truth[:, 0], truth[:, 2], minlength=16)
    np.testing.assert_array_equal(sink.frames().pixels.sum(axis=(1, 2))[:16], sums)


@needs_simulator
def test_a_simulator_that_is_killed_in_mid_series_is_named():
    with libertem((128, 128), sleep=0.0) as (process, port):
        sink = room()
        with connected(port, sink):
            until(lambda: len(sink.batches) > 1)
            process.kill()
            until(
                lambda: (sink.ends and sink.ends[-1][0] == "failed") or answers_no(sink)
            )
    if sink.ends[-1][0] == "failed":
        assert f"127.0.0.1:{port}" in sink.ends[-1][1]


def answers_no(sink):
    """Whether the detector has found that nobody is there, between two scans."""
    time.sleep(0.01)
    return any("nobody answers" in note for note in sink.notes)

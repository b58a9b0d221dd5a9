"""The timepix3 detector on real loopback sockets."""

import socket

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.adapters.timepix3.playing import (
    SCAN,
    closes,
    detector,
    expected,
    found,
    line_plan,
    listening,
    parse,
    parser_of,
    played,
    room,
    send,
    sent,
    simulator,
    until,
)
from tests.doubles import MemorySink

from scopeside.detector import Detector
from scopeside.errors import ProtocolError, SourceError
from scopeside_adapters.timepix3 import words as w
from scopeside_adapters.timepix3.source import Timepix3Detector

POSITIONS = SCAN[0] * SCAN[1]
COMPLETE = ("complete", "", POSITIONS)


def causes(sink):
    return {cause: n for n, cause, _ in sink.rejects}


def all_indices(sink, number=0):
    return np.concatenate([b.index for b in sink.batches_of[number]]).tolist()


def test_it_is_a_detector():
    source: Detector = detector()
    assert source.check() == []


@pytest.mark.parametrize(("capacity", "words"), [(4096, 1 << 16), (8, 60), (1, 4096)])
def test_what_is_sent_is_what_comes(capacity, words):
    simulated = simulator()
    sink = played(simulated, MemorySink(capacity=capacity, words=words))
    (scan,) = simulated.scans()
    np.testing.assert_array_equal(found(sink), expected(scan))
    assert all_indices(sink) == list(range(POSITIONS))
    assert sink.ends == [COMPLETE]
    assert causes(sink) == {"flyback": int((scan.hits.position < 0).sum())}


def test_a_position_with_more_events_than_a_slot_is_counted_by_pixel():
    simulated = simulator(hits=3000, scan=(2, 2))
    sink = played(simulated, MemorySink(capacity=4, words=2990), scan=(2, 2))
    (scan,) = simulated.scans()
    rows, truth = found(sink), expected(scan)
    assert sink.ends == [("complete", "", 4)]
    assert len(rows) < len(truth)
    for position in range(4):
        mine = truth[truth[:, 0] == position][:, 1]
        got = rows[rows[:, 0] == position]
        counts = np.bincount(got[:, 1], got[:, 2], minlength=65536)
        np.testing.assert_array_equal(counts, np.bincount(mine, minlength=65536))


def test_frames_can_be_made_of_them():
    simulated = simulator(scan=(5, 4))
    sink = played(simulated, scan=(5, 4), output="frames")
    (scan,) = simulated.scans()
    np.testing.assert_array_equal(sink.frames().pixels, scan.frames())
    assert sink.frames().index.tolist() == list(range(20))
    assert sink.acquisitions[0].encoding == "frames"


def test_scans_follow_each_other():
    simulated = simulator(scans=3, layout="quad")
    sink = played(simulated, layout="quad")
    for number, scan in enumerate(simulated.scans()):
        np.testing.assert_array_equal(found(sink, number), expected(scan))
    assert sink.ends == [COMPLETE] * 3


def test_measurements_follow_each_other():
    with listening() as (sink, address):
        for number in range(3):
            simulator(seed=number).send_to(address)
            until(lambda number=number: len(sink.ends) > number)
    assert sink.ends == [COMPLETE] * 3
    (scan,) = simulator(seed=2).scans()
    np.testing.assert_array_equal(found(sink, 2), expected(scan))


def test_exposures_make_a_movie():
    simulated = simulator(scan=(4, 100), dwell_us=10, flyback_us=0)
    with listening(scan=None, exposure_s=1e-3) as (sink, address):
        simulated.send_to(address)
        until(lambda: sink.ends)
    (scan,) = simulated.scans()
    assert sink.ends[0][0] == "complete"
    assert sink.acquisitions[0].kind == "movie"
    assert 4 <= sink.ends[0][2] <= 5
    counted = len(found(sink))
    assert counted + causes(sink).get("outside", 0) == len(scan.hits.time)


def test_missed_lines_are_a_gap():
    sink = played(simulator(missed=(3, 4)))
    first = 3 * SCAN[1]
    assert sink.gaps == [(first, first + 2 * SCAN[1] - 1, "missed_line")]
    assert len(all_indices(sink)) == POSITIONS - 2 * SCAN[1]
    assert sink.ends == [COMPLETE]


def test_positions_without_hits_are_frames():
    sink = played(simulator(hits=0.01))
    assert all_indices(sink) == list(range(POSITIONS))
    assert sink.ends == [COMPLETE]


def test_time_stamps_follow_the_clock_of_the_detector():
    simulated = simulator()
    sink = played(simulated)
    (scan,) = simulated.scans()
    stamps = np.concatenate([b.timestamp_ns for b in sink.batches])
    expected_ns = scan.line_start[-1] - scan.line_start[0] + scan._dwell * 11
    assert stamps[-1] - stamps[0] == pytest.approx(expected_ns * 1.5625, abs=100)


@pytest.mark.parametrize(
    ("fault", "cause"),
    [("drop", "lost_packets"), ("duplicate", "repeated"), ("reorder", None),
     ("truncate", "garbage"), ("stall", None)],
)  # fmt: skip
def test_a_fault_is_counted_and_the_scan_goes_on(fault, cause):
    simulated = simulator(chunk=200, faults={4: fault})
    sink = played(simulated)
    (scan,) = simulated.scans()
    assert sink.ends[0][0] == "complete"
    assert cause is None or causes(sink)[cause] > 0
    if fault in ("duplicate", "reorder", "stall"):
        np.testing.assert_array_equal(found(sink), expected(scan))
    else:
        assert len(found(sink)) > 0.8 * len(expected(scan))


def test_a_reset_fails_the_scan_and_the_next_one_works():
    with listening() as (sink, address):
        simulator(chunk=200, faults={6: "reset"}).send_to(address)
        until(lambda: sink.ends)
        simulator().send_to(address)
        until(lambda: len(sink.ends) == 2)
    state, reason, _ = sink.ends[0]
    assert state in ("failed", "stopped")
    assert "127.0.0.1" in reason
    assert sink.ends[1] == COMPLETE


def test_a_peer_that_hangs_up_in_mid_scan_is_named():
    (scan,) = simulator().scans()
    chunks = [c.tobytes() for c in scan.chunks(size=200)]
    sink = sent(chunks[:5])
    assert sink.ends[0][0] == "stopped"
    assert "hung up after line" in sink.ends[0][1]


def test_a_peer_that_hangs_up_within_a_chunk_is_named():
    (scan,) = simulator().scans()
    data = b"".join(c.tobytes() for c in scan.chunks(size=200))
    sink = sent([data[:5003]])
    assert sink.ends[0][0] == "failed"
    assert "hung up in the middle of a" in sink.ends[0][1]


@pytest.mark.parametrize("stranger", [b"GET / HTTP/1.1\r\n\r\n", b"MPX,00001,HDR"])
def test_another_peer_on_the_port_is_sent_away_and_the_next_is_taken(stranger):
    with listening() as (sink, address):
        send(address, [stranger])
        until(lambda: sink.rejects)
        simulator().send_to(address)
        until(lambda: sink.ends)
    n, cause, message = sink.rejects[0]
    assert (n, cause) == (1, "wrong_magic")
    assert "not with 'TPX3'" in message
    assert sink.ends == [COMPLETE]


def test_a_silent_peer_is_waited_for_and_a_stop_is_heard():
    with listening() as (sink, address):
        host, port = address.split(":")
        with socket.create_connection((host, int(port))):
            until(lambda: len(sink.notes) == 2)
            sink.stopping = True
    assert sink.acquisitions == []


def test_a_peer_that_falls_silent_fails_the_scan():
    (scan,) = simulator().scans()
    chunks = [c.tobytes() for c in scan.chunks(size=200)]
    with listening(silence_s=0.3) as (sink, address):
        host, port = address.split(":")
        with socket.create_connection((host, int(port))) as connection:
            for chunk in chunks[:8]:
                connection.sendall(chunk)
            until(lambda: sink.ends)
    assert sink.ends[0][0] == "failed"
    assert "sent nothing for 0.3 s" in sink.ends[0][1]


def test_hits_without_a_line_signal_are_told_in_words():
    words = w.chunk(w.hits([1] * 5, [2] * 5, np.arange(5) * 100, [3] * 5))
    sink = sent([words.tobytes()])
    assert sink.ends[0][0] == "failed"
    assert "no edge of the scan signal" in sink.ends[0][1]
    assert causes(sink) == {"outside": 5}


def test_megabytes_of_garbage_end_the_connection():
    (scan,) = simulator().scans()
    begin = [c.tobytes() for c in scan.chunks(size=200)][:3]
    garbage = np.random.default_rng(1).integers(0, 256, 6 << 20, np.uint8).tobytes()
    with listening() as (sink, address):
        with pytest.raises(OSError):  # noqa: PT012 - where it breaks is open
            send(address, [*begin, garbage])
            send(address, [garbage])
            raise OSError
        until(lambda: sink.ends)
    assert sink.ends[0][0] == "failed"
    assert "no TPX3 header" in sink.ends[0][1]


@given(st.binary(max_size=4096))
@settings(deadline=None, max_examples=50)
def test_garbage_is_counted_or_refused_and_nothing_else(data):
    words = np.frombuffer(data[: len(data) // 8 * 8], np.uint64)
    parser = parser_of(line_plan(4, 4))
    try:
        parse(parser, words)
    except ProtocolError:
        return
    assert closes(parser.memory)


@given(st.integers(0, 3000), st.integers(1, 40), st.integers(0, 2**64 - 1))
@settings(deadline=None, max_examples=50)
def test_garbage_between_chunks_is_left_behind(at, n, value):
    (scan,) = simulator().scans()
    words = np.concatenate(list(scan.chunks(size=100)))
    at = min(at, len(words))
    mixed = np.concatenate([words[:at], np.full(n, value, np.uint64), words[at:]])
    parser = parser_of(line_plan(SCAN[1], SCAN[0]))
    try:
        parse(parser, mixed)
    except ProtocolError:
        return
    assert closes(parser.memory)


# -- files and settings -------------------------------------------------------------


@pytest.mark.parametrize("paced", [False, True])
def test_a_file_is_played(tmp_path, paced):
    simulated = simulator(write=tmp_path / "scan.tpx3")
    simulated.run(lambda text: None)
    sink = room()
    source = detector(path=tmp_path / "scan.tpx3", paced=paced)
    assert source.check() == []
    source.run(sink)
    (scan,) = simulated.scans()
    np.testing.assert_array_equal(found(sink), expected(scan))
    assert sink.ends == [COMPLETE]


def test_what_is_no_tpx3_file_is_found_before(tmp_path):
    (tmp_path / "a.tpx3").write_bytes(b"II*\0 some TIFF")
    (problem,) = detector(path=tmp_path / "a.tpx3").check()
    assert "not with 'TPX3'" in problem
    (problem,) = detector(path=tmp_path / "none.tpx3").check()
    assert "No such file" in problem


def test_a_port_that_is_taken_is_found_before_and_at_the_run():
    with socket.create_server(("127.0.0.1", 0)) as other:
        source = detector(listen=f"127.0.0.1:{other.getsockname()[1]}")
        assert "in use" in source.check()[0]
        with pytest.raises(SourceError, match="cannot listen for the detector at"):
            source.run(room())


def test_a_stranger_is_sent_away():
    with listening(accept_from=["10.1.2.3"]) as (sink, address):
        send(address, [])
        until(lambda: sink.rejects)
    assert sink.rejects[0][1] == "stranger"


@pytest.mark.parametrize(
    "table",
    [
        {"listen": "somewhere"},
        {"listen": "0.0.0.0:8085"},
        {"listen": "127.0.0.1:70000"},
        {"connect": "127.0.0.1:1", "path": "a.tpx3"},
        {"stream": "csr", "path": "a.tpx3"},
        {"stream": "csr", "arm": True, "serval": "http://127.0.0.1:1"},
        {"arm": True},
        {"serval": "ftp://x"},
        {"signal": "frame"},
        {"active_us": 1.0, "duty": 0.5},
        {"active_us": 2.0, "period_us": 1.0},
        {"tdc": 1, "frame_tdc": 1},
        {"reorder_ms": 0},
        {"layout": "round"},
    ],
)
def test_settings_that_contradict_each_other_are_refused(table):
    with pytest.raises(ValidationError):
        detector(**table)


def test_a_line_signal_needs_a_scan():
    assert "needs [acquisition] scan" in detector(scan=None, signal="line").check()[0]


def test_every_parameter_says_what_it_means():
    fields = Timepix3Detector.Params.model_fields
    assert [name for name, field in fields.items() if not field.description] == []

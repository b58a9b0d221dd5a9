"""ASI's sparse stream."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters.timepix3.playing import (
    SCAN,
    detector,
    expected,
    found,
    listening,
    played,
    room,
    send,
    sent,
    simulator,
    until,
)

from scopeside.errors import ProtocolError
from scopeside_adapters.timepix3 import csr_writer as writer
from scopeside_adapters.timepix3.csr import CsrParser

POSITIONS = SCAN[0] * SCAN[1]
CSR = {"stream": "csr", "scan": None}


def parts():
    (scan,) = simulator(stream="csr").scans()
    return list(writer.messages([scan]))


def csr(messages, sink=None, **table):
    return sent(messages, sink, **CSR, **table)


@pytest.mark.parametrize("words", [1 << 16, 100])
def test_what_is_sent_is_what_comes(words):
    simulated = simulator(stream="csr", scans=2)
    sink = room()
    sink._words = words
    played(simulated, sink, **CSR)
    for number, scan in enumerate(simulated.scans()):
        np.testing.assert_array_equal(found(sink, number), expected(scan))
    assert sink.ends == [("complete", "", POSITIONS)] * 2
    assert sink.acquisitions[0].scan.shape == SCAN
    assert sink.acquisitions[1].metadata == {"scan": 1}


def test_frames_can_be_made_of_it():
    simulated = simulator(stream="csr", scan=(3, 4))
    sink = played(simulated, output="frames", **CSR)
    (scan,) = simulated.scans()
    np.testing.assert_array_equal(sink.frames().pixels, scan.frames())


HEADER = {
    "version": (writer.acquisition_start(SCAN, (256, 256), version=8), "version 8"),
    "format": (writer.acquisition_start(SCAN, (256, 256), form=2), "format 2"),
    "1 bit": (writer.acquisition_start(SCAN, (256, 256), indices=0), "of 1 bit"),
    "4 bits": (writer.acquisition_start(SCAN, (256, 256), bounds=1), "of 4 bits"),
    "dtype": (writer.acquisition_start(SCAN, (256, 256), bounds=9), "dtype 9"),
    "empty": (writer.acquisition_start((0, 4), (256, 256)), "is none"),
    "huge": (writer.acquisition_start(SCAN, (60000, 60000)), "too large"),
    "raw TPX3": (b"TPX3\x00\x00\x10\x00".ljust(32, b"\0"), "not with an Acquisition"),
    "HTTP": (b"HTTP/1.1 200 OK\r\n".ljust(32, b" "), "not with an Acquisition"),
}


@pytest.mark.parametrize("name", HEADER)
def test_what_is_not_supported_is_refused_in_words(name):
    raw, said = HEADER[name]
    with listening(**CSR) as (sink, address):
        send(address, [raw])
        until(lambda: sink.rejects)
        send(address, parts())
        until(lambda: sink.ends)
    assert said in sink.rejects[0][2]
    assert sink.ends == [("complete", "", POSITIONS)]


def chunk(frames=1, events=0, indices=8, values=8, dtype=2):
    head = struct.pack("<BBIIII", 2, dtype, frames, events, indices, values)
    return head.ljust(32, b"\0")


@pytest.mark.parametrize(
    ("raw", "cause"),
    [
        (chunk(frames=1 << 31), "too_many"),
        (chunk(frames=POSITIONS + 1, indices=1 << 20, values=1 << 20), "too_many"),
        (chunk(events=1 << 28, indices=8, values=0xFFFFFFFF), "oversized"),
        (chunk(values=0xFFFFFFFF), "oversized"),
        (chunk(indices=4), "wrong_header"),
        (chunk(events=2, indices=8, values=12), "wrong_header"),
        (chunk(dtype=0), "wrong_dtype"),
        (writer.scan_start(0, {}), "wrong_order"),
        (struct.pack("<BIQ", 1, 0, 1 << 40).ljust(32, b"\0"), "wrong_order"),
        (b"\x09".ljust(32, b"\0"), "wrong_kind"),
        (parts()[0], "wrong_order"),
    ],
)
def test_headers_that_contradict_themselves_fail_the_scan(raw, cause):
    sink = csr([*parts()[:2], raw])
    assert sink.ends[0][0] == "failed"
    assert sink.rejects[0][1] == cause


def body(bounds, index, values):
    words = [np.array(part, "<u4").tobytes() for part in (bounds, index)]
    return b"".join([*words, bytes(values)])


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (body([0, 2], [5, 65536], [1, 1]), "wrong_pixel"),
        (body([0, 1], [5, 6], [1, 1]), "wrong_bounds"),
        (body([1, 2], [5, 6], [1, 1]), "wrong_bounds"),
        (body([0, 3], [5, 6], [1, 1]), "wrong_bounds"),
    ],
)
def test_events_that_are_none_fail_the_scan(data, cause):
    head = chunk(1, 2, 8, 16)
    sink = csr([*parts()[:2], head, data])
    assert sink.ends[0][0] == "failed"
    assert sink.rejects[0][1] == cause


def test_a_scan_that_is_short_is_a_gap():
    whole = parts()
    sink = csr([*whole[:3], *whole[-2:]])
    assert sink.gaps == [(64, POSITIONS - 1, "never_sent")]
    assert sink.ends[0][0] == "stopped"
    assert sink.ends[0][2] == POSITIONS


def test_a_peer_that_hangs_up_in_mid_scan_is_named_and_the_next_works():
    whole = parts()
    with listening(**CSR) as (sink, address):
        send(address, whole[:3])
        until(lambda: sink.ends)
        send(address, whole)
        until(lambda: len(sink.ends) == 2)
    assert sink.ends[0][0] == "failed"
    assert "hung up" in sink.ends[0][1]
    assert sink.ends[1][0] == "complete"


def test_a_reset_at_every_byte_of_a_header_fails_the_scan_alone():
    whole = parts()
    with listening(**CSR) as (sink, address):
        for cut in range(1, 32):
            send(address, [*whole[:2], whole[2][:cut]])
            until(lambda cut=cut: len(sink.ends) == cut)
        send(address, whole)
        until(lambda: len(sink.ends) == 32)
    assert {state for state, _, _ in sink.ends[:31]} == {"failed"}
    assert sink.ends[31] == ("complete", "", POSITIONS)


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=5))
@settings(deadline=None)
def test_garbage_is_refused_and_nothing_else(headers):
    parser = CsrParser(1 << 20)
    try:
        for raw in [writer.acquisition_start(SCAN, (8, 8)), *headers]:
            event = parser.header(raw)
            assert getattr(event, "size", 0) <= 1 << 20
            assert getattr(event, "metadata_bytes", 0) <= 1 << 20
    except ProtocolError:
        pass


def test_a_scan_that_is_set_and_does_not_fit_is_refused():
    sink = room()
    with listening(sink, stream="csr", scan=(3, 3)) as (_, address):
        send(address, parts())
        until(lambda: sink.rejects)
    assert sink.rejects[0][1] == "wrong_scan"
    assert detector(stream="csr").check() == []


def test_bounds_whose_differences_wrap_around_are_refused():
    # Found by reading: 64-bit bounds that go far up, around and back again passed for
    # rising ones, and the kernel then walked through all of memory.
    parser = CsrParser(1 << 20)
    parser.header(writer.acquisition_start((2, 2), (4, 4), bounds=5, indices=2))
    parser.header(writer.scan_start(0, {})[:32])
    bounds = np.array([0, (1 << 63) - 1, -2, 1], "<i8").tobytes()
    head = struct.pack("<BBIIII", 2, 2, 3, 1, len(bounds), len(bounds) + 1)
    chunk = parser.header(head.ljust(32, b"\0"))
    with pytest.raises(ProtocolError, match="or back"):
        parser.events(chunk, memoryview(bounds + b"\0\1"))

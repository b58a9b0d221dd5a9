"""Frame mode: images that Serval has integrated."""

import socket

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters.timepix3.playing import (
    detector,
    listening,
    played,
    send,
    sent,
    simulator,
    until,
)
from tests.doubles import MemorySink

from scopeside.errors import ProtocolError
from scopeside_adapters.timepix3.image_stream import ImageStream
from scopeside_adapters.timepix3.image_writer import jsonimage, pgm
from scopeside_adapters.timepix3.images import LONGEST_JSON, LONGEST_PGM, read_header
from scopeside_adapters.timepix3.rest_double import ServalDouble

IMAGES = {"stream": "images", "scan": None}
LARGEST = 1 << 20
KINDS = ["uint8", "uint16", "uint32"]
PIXELS = np.random.default_rng(7).integers(0, 1 << 32, (6, 5, 3), np.uint32)


def images(numbers, dtype="uint16", **said):
    return [
        jsonimage(
            PIXELS[n % 6].astype(dtype), frameNumber=n, timeAtFrame=n / 10, **said
        )
        for n in numbers
    ]


def pgms(numbers, dtype="uint16"):
    return [pgm(PIXELS[n].astype(dtype)) for n in numbers]


def taken(messages, ends=1, **table):
    return sent(messages, ends=ends, **IMAGES, **table)


@pytest.mark.parametrize("dtype", KINDS)
def test_pixels_numbers_and_times_are_those_that_were_sent(dtype):
    sink = taken(images([3, 4, 5], dtype, thresholdID=0, integrationMode="sum"))
    frames = sink.frames()
    assert frames.pixels.dtype == dtype
    np.testing.assert_array_equal(frames.pixels, PIXELS[3:6].astype(dtype))
    assert frames.index.tolist() == [0, 1, 2]
    assert np.diff(frames.timestamp_ns).tolist() == [100_000_000] * 2
    assert sink.ends == [("complete", "", 3)]
    about = sink.acquisitions[0].metadata
    assert about == {"integrationSize": 1, "integrationMode": "sum", "thresholdID": 0}


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_pgm_images_are_counted(dtype):
    sink = taken(pgms(range(6), dtype), frames=6)
    np.testing.assert_array_equal(sink.frames().pixels, PIXELS.astype(dtype))
    assert sink.frames().index.tolist() == list(range(6))
    assert sink.ends == [("complete", "", 6)]


def test_a_pgm_may_have_comments():
    said = b"P5 # by hand\n# again\n3\t5\r\n 65535\n"
    found = read_header(said, 0, len(said), LARGEST)
    assert (found.shape, found.dtype, found.header_bytes) == ((5, 3), "<u2", len(said))


class Pieces:
    """A connection that gives what was sent in pieces of given sizes."""

    def __init__(self, data, sizes):
        self.data, self.sizes = memoryview(data), list(sizes)

    def recv_into(self, room):
        n = min(self.sizes.pop() if self.sizes else 1 << 16, len(room), len(self.data))
        room[:n], self.data = self.data[:n], self.data[n:]
        return n


def streamed(data, sizes=(), **table):
    sink = MemorySink()
    about = detector(**IMAGES)._about_images
    stream = ImageStream(sink, about, "camera", largest=LARGEST, **table)
    stream.receive(Pieces(data, sizes))
    return sink


@pytest.mark.parametrize("whole", [images(range(6)), pgms(range(6))])
@given(sizes=st.lists(st.integers(1, 200), max_size=60))
@settings(deadline=None)
def test_images_may_be_cut_anywhere(whole, sizes):
    sink = streamed(b"".join(whole), sizes)
    np.testing.assert_array_equal(sink.frames().pixels, PIXELS.astype(np.uint16))
    assert sink.ends == [("complete", "", 6)]


@given(st.sampled_from([b"", b"{", b'{"width":', b"P5 ", b"P5 3 5 "]), st.binary())
@settings(deadline=None)
def test_garbage_is_refused_and_nothing_else(begin, rest):
    data = begin + rest
    try:
        found = read_header(data, 0, len(data), LARGEST)
    except ProtocolError:
        return
    assert found is None or found.size <= LARGEST


def said(**changes):
    return jsonimage(PIXELS[0].astype(np.uint16), **changes)


REFUSED = {
    "HTTP": (b"HTTP/1.1 200 OK", "wrong_magic"),
    "raw": (b"TPX3\0\0\x10\0", "wrong_magic"),
    "P2": (b"P2\n3 5\n255\n", "wrong_format"),
    "histogram": (b'{"binSize": 4, "binWidth": 1}\n', "wrong_format"),
    "no JSON": (b"{width}\n", "wrong_header"),
    "deep": (b'{"a":' + b"[" * 60000 + b"\n", "wrong_header"),
    "no end": (b"{" + b" " * LONGEST_JSON, "oversized"),
    "no end of P5": (b"P5 " + b" " * LONGEST_PGM, "wrong_header"),
    "no width": (said(width=None), "wrong_header"),
    "negative": (said(height=-5), "wrong_header"),
    "true": (said(width=True), "wrong_header"),
    "huge": (said(width=60000, height=60000), "oversized"),
    "huge P5": (b"P5 60000 60000 65535\n", "oversized"),
    "float": (said(pixelFormat="float32"), "wrong_dtype"),
    "number": (said(frameNumber=-1), "wrong_header"),
    "maxval": (b"P5 3 5 65536\n", "wrong_dtype"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_image_fails_the_acquisition_after_those_before(name):
    raw, cause = REFUSED[name]
    sink = streamed(b"".join([*images([0, 1]), raw]))
    assert sink.rejects[0][:2] == (1, cause)
    assert sink.ends == [("failed", sink.rejects[0][2], 2)]
    assert sink.frames().index.tolist() == [0, 1]


def test_a_time_that_is_none_is_that_of_receipt():
    sink = streamed(said(timeAtFrame=float("nan")) + said(timeAtFrame="soon"))
    assert (sink.frames().timestamp_ns > 0).all()


def test_a_jump_of_the_number_is_a_gap():
    sink = taken(images([2, 3, 5]), frames=4)
    assert sink.gaps == [(2, 2, "never_sent")]
    assert sink.frames().index.tolist() == [0, 1, 3]
    assert sink.ends == [("complete", "", 4)]


def test_a_jump_beyond_the_end_begins_the_next():
    sink = taken(images([0, 1, 5]), ends=2, frames=4)
    assert sink.gaps == [(2, 3, "never_sent")]
    assert [state for state, _, _ in sink.ends] == ["stopped", "stopped"]
    assert sink.frames(1).index.tolist() == [0]


def test_a_number_that_falls_begins_the_next():
    sink = taken(images([0, 1, 2, 0, 1]), ends=2)
    assert sink.ends == [("complete", "", 3), ("complete", "", 2)]
    assert sink.frames(1).index.tolist() == [0, 1]


@pytest.mark.parametrize("other", [PIXELS[2], PIXELS[2][:2].astype(np.uint16)])
def test_another_size_or_format_begins_the_next(other):
    sink = taken([*images([0, 1]), jsonimage(other, frameNumber=2)], ends=2)
    assert "changed its images from 5×3 uint16" in sink.ends[0][1]
    np.testing.assert_array_equal(sink.frames(1).pixels[0], other)


@pytest.mark.parametrize("threshold", [None, 0, 1])
def test_images_of_another_threshold_are_left_out(threshold):
    pairs = [images([n], thresholdID=k)[0] for n in range(3) for k in (0, 1)]
    sink = streamed(b"".join(pairs), threshold=threshold)
    assert sink.frames().index.tolist() == [0, 1, 2]
    assert sink.acquisitions[0].metadata["thresholdID"] == (threshold or 0)
    assert [told[:2] for told in sink.rejects] == [(3, "other_threshold")]


def test_a_peer_that_hangs_up_is_named_and_the_next_works():
    with listening(**IMAGES, frames=3) as (sink, address):
        for number, messages in enumerate(
            [images([0, 1]), [*images([0]), said()[:-1]], images([0, 1, 2])]
        ):
            send(address, messages)
            until(lambda n=number: len(sink.ends) > n)
    assert [state for state, _, _ in sink.ends] == ["stopped", "failed", "complete"]
    assert "hung up after 2 of 3 images" in sink.ends[0][1]
    assert [told[1] for told in sink.rejects] == ["truncated"]


def test_a_peer_that_falls_silent_fails_the_acquisition_alone():
    with listening(**IMAGES, silence_s=0.2) as (sink, address):
        host, port = address.split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(images([0])[0])
            until(lambda: sink.ends)
            connection.sendall(images([7])[0])
            until(lambda: len(sink.batches) == 2)
    assert sink.ends[0][0] == "failed"
    assert "sent nothing" in sink.ends[0][1]


def test_a_connection_that_breaks_fails_the_acquisition_alone():
    with listening(**IMAGES, frames=2) as (sink, address):
        host, port = address.split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(images([0])[0])
            until(lambda: sink.batches)
            linger = (1).to_bytes(4, "little") + bytes(4)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        until(lambda: sink.ends)
        send(address, images([0, 1]))
        until(lambda: len(sink.ends) == 2)
    assert [state for state, _, _ in sink.ends] == ["failed", "complete"]
    assert "the connection broke" in sink.ends[0][1]


def simulated(**table):
    return simulator(stream="images", scan=(3, 4), hits=500, **table)


@pytest.mark.parametrize("form", ["jsonimage", "pgm"])
def test_scans_of_the_simulator_come_as_they_are(form):
    camera = simulated(format=form, scans=2)
    sink = played(camera, stream="images", scan=(3, 4))
    for scan in range(2):
        truth = [camera.image(number, scan) for number in range(12)]
        np.testing.assert_array_equal(sink.frames(scan).pixels, truth)
    assert sink.ends == [("complete", "", 12)] * 2
    assert sink.acquisitions[0].scan.shape == (3, 4)


FAULTS = {
    "drop": ("complete", (5, 5, "never_sent"), None),
    "duplicate": ("complete", None, "duplicate"),
    "truncate": ("failed", None, "wrong_magic"),
    "stall": ("complete", None, None),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_told_by_name(fault):
    state, gap, cause = FAULTS[fault]
    sink = played(simulated(faults={5: fault}), stream="images", scan=(3, 4))
    assert sink.ends[0][0] == state
    assert sink.gaps == ([gap] if gap else [])
    assert [told[1] for told in sink.rejects] == ([cause] if cause else [])


@pytest.mark.parametrize("form", ["jsonimage", "pgm"])
def test_an_armed_detector_has_serval_send_images(form):
    camera, sink = simulated(format=form), MemorySink()
    with ServalDouble("127.0.0.1:0", camera.send_to) as serval:
        serval.detector = {"DetectorType": "Mpx3"}
        before = {"Raw": [{"Base": "file:/data"}]}
        serval.destination, asked = before, []
        serval._measure = lambda at: (
            asked.append(serval.destination),
            camera.send_to(at),
        )
        about = {"image_format": form, "image_mode": "tot", "arm": True}
        about |= {"image_channel": {"IntegrationSize": 2}}
        url = f"http://{serval.address}"
        source = detector((3, 4), stream="images", serval=url, **about)
        assert source.check() == []
        source.run(sink)
        assert serval.destination == before
        assert serval.config["Tdc"] == ["P0"]
    assert sink.ends == [("complete", "", 12)]
    (channel,) = asked[0]["Image"]
    assert channel.pop("Base").startswith("tcp://connect@127.0.0.1:")
    assert channel == {"Format": form, "Mode": "tot", "IntegrationSize": 2}

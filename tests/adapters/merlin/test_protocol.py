"""The data stream of a Merlin: cut anywhere, garbage, contradictions."""

from datetime import datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters.merlin.messages import (
    ROWS,
    announced,
    events,
    feed,
    frame,
    kinds,
    message,
    series,
)

from scopeside.errors import ProtocolError
from scopeside_adapters.medipix import AcquisitionHeader, FrameHeader, PixelFormat
from scopeside_adapters.merlin.protocol import (
    PREFIX,
    FrameReceived,
    Skipped,
    Stream,
    Wanted,
    read_message,
)
from scopeside_adapters.merlin.survey import NO_TIME, Survey

SERIES = series(range(1, 5))
WHOLE = ["H", 1, 2, 3, 4]


def as_frame(data):
    [event], _ = feed([data])
    assert isinstance(event, FrameReceived)
    return event


@given(st.lists(st.integers(0, len(SERIES)), max_size=8).map(sorted))
@settings(deadline=None)
def test_it_does_not_matter_where_the_network_cuts(cuts):
    edges = [0, *cuts, len(SERIES)]
    found, stream = feed(SERIES[a:b] for a, b in pairwise(edges))
    assert kinds(found) == WHOLE
    assert stream.begin == stream.end


def test_byte_by_byte_it_is_the_same():
    found, _ = feed(SERIES[k : k + 1] for k in range(len(SERIES)))
    assert kinds(found) == WHOLE


@given(st.binary(max_size=3000), st.binary(max_size=3000))
@settings(deadline=None)
def test_garbage_around_messages_is_passed_over(before, after):
    found, _ = feed([before + SERIES + after + SERIES])
    assert [kind for kind in kinds(found) if kind in WHOLE] == WHOLE * 2


PIECES = st.sampled_from(
    [
        b"MPX,",
        b"MPX,0000000009,",
        b"MPX,9999999999,",
        b"MQ1,",
        b"HDR,",
        b",",
        b"0",
        b"7",
    ]
)


@given(st.lists(PIECES | st.binary(max_size=40), max_size=60).map(b"".join))
@settings(deadline=None)
def test_nonsense_that_looks_like_messages_raises_nothing_and_allocates_nothing(data):
    found, stream = feed([data], size=1 << 12)
    assert all(not isinstance(event, FrameReceived) for event in found)
    assert len(stream.data) < 1 << 17  # the largest header that is waited for


@given(st.integers(0, len(frame()) - 1), st.binary(min_size=1, max_size=4))
@settings(deadline=None)
def test_a_message_with_a_wrong_byte_anywhere_does_not_harm_those_after_it(at, spoilt):
    first = bytearray(frame(1))
    first[at : at + len(spoilt)] = spoilt[: len(first) - at]
    found, _ = feed([bytes(first) + frame(2) + frame(3) + frame(4)])
    assert kinds(found)[-2:] == [3, 4]


@pytest.mark.parametrize("cut", range(19, len(frame()), 97))
def test_a_frame_that_is_cut_short_is_named_and_the_next_is_taken(cut):
    found, _ = feed([frame(1), frame(2)[:cut], frame(3), frame(4)])
    assert kinds(found) == [1, "truncated", 3, 4]
    assert sum(event.frames for event in found if isinstance(event, Skipped)) == 1


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "garbage"),
        (message(b"PR1," + bytes(200)), "wrong_kind"),
        (b"MPX,0000000000," + bytes(200), "wrong_kind"),
        (b"MPX,9999999999,MQ1,", "oversized"),
        (b"MPX,0000100000,HDR,", "oversized"),
        (frame().replace(b",00384,", b",00385,"), "wrong_size"),
        (frame().replace(b",0256,0004,", b",0256,0008,"), "wrong_size"),
        (frame().replace(b",0256,0004,", b",0512,0004,"), "wrong_header"),
        (frame().replace(b",0256,0004,", b",0256,0000,"), "wrong_header"),
        (frame().replace(b",00384,", b",99999,"), "wrong_header"),
        (frame().replace(b",00384,", b",00000,"), "wrong_header"),
        (frame().replace(b"R64", b"R65"), "unsupported_pixels"),
        (frame().replace(b"ns,6,", b"ns,7,"), "unsupported_pixels"),
        (frame().replace(b"   1x1", b"   3x3"), "unsupported_pixels"),
        (frame().replace(b"MQ1,000001", b"MQ1,00000x"), "wrong_header"),
    ],
)
def test_what_contradicts_itself_is_refused_by_its_cause(data, cause):
    found, _ = feed([data + frame(5)])
    assert kinds(found)[0] == cause
    assert kinds(found)[-1] == 5


@pytest.mark.parametrize(
    ("worst", "most"),
    [
        (b"MPX,0000000200,MQ1,", 2.0),
        (b"MPX,0000000200,HDR,", 2.0),
        (b"MPX,", 0.01),
        (b"MPX,000000000", 0.01),
        (b"\0", 0.01),
    ],
)
def test_garbage_costs_few_looks_and_no_memory(worst, most):
    found, stream = feed([worst * 4000])
    assert len(found) <= most * 4000
    assert len(stream.data) == 1 << 12


def test_a_frame_larger_than_the_buffer_makes_it_grow_once_its_header_is_good():
    large = frame(1, kind="U32", rows=256)
    found, stream = feed([large, frame(2)], size=1 << 12)
    assert kinds(found) == [1, 2]
    assert len(stream.data) < 2 * len(large)


def test_the_buffer_is_used_again_and_again():
    found, stream = feed([SERIES] * 50)
    assert kinds(found) == WHOLE * 50
    assert len(stream.data) == 1 << 12


# -- headers --------------------------------------------------------------------------

REAL = (
    b"MQ1,000001,00384,01,0256,0256,U08,   1x1,01,2020-05-18 16:51:49.971626,0.000555,"
    b"0,0,0,1.200000E+2,5.110000E+2,0.000000E+0,0.000000E+0,0.000000E+0,0.000000E+0,"
    b"0.000000E+0,0.000000E+0,3RX,175,511,000,000,000,511,511,MQ1A,"
    b"2020-05-18T14:51:49.971626178Z,555000ns,6,"
)
SHORT = (
    b"MQ1,000001,00384,01,0256,0256,R64,   1x1,01,2020-05-25 17:48:56.475280,0.001000,"
    b"0,0,0,,MQ1A,2020-05-25T15:48:56.475280123Z,1000000ns,6,"
)


def test_a_real_header_is_read():
    header = FrameHeader.parse(REAL.ljust(384, b"\0"))
    assert (header.sequence, header.offset, header.chips) == (1, 384, 1)
    assert (header.width, header.height, header.pixel_type) == (256, 256, "U08")
    assert (header.counter, header.shutter_s, header.depth) == (0, 0.000555, 6)
    assert header.time == "2020-05-18T14:51:49.971626178"


def test_the_short_form_of_a_header_is_read():
    header = FrameHeader.parse(SHORT.ljust(384, b"\0"))
    assert (header.pixel_type, header.depth) == ("R64", 6)
    assert PixelFormat.of(header).frame_shape == (256, 256)


def test_without_the_extension_the_depth_of_the_acquisition_counts():
    header = FrameHeader.parse(SHORT.partition(b"MQ1A")[0].ljust(384, b"\0"))
    assert header.depth is None
    assert PixelFormat.of(header, 12).dtype == np.uint16
    with pytest.raises(ProtocolError, match="depth None: expected 1, 6, 12 or 24 bit"):
        PixelFormat.of(header)


@pytest.mark.parametrize(
    ("size", "layout", "kind", "depth", "shape", "stored"),
    [
        ("0256,0256", "1x1", "U16", 12, (256, 256), 131072),
        ("0512,0512", "2x2", "U16", 12, (512, 512), 524288),
        ("0514,0514", "2x2G", "U16", 12, (514, 514), 528392),
        ("0256,0256", "1x1", "R64", 1, (256, 256), 8192),
        ("1024,0256", "2x2", "R64", 1, (512, 512), 32768),
        ("1024,0256", "2x2", "R64", 12, (512, 512), 524288),
        ("1024,0256", "2x2G", "R64", 6, (514, 514), 262144),
        ("1024,0256", "4x1", "R64", 6, (256, 1024), 262144),
        ("1024,0256", "1x4G", "R64", 6, (256, 1030), 262144),
        ("0512,0256", "1x1", "R64", 24, (256, 256), 262144),
    ],
)
def test_the_dimensions_of_every_arrangement(  # noqa: PLR0917 - a row of a table
    size, layout, kind, depth, shape, stored
):
    text = f"MQ1,000001,00768,04,{size},{kind},{layout:>6},0F,t,0.001,0,0,0,,MQ1A,u,1ns"
    pixels = PixelFormat.of(FrameHeader.parse(f"{text},{depth},".encode()))
    assert (pixels.frame_shape, pixels.stored_bytes) == (shape, stored)


@pytest.mark.parametrize(
    ("lines", "shape"),
    [
        (
            ("Frames in Acquisition (Number)", 64, "Frames per Trigger (Number)", 8),
            (8, 8),
        ),
        (("ScanX", 12, "ScanY", 5, "Frames in Acquisition (Number)", 60), (5, 12)),
        (
            ("Frames in Acquisition (Number)", 64, "Frames per Trigger (Number)", 1),
            None,
        ),
        (
            ("Frames in Acquisition (Number)", 64, "Frames per Trigger (Number)", 7),
            None,
        ),
        (
            ("Frames in Acquisition (Number)", 64, "Frames per Trigger (Number)", 64),
            None,
        ),
        ((), None),
    ],
)
def test_the_scan_that_an_acquisition_header_tells(lines, shape):
    text = "".join(
        f"{k}:\t{v}\r\n" for k, v in zip(lines[::2], lines[1::2], strict=True)
    )
    header = AcquisitionHeader.parse(b"HDR,\t\r\n" + text.encode() + b"End\t   ")
    assert header.scan_shape == shape


# -- many at once ---------------------------------------------------------------------


def surveyed(data, extra=b""):
    stream = Stream(1 << 20)
    room = stream.room()
    room[: len(data + extra)] = data + extra
    stream.filled(len(data + extra))
    event = stream.next()
    survey = Survey.like(event, stream.data)
    return survey, survey.look(stream.array, stream.begin, stream.end)


def test_a_survey_finds_what_careful_parsing_finds():
    times = [f"2026-01-02T03:04:0{k}.00000000{k}Z" for k in range(1, 5)]
    data = b"".join(
        frame(k + 1, time=times[k], counter=k % 2, short=False) for k in range(4)
    )
    survey, n = surveyed(data)
    assert n == 4
    assert survey.sequence[:n].tolist() == [1, 2, 3, 4]
    assert survey.counter[:n].tolist() == [0, 1, 0, 1]
    expected = np.array([t[:-1] for t in times], "datetime64[ns]").astype(np.int64)
    assert survey.time_ns[:n].tolist() == expected.tolist()


@given(st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)))
@settings(deadline=None)
def test_times_are_those_of_the_calendar(moment):
    text = moment.isoformat(timespec="microseconds") + "123Z"
    survey, n = surveyed(frame(1, time=text))
    assert n == 1
    assert survey.time_ns[0] == np.datetime64(text[:-1], "ns").astype(np.int64)


@pytest.mark.parametrize(
    "text", ["2026-13-02T03:04:05.0Z", "yesterday", "2026-01-02 03:04:05Z", "", "2026"]
)
def test_a_time_that_is_none_is_told_as_such(text):
    survey, n = surveyed(frame(1, time=text))
    assert n == 1
    assert survey.time_ns[0] == NO_TIME


@pytest.mark.parametrize(
    "after", [announced(), b"garbage", frame(4, rows=ROWS * 2), frame(4, kind="U16")]
)
def test_a_survey_ends_before_what_is_not_alike(after):
    _, n = surveyed(frame(1) + frame(2) + frame(3), after)
    assert n == (2 if after == b"garbage" else 3)


def test_a_survey_leaves_a_frame_that_is_cut_short_to_careful_parsing():
    _, n = surveyed(frame(1) + frame(2)[:-100] + frame(3) + frame(4))
    assert n == 1


def test_numbers_may_grow_beyond_six_digits():
    head = frame(1).replace(b"MQ1,000001,", b"MQ1,1000001,")[:-1]
    survey, n = surveyed(head)
    assert (n, survey.sequence[0]) == (1, 1_000_001)


def test_what_is_here_in_part_is_waited_for():
    data = bytearray(frame())
    for end in range(len(data)):
        event = read_message(data, 0, end, largest=1 << 20)
        assert isinstance(event, Wanted)
        assert end < event.size <= len(data)
    assert events(feed([data])[1]) == []
    assert PREFIX == 15

"""Both parsers: what they read, and what garbage does to them."""

import json

import cbor2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters.dectris.detecting import (
    COMPRESSIONS,
    DTYPES,
    STREAMS,
    array_v2,
    frames_of,
    image_v2,
    parcel_of,
    reader_of,
    series_of,
)

from scopeside.errors import ProtocolError
from scopeside_adapters.dectris import stream1, stream2
from scopeside_adapters.dectris.compose import end_of, image_of, start_of
from scopeside_adapters.dectris.decode import Decoder
from scopeside_adapters.dectris.events import (
    ImageRead,
    SeriesDescribed,
    SeriesEnded,
    SeriesStarted,
)
from scopeside_adapters.dectris.images import (
    AT,
    BSLZ4,
    CAREFULLY,
    CODEC,
    HEIGHT,
    IMAGE,
    ITEM,
    KIND,
    LZ4_BARE,
    NUMBER,
    RAW,
    SERIES,
    SIZE,
    START_NS,
    WIDTH,
)

ARANGE = np.arange(32, dtype="<u2").reshape(2, 16)
# The worked examples of the protocol notes, byte by byte.
V2_EXAMPLE = bytes.fromhex(
    "d9d9f7aa647479706565696d616765697365726965735f6964077073657269"
    "65735f756e697175655f6964781a3031484256334a50463954345a4450414458"
    "36454d4b36584d5a68696d6167655f696400697265616c5f74696d6582191356"
    "1a02faf0806b7365726965735f64617465c07818323032342d30312d30325430"
    "333a30343a30352e3637385a6a73746172745f74696d6582001a02faf0806973"
    "746f705f74696d65821913561a02faf08069757365725f64617461f664646174"
    "61a16b7468726573686f6c645f31d82882820210d845d9dcb4836562736c7a34"
    "025830000000000000004000002000" + "00000020ff06aaaaaaaaccccccccf0f0f0f0"
    "00ff00ff0000ffff00010013500000000000"
)
V1_EXAMPLE = [
    b'{"htype":"dimage-1.0","series":7,"frame":0,"hash":"fc66"}',
    b'{"htype":"dimage_d-1.0","shape":[16,2],"type":"uint16",'
    b'"encoding":"bs16-lz4<","size":48}',
    V2_EXAMPLE[-48:],
    b'{"htype":"dconfig-1.0","start_time":0,"stop_time":99000,"real_time":99000}',
]


def read(stream, message, channel=""):
    """What the loop makes of one message, which must be an image."""
    row = reader_of(stream, channel).rows(parcel_of(message))[0]
    assert row[KIND] == IMAGE
    return row


def carefully(stream, message, channel=""):
    """What the careful reader makes of one message."""
    return reader_of(stream, channel).events(parcel_of(message), 0)


def pixels_of(stream, message, shape, dtype, channel=""):
    parcel = parcel_of(message)
    rows = reader_of(stream, channel).rows(parcel)
    pixels = np.zeros((1, *shape), dtype)
    assert Decoder(1).decode(parcel.data, rows, pixels).all()
    return pixels[0]


# -- images --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "message"), [("v1", V1_EXAMPLE), ("v2", [V2_EXAMPLE])]
)
def test_the_worked_example_of_the_notes_is_read(stream, message):
    row = read(stream, message)
    found = row[[SERIES, NUMBER, START_NS, HEIGHT, WIDTH, ITEM, CODEC, SIZE]]
    assert found.tolist() == [7, 0, 0, 2, 16, 2, BSLZ4, 48]
    np.testing.assert_array_equal(pixels_of(stream, message, (2, 16), "<u2"), ARANGE)


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_depth_and_compression_is_read(stream, compression, dtype):
    frames = frames_of(dtype)
    series = series_of(frames, stream, compression)
    parcel = parcel_of(*(image_of(series, stream, k) for k in range(len(frames))))
    reader = reader_of(stream)
    rows = reader.rows(parcel)
    assert (rows[:, KIND] == IMAGE).all()
    assert rows[:, NUMBER].tolist() == list(range(len(frames)))
    assert rows[:, START_NS].tolist() == [k * 1_000_000 for k in range(len(frames))]
    pixels = np.zeros_like(frames)
    assert Decoder(2).decode(parcel.data, rows, pixels).all()
    np.testing.assert_array_equal(pixels, frames)


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_the_careful_reader_and_the_loop_agree(stream, compression):
    series = series_of(frames_of(), stream, compression, appendix="scan 3")
    parcel = parcel_of(*(image_of(series, stream, k) for k in range(8)))
    reader = reader_of(stream)
    rows = reader.rows(parcel)
    for k in range(8):
        (event,) = reader.events(parcel, k)
        assert isinstance(event, ImageRead)
        assert event.row.tolist() == rows[k].tolist()


def test_channels_are_told_apart_by_name():
    one, two = frames_of(seed=1), frames_of(seed=2)
    message = image_of(series_of(one, "v2", channels={"difference": two}), "v2", 5)
    for channel, frames in (("", one), ("threshold_1", one), ("difference", two)):
        found = pixels_of("v2", message, one.shape[1:], "<u2", channel)
        np.testing.assert_array_equal(found, frames[5])


def test_a_channel_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(ProtocolError, match=r"'threshold_2'.*has threshold_1") as e:
        carefully("v2", [image_v2()], "threshold_2")
    assert e.value.cause == "no_channel"


def test_names_may_come_in_any_order_and_be_unknown():
    said = dict(reversed(cbor2.loads(image_v2()).items()))
    said = {"firmware": {"deep": [1, {"x": None}]}, **said, "more": 1.5}
    row = read("v2", [cbor2.dumps(said)])
    assert row[[SERIES, NUMBER, START_NS]].tolist() == [7, 3, 99_000]


def test_the_self_described_tag_may_be_missing():
    message = image_v2().removeprefix(b"\xd9\xd9\xf7")
    assert read("v2", [message])[NUMBER] == 3


def test_a_map_of_unknown_length_goes_through_cbor2():
    inside = image_v2()[4:]
    message = b"\xd9\xd9\xf7\xbf" + inside + b"\xff"
    reader = stream2.Reader()
    parcel = parcel_of([message])
    assert reader.rows(parcel)[0, KIND] == CAREFULLY
    (event,) = reader.events(parcel, 0)
    row = event.row
    payload = bytes(parcel.data[row[AT] : row[AT] + row[SIZE]])
    assert payload == np.arange(6, dtype="<u2").tobytes()


@pytest.mark.parametrize(("tag", "dtype"), [(65, ">u2"), (66, ">u4"), (68, "u1")])
def test_big_endian_and_clamped_pixels_are_read(tag, dtype):
    pixels = np.arange(6, dtype=dtype).reshape(2, 3)
    message = [image_v2(data={"x": array_v2(pixels, tag)})]
    little = pixels.dtype.newbyteorder("<")
    np.testing.assert_array_equal(pixels_of("v2", message, (2, 3), little), pixels)


def test_blanks_order_and_a_third_side_of_v1_do_not_matter():
    parts = [
        b' { "hash" : "1" ,\n "frame":12,"series" : 3, "htype": "dimage-1.0" }\n',
        b'{"encoding":"<","size":12,"type":"uint16","shape":[ 3, 2 , 1 ]}\0',
        np.arange(6, dtype="<u2").tobytes(),
        b'{"start_time": 5, "real_time": 7}',
        b"appendix",
    ]
    row = read("v1", parts)
    found = row[[SERIES, NUMBER, START_NS, HEIGHT, WIDTH, ITEM, CODEC]]
    assert found.tolist() == [3, 12, 5, 2, 3, 2, RAW]


@pytest.mark.parametrize(
    ("encoding", "codec", "item"),
    [
        ("<", RAW, 2),
        (">", RAW, -2),
        ("lz4<", LZ4_BARE, 2),
        ("-lz4<", LZ4_BARE, 2),
        ("bs16-lz4<", BSLZ4, 2),
        ("bs16lz4>", BSLZ4, -2),
    ],
)
def test_the_grammar_of_encodings_is_read_alike_by_both(encoding, codec, item):
    form = json.loads(V1_EXAMPLE[1]) | {"encoding": encoding}
    message = [V1_EXAMPLE[0], json.dumps(form).encode(), *V1_EXAMPLE[2:]]
    row = read("v1", message)
    assert row[[CODEC, ITEM]].tolist() == [codec, item]
    (event,) = carefully("v1", message)
    assert event.row.tolist() == row.tolist()


@pytest.mark.parametrize("encoding", ["", "bs16<", "bs9-lz4<", "zstd<", "lz4", 7])
def test_an_unknown_encoding_is_refused_with_advice(encoding):
    form = json.loads(V1_EXAMPLE[1]) | {"encoding": encoding}
    message = [V1_EXAMPLE[0], json.dumps(form).encode(), *V1_EXAMPLE[2:]]
    with pytest.raises(ProtocolError, match="set the detector's compression") as e:
        carefully("v1", message)
    assert e.value.cause == "unknown_codec"


def test_an_unknown_compression_of_v2_is_refused_with_advice():
    typed = cbor2.CBORTag(69, cbor2.CBORTag(56500, ["trpx", 2, b"x"]))
    data = {"threshold_1": cbor2.CBORTag(40, [[2, 3], typed])}
    with pytest.raises(ProtocolError, match=r"'trpx'.*the detector's compression"):
        carefully("v2", [image_v2(data=data)])


def test_a_hash_that_fits_nothing_is_not_looked_at():
    name = json.loads(V1_EXAMPLE[0]) | {"hash": 5729031549682062042}
    assert read("v1", [json.dumps(name).encode(), *V1_EXAMPLE[1:]])[NUMBER] == 0


# -- headers and ends -----------------------------------------------------------------


@pytest.mark.parametrize("detail", ["none", "basic", "all"])
@pytest.mark.parametrize("appendix", ["", "a note", '{"a": "note"}'])
@pytest.mark.parametrize("stream", STREAMS)
def test_headers_of_every_detail_are_read(stream, detail, appendix):
    series = series_of(frames_of(), stream, detail=detail, appendix=appendix)
    (event,) = carefully(stream, start_of(series, stream))
    assert isinstance(event, SeriesStarted)
    assert event.series == 7
    known = stream == "v2" or detail != "none"
    assert event.facts.expected == (8 if known else None)
    assert event.facts.calibration.get("frame_time_s") == (1e-3 if known else None)


@pytest.mark.parametrize("stream", STREAMS)
def test_the_end_is_read(stream):
    series = series_of(frames_of(), stream)
    assert carefully(stream, end_of(series, stream)) == [SeriesEnded(7)]


def test_a_start_of_v2_tells_the_form_of_its_images():
    one = frames_of("uint32")
    series = series_of(one, "v2", channels={"difference": one})
    facts = carefully("v2", start_of(series, "v2"))[0].facts
    assert facts.frame_shape == (12, 16)
    assert facts.dtype == np.dtype("<u4")
    assert facts.channels == ("threshold_1", "difference")
    assert facts.calibration["beam_energy_eV"] == 200e3


def test_firmware_before_2024_leaves_the_dtype_to_the_images():
    said = cbor2.loads(start_of(series_of(frames_of(), "v2"), "v2")[0])
    said = dict(said)
    del said["image_dtype"]
    facts = carefully("v2", [cbor2.dumps(said)])[0].facts
    assert facts.dtype is None


def test_a_configuration_may_be_a_message_of_its_own():
    said = {"trigger_mode": "exte", "nimages": 1, "ntrigger": 200}
    (event,) = carefully("v1", [json.dumps(said).encode()])
    assert isinstance(event, SeriesDescribed)
    assert event.facts.expected == 200


@pytest.mark.parametrize(
    ("mode", "nimages", "ntrigger", "expected"),
    [
        ("ints", 3, 4, 12),
        ("exts", 3, 4, 12),
        ("inte", 3, 4, 4),
        ("exte", 3, 4, 4),
        ("extg", 3, 4, None),
        ("exts", 1 << 24, 1 << 24, None),
        ("exts", 3, None, None),
        ("exts", True, 4, None),
    ],
)
def test_the_trigger_mode_tells_how_many_images_come(mode, nimages, ntrigger, expected):
    said = {"trigger_mode": mode, "nimages": nimages, "ntrigger": ntrigger}
    assert carefully("v1", [json.dumps(said).encode()])[0].facts.expected == expected


def test_messages_that_were_glued_together_are_taken_apart():
    series = series_of(frames_of(), "v1")
    glued = [part for k in (0, 1) for part in image_of(series, "v1", k)]
    glued = [*start_of(series, "v1"), *glued, *end_of(series, "v1")]
    events = carefully("v1", glued)
    kinds = [SeriesStarted, ImageRead, ImageRead, SeriesEnded]
    assert [type(event) for event in events] == kinds
    parcel = parcel_of(glued)
    rows = np.array([event.row for event in events[1:3]])
    pixels = np.zeros((2, 12, 16), "<u2")
    assert Decoder(1).decode(parcel.data, rows, pixels).all()
    np.testing.assert_array_equal(pixels, frames_of()[:2])


def test_messages_of_v2_that_were_glued_together_are_taken_apart():
    series = series_of(frames_of(), "v2")
    parts = [*start_of(series, "v2"), V2_EXAMPLE, V2_EXAMPLE, *end_of(series, "v2")]
    events = carefully("v2", parts)
    kinds = [SeriesStarted, ImageRead, ImageRead, SeriesEnded]
    assert [type(event) for event in events] == kinds
    assert events[2].row[AT] - events[1].row[AT] == len(V2_EXAMPLE)


@pytest.mark.parametrize("detail", ["none", "basic", "all"])
def test_names_without_the_leading_d_are_read(detail):
    series = series_of(frames_of(), "v1", detail=detail)
    old = [part.replace(b'"d', b'"') for part in start_of(series, "v1")]
    assert carefully("v1", old)[0].series == 7


def test_the_other_stream_is_named():
    one, two = [V2_EXAMPLE], V1_EXAMPLE
    with pytest.raises(ProtocolError, match='set stream = "v2"') as e:
        carefully("v1", one)
    assert e.value.cause == "wrong_stream"
    with pytest.raises(ProtocolError, match='set stream = "v1"'):
        carefully("v2", two)


# -- garbage ---------------------------------------------------------------------------


def compressed_v2(said):
    packed = cbor2.CBORTag(69, cbor2.CBORTag(56500, said))
    return cbor2.CBORTag(40, [[1, 2], packed])


GARBAGE_V2 = {
    "nothing": b"",
    "a break": b"\xff",
    "a map without an end": b"\xbf",
    "a list": cbor2.dumps([1, 2]),
    "a number": cbor2.dumps(7),
    "no type": cbor2.dumps({"series_id": 1}),
    "unknown type": cbor2.dumps({"type": "x", "series_id": 1}),
    "a start without a series": cbor2.dumps({"type": "start"}),
    "a negative series": cbor2.dumps({"type": "end", "series_id": -1}),
    "a huge series": cbor2.dumps({"type": "end", "series_id": 1 << 70}),
    "a length that lies": b"\xa1\x7b" + b"\xff" * 8,
    "a map that lies": b"\xbb" + b"\x7f" + b"\xff" * 7,
    "a list that lies": b"\xa1\x64type\x9b\x00" + b"\xff" * 7,
    "deep": b"\x81" * 10_000 + b"\x01",
    "deep tags": b"\xc1" * 10_000 + b"\x01",
    "cut": V2_EXAMPLE[:-1],
    "something after it": V2_EXAMPLE + b"\x00",
    "no data": image_v2(data=...),
    "data of another kind": image_v2(data=[1]),
    "no channel": image_v2(data={}),
    "no array": image_v2(data={"x": 1}),
    "three sides": image_v2(data={"x": cbor2.CBORTag(40, [[1, 2, 3], 1])}),
    "no bytes": image_v2(data={"x": cbor2.CBORTag(40, [[1, 2], cbor2.CBORTag(69, 1)])}),
    "floats": image_v2(data={"x": array_v2(np.zeros((2, 3)), 86)}),
    "a side of nothing": image_v2(data={"x": array_v2(np.zeros((0, 3), "<u2"))}),
    "a negative number": image_v2(image_id=-1),
    "a number that is a text": image_v2(image_id="3"),
    "an impossible date": b"\xa1\x64type\xc0\x68tomorrow",
    # Found by fuzzing: a list or a map cannot be looked up among names.
    "a compression that is a list": image_v2(
        data={"x": compressed_v2([["bslz4"], 2, b"x"])}
    ),
    "a cycle": b"\xd8\x1c\x81\xd8\x1d\x00",
}
GARBAGE_V1 = {
    "nothing": [b""],
    "no JSON": [b"\xff\x00"],
    "a list": [b"[1]"],
    "deep": [b"[" * 100_000],
    "unknown": [b'{"htype": "x-1.0"}'],
    "a header without a series": [b'{"htype": "dheader-1.0"}'],
    "an end of no series": [b'{"htype": "dseries_end-1.0", "series": "x"}'],
    "an image of one part": V1_EXAMPLE[:1],
    "an image of two parts": V1_EXAMPLE[:2],
    "no form": [V1_EXAMPLE[0], b"", b"x"],
    "a form that is a list": [V1_EXAMPLE[0], b"[]", b"x"],
    "no shape": [V1_EXAMPLE[0], V1_EXAMPLE[1].replace(b"shape", b"shade"), b"x"],
    "a side of nothing": [V1_EXAMPLE[0], V1_EXAMPLE[1].replace(b"[16,", b"[0,"), b"x"],
    "a huge side": [V1_EXAMPLE[0], V1_EXAMPLE[1].replace(b"[16", b"[1" + b"6" * 30)],
    "floats": [V1_EXAMPLE[0], V1_EXAMPLE[1].replace(b"uint16", b"float32"), b"x"],
    "a type that is a list": [
        V1_EXAMPLE[0],
        V1_EXAMPLE[1].replace(b'"uint16"', b'["uint16"]'),
        b"x",
    ],
    "negative": [V1_EXAMPLE[0].replace(b":0,", b":-1,"), *V1_EXAMPLE[1:]],
    "many parts": [b"x"] * 100,
}


@pytest.mark.parametrize("name", GARBAGE_V2)
def test_garbage_of_v2_is_refused_and_nothing_else(name):
    reader = stream2.Reader()
    parcel = parcel_of([GARBAGE_V2[name]])
    assert reader.rows(parcel)[0, KIND] != IMAGE
    with pytest.raises(ProtocolError):
        reader.events(parcel, 0)


@pytest.mark.parametrize("name", GARBAGE_V1)
def test_garbage_of_v1_is_refused_and_nothing_else(name):
    reader = stream1.Reader()
    parcel = parcel_of(GARBAGE_V1[name])
    assert reader.rows(parcel)[0, KIND] != IMAGE
    with pytest.raises(ProtocolError):
        reader.events(parcel, 0)


def test_a_start_whose_values_are_of_other_kinds_says_what_it_can():
    # Found by fuzzing: a dtype that is a list, and an energy beyond all floats.
    said = {"type": "start", "series_id": 7, "image_dtype": ["uint16"]}
    message = cbor2.dumps({**said, "incident_energy": 10**400, "frame_time": 0.5})
    facts = carefully("v2", [message])[0].facts
    assert facts.dtype is None
    assert facts.calibration == {"frame_time_s": 0.5}


def survives(stream, message):
    """Read a message; whatever it is, its pixels lie within it."""
    parcel = parcel_of(message)
    reader = reader_of(stream)
    row = reader.rows(parcel)[0]
    if row[KIND] == IMAGE:
        assert 0 <= row[AT] <= row[AT] + row[SIZE] <= parcel.bytes
        assert row[NUMBER] >= 0
        return
    try:
        events = reader.events(parcel, 0)
    except ProtocolError:
        return
    for event in events:
        if isinstance(event, ImageRead):
            assert 0 <= event.row[AT] + event.row[SIZE] <= parcel.bytes


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_message_of_v2_with_bytes_changed_does_no_harm(data):
    message = bytearray(V2_EXAMPLE)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(message) - 1))
        message[at] = data.draw(st.integers(0, 255))
    survives("v2", [bytes(message)])


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(V2_EXAMPLE)), st.binary(max_size=40))
def test_a_message_of_v2_that_is_cut_or_goes_on_does_no_harm(cut, tail):
    survives("v2", [V2_EXAMPLE[:cut] + tail])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=80), max_size=8))
def test_random_parts_do_no_harm(parts):
    survives("v1", parts)
    survives("v2", parts)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_message_of_v1_with_bytes_changed_does_no_harm(data):
    parts = [bytearray(part) for part in V1_EXAMPLE]
    for _ in range(data.draw(st.integers(1, 6))):
        part = parts[data.draw(st.sampled_from([0, 1, 3]))]
        part[data.draw(st.integers(0, len(part) - 1))] = data.draw(st.integers(0, 255))
    survives("v1", [bytes(part) for part in parts])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(["htype", "series", "frame", "x"]), JSON), JSON)
def test_any_json_does_no_harm(name, form):
    survives("v1", [json.dumps(name).encode(), json.dumps(form).encode(), b"x"])
    survives("v2", [cbor2.dumps(name)])


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_the_walker_never_calls_whole_what_cbor2_cannot_read(data):
    walked = stream2.whole(np.frombuffer(data, np.uint8), 0, len(data))
    if walked:
        survives("v2", [data])
    else:
        with pytest.raises(ProtocolError):
            stream2.Reader().careful(memoryview(data))

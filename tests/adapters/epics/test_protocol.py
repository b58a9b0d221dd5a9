"""What an NTNDArray may say, and what it is refused for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.adapters.epics.arrays import code_of, fields, image

from scopeside.errors import ProtocolError
from scopeside_adapters.epics.protocol import (
    CODECS,
    ArrayFields,
    frame_of,
    plain_attributes,
    timestamp_of,
)

DTYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]


def test_an_image_of_areadetector_is_a_frame():
    frame = frame_of(fields())
    assert (frame.unique_id, frame.shape, frame.dtype) == (1, (12, 20), np.dtype("<u2"))
    assert frame.payload.tobytes() == image().tobytes()
    assert frame.timestamp_ns == 1_700_000_000 * 10**9 + 5
    assert frame.attributes == {"ColorMode": 0}


def test_the_pixels_are_not_copied():
    array = fields()
    assert np.shares_memory(frame_of(array).payload, array.value)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_number_can_be_a_pixel(dtype):
    assert frame_of(fields(image(dtype))).dtype == np.dtype(dtype)


def test_booleans_become_bytes():
    frame = frame_of(fields(image() > 7))
    assert frame.dtype == np.uint8
    assert frame.payload.tobytes() == (image() > 7).tobytes()


def test_a_channel_that_is_not_yet_filled_gives_no_frame():
    assert frame_of(ArrayFields(None)) is None
    assert frame_of(ArrayFields(np.zeros(0, np.uint8))) is None


def test_the_first_dimension_is_the_width():
    assert frame_of(fields(image(shape=(3, 8)))).shape == (3, 8)


@pytest.mark.parametrize("sizes", [(20, 12, 1), (1, 20, 12), (20, 1, 12)])
def test_dimensions_of_one_are_left_out(sizes):
    assert frame_of(fields(dimension=sizes)).shape == (12, 20)


def test_a_line_is_an_image_of_one_row():
    assert frame_of(fields(dimension=(240,))).shape == (1, 240)


def test_what_follows_the_pixels_is_left_out():
    longer = np.append(image().reshape(-1), [9, 9]).astype("<u2")
    assert frame_of(fields(value=longer)).payload.tobytes() == image().tobytes()


def test_what_follows_the_compressed_bytes_is_left_out():
    packed = np.arange(100, dtype=np.uint8)
    array = fields(value=packed, codec="lz4", parameters=6, compressed_size=60)
    assert frame_of(array).payload.tolist() == list(range(60))


@pytest.mark.parametrize("codec", CODECS)
def test_sizes_that_are_not_said_are_taken_from_the_rest(codec):
    packed = np.arange(100, dtype=np.uint8)
    sizes = {"compressed_size": 0, "uncompressed_size": 0}
    frame = frame_of(fields(value=packed, codec=codec, parameters=5, **sizes))
    assert (len(frame.payload), frame.size, frame.codec) == (100, 240, codec)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_type_of_packed_pixels_is_in_the_parameters(dtype):
    packed = np.arange(9, dtype=np.int8)
    code = code_of(dtype)
    size = 240 * np.dtype(dtype).itemsize
    array = fields(value=packed, codec="LZ4", parameters=code, compressed_size=9)
    array = ArrayFields(
        array.value, array.dimension, 1, "LZ4", code, 9, uncompressed_size=size
    )
    assert frame_of(array).dtype == np.dtype(dtype)


@pytest.mark.parametrize(
    ("stamps", "found"),
    [
        ((), None),
        (((0, 0), (0, 0)), None),
        (((0, 0), (5, 6)), 5_000_000_006),
        (((-5, 0),), None),
        (((5, 1_000_000_000),), None),
        (((1 << 60, 0),), None),
    ],
)
def test_a_time_that_was_not_set_is_none(stamps, found):
    assert timestamp_of(stamps) == found


def test_attributes_that_are_numbers_or_texts_are_kept():
    said = {"a": 1, "b": 2.5, "c": "x" * 999, "d": np.zeros(3), "e": float("nan")}
    assert plain_attributes(said) == {"a": 1, "b": 2.5, "c": "x" * 256}
    assert len(plain_attributes({str(k): k for k in range(999)})) == 256


REFUSED = {
    "colour": ({"attributes": {"ColorMode": 2}}, "colour", r"RGB1.*set ColorMode"),
    "colour of its own": ({"attributes": {"ColorMode": 77}}, "colour", "77"),
    "colour by name": ({"attributes": {"ColorMode": "RGB"}}, "colour", "RGB"),
    "an unknown codec": ({"codec": "h264"}, "unsupported_codec", "Compressor"),
    "no dimensions": ({"dimension": ()}, "wrong_shape", "no pixels"),
    "no width": ({"dimension": (0, 12)}, "wrong_shape", "0×12"),
    "a negative width": ({"dimension": (-4, -60)}, "wrong_shape", "-4"),
    "a stack": ({"dimension": (5, 4, 12)}, "wrong_shape", "5×4×12"),
    "the wrong size": ({"uncompressed_size": 7}, "wrong_size", "480 bytes.*is 7"),
    "too few pixels": ({"value": np.zeros(9, "u2")}, "truncated", "18 of 480"),
    "a frame beyond all": ({"dimension": (1 << 30, 1 << 30)}, "oversized", "would"),
    "texts": ({"value": np.array(["a"])}, "wrong_dtype", "no numbers"),
    "packed without a type": ({"codec": "lz4"}, "wrong_dtype", "0 to 10, not None"),
    "packed text": ({"codec": "lz4", "parameters": 11}, "wrong_dtype", "not 11"),
    "JPEG of 16 bit": ({"codec": "jpeg", "parameters": 6}, "wrong_dtype", "8 bits"),
    "fewer than promised": (
        {"codec": "lz4", "parameters": 6, "compressed_size": 481},
        "truncated",
        "480 bytes.*481",
    ),
    "less than nothing": (
        {"codec": "lz4", "parameters": 6, "compressed_size": -1},
        "truncated",
        "-1",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_in_words(name):
    said, cause, words = REFUSED[name]
    with pytest.raises(ProtocolError, match=words) as refused:
        frame_of(fields(**said))
    assert refused.value.cause == cause


anything = st.one_of(
    st.none(), st.integers(), st.floats(), st.text("aB:7", max_size=9), st.booleans()
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "dimension": st.lists(st.integers(-9, 1 << 40), max_size=5).map(tuple),
            "codec": st.sampled_from([*CODECS, "", "none", "x"]),
            "parameters": anything,
            "compressed_size": st.integers(-(1 << 63), 1 << 63),
            "uncompressed_size": st.integers(-(1 << 63), 1 << 63),
            "unique_id": st.integers(-(1 << 31), 1 << 31),
            "stamps": st.lists(st.tuples(st.integers(), st.integers()), max_size=2).map(
                tuple
            ),
            "attributes": st.dictionaries(
                st.sampled_from(["ColorMode", "a"]), anything
            ),
        },
    )
)
def test_garbage_is_refused_or_a_frame_that_holds_together(said):
    try:
        frame = frame_of(fields(**said))
    except ProtocolError:
        return
    assert frame.size <= 1 << 31
    assert len(frame.payload) <= 480

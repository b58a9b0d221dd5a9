"""Every codec gives the pixels back or says that it cannot, and stays in bounds."""

import contextlib
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters.epics.arrays import image, packed_frame

from scopeside.errors import MissingExtraError, ProtocolError
from scopeside_adapters.epics import decode
from scopeside_adapters.epics.decode import decode_into
from scopeside_adapters.epics.encode import pack
from scopeside_adapters.epics.protocol import Frame

LOSSLESS = ("zlib", "blosc", "lz4", "lz4hdf5", "bslz4", "bslz4-chunk")
GUARD = 4096


def decoded(frame, dtype="<u2", shape=(12, 20)):
    """Unpack between two guards that must not change."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.full(size + 2 * GUARD, 0xA5, np.uint8)
    out = memory[GUARD : GUARD + size].view(dtype).reshape(shape)
    try:
        decode_into(frame, out)
    finally:
        assert (memory[:GUARD] == 0xA5).all()
        assert (memory[GUARD + size :] == 0xA5).all()
    return out


@pytest.mark.parametrize("dtype", ["u1", "<i2", "<u2", "<u4", "<f4", "<f8"])
@pytest.mark.parametrize("codec", LOSSLESS)
@pytest.mark.parametrize("shape", [(12, 20), (61, 7), (1, 1), (96, 96)])
def test_pixels_come_back(codec, dtype, shape):
    pixels = image(dtype, shape)
    frame = packed_frame(pack(pixels, codec), pixels, codec.removesuffix("-chunk"))
    np.testing.assert_array_equal(decoded(frame, dtype, shape), pixels)


def test_lz4_may_be_the_chunk_of_an_hdf5_file():
    frame = packed_frame(pack(image(), "lz4hdf5"), image(), "lz4")
    np.testing.assert_array_equal(decoded(frame), image())


def test_blosc_may_be_stored_without_compression():
    noise = np.random.default_rng(0).integers(0, 1 << 16, (12, 20), np.uint16)
    frame = packed_frame(pack(noise, "blosc"), noise, "blosc")
    np.testing.assert_array_equal(decoded(frame), noise)


def test_plain_pixels_are_copied():
    frame = packed_frame(image().tobytes(), image(), "")
    np.testing.assert_array_equal(decoded(frame), image())


def test_jpeg_comes_near():
    pixels = image("u1", (64, 48))
    got = decoded(packed_frame(pack(pixels, "jpeg"), pixels, "jpeg"), "u1", (64, 48))
    assert np.abs(got.astype(int) - pixels).max() <= 8


@pytest.mark.parametrize("shape", [(48, 64), (64, 49), (32, 24)])
def test_a_jpeg_of_another_shape_is_refused(shape):
    packed = pack(image("u1", (64, 48)), "jpeg")
    with pytest.raises(ProtocolError, match=r"jpeg data.*shape"):
        decoded(packed_frame(packed, image("u1", shape), "jpeg"), "u1", shape)


@pytest.mark.parametrize("codec", LOSSLESS)
@pytest.mark.parametrize("shape", [(12, 19), (12, 21)])
def test_another_number_of_pixels_is_refused(codec, shape):
    packed = pack(image(), codec)
    frame = packed_frame(packed, image(shape=shape), codec.removesuffix("-chunk"))
    with pytest.raises(ProtocolError, match="cannot be unpacked") as refused:
        decoded(frame, shape=shape)
    assert refused.value.cause == "bad_data"


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([*LOSSLESS, "jpeg"]), st.data())
def test_damage_is_refused_or_other_pixels(codec, data):
    dtype = "u1" if codec == "jpeg" else "<u2"
    pixels = image(dtype, (40, 60))
    packed = bytearray(pack(pixels, codec))
    cut = data.draw(st.integers(0, len(packed)))
    for _ in range(data.draw(st.integers(0, 8))):
        at = data.draw(st.integers(0, min(40, len(packed) - 1)))
        packed[at] = data.draw(st.integers(0, 255))
    frame = packed_frame(packed[:cut], pixels, codec.removesuffix("-chunk"))
    with contextlib.suppress(ProtocolError):
        decoded(frame, dtype, (40, 60))


@given(st.sampled_from(LOSSLESS), st.binary(max_size=200))
def test_garbage_is_refused(codec, garbage):
    frame = packed_frame(garbage, image(), codec.removesuffix("-chunk"))
    with pytest.raises(ProtocolError):
        decoded(frame)


BLOSC = struct.Struct("<4B3I")
GOOD = (2, 1, 0x21, 2, 480, 480, 100)


@pytest.mark.parametrize(
    ("field", "value"),
    [(0, 9), (3, 0), (4, 1 << 31), (5, 0), (5, 481), (6, 101), (6, (1 << 32) - 1)],
)
def test_a_header_of_blosc_that_lies_is_not_believed(field, value):
    header = [*GOOD]
    header[field] = value
    garbage = (BLOSC.pack(*header) + bytes(200))[:100]
    with pytest.raises(ProtocolError, match="blosc"):
        decoded(packed_frame(garbage, image(), "blosc"))


def test_a_chunk_that_claims_petabytes_is_not_believed():
    claim = struct.pack(">QI", 1 << 50, 8192) + bytes(pack(image(), "bslz4"))
    with pytest.raises(ProtocolError):
        decoded(packed_frame(claim, image(), "bslz4"))


@pytest.mark.parametrize("codec", ["lz4", "bslz4"])
def test_a_library_that_is_not_there_is_named(codec, monkeypatch):
    for name in ("imagecodecs", "dectris.compression"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    decode._imagecodecs.cache_clear()
    decode._dectris.cache_clear()
    frame = Frame(1, (12, 20), np.dtype("<u2"), np.zeros(20, np.uint8), codec)
    with pytest.raises(MissingExtraError, match=r"scopeside\[epics\]"):
        decoded(frame)

"""Decoding into a slot: the same by both ways, and hostile bytes do no harm."""

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters.dectris.detecting import frames_of

from scopeside.errors import MissingExtraError
from scopeside_adapters.dectris import decode
from scopeside_adapters.dectris.compose import compress
from scopeside_adapters.dectris.decode import Decoder
from scopeside_adapters.dectris.images import (
    AT,
    BSLZ4,
    CODEC,
    ELEMENT,
    ITEM,
    LZ4_BARE,
    LZ4_FRAMED,
    RAW,
    SIZE,
    new_rows,
)

WAYS = [pytest.param(False, id="C"), pytest.param(True, id="Python")]


def decoded(blobs, codec, shape, dtype="<u2", *, in_python=False, cores=1, swap=False):
    """Decode `blobs`; return the pixels and which of them were whole."""
    dtype = np.dtype(dtype)
    rows = new_rows(len(blobs))
    sizes = np.array([len(blob) for blob in blobs])
    rows[:, SIZE], rows[:, AT] = sizes, np.cumsum(sizes) - sizes
    rows[:, CODEC], rows[:, ELEMENT] = codec, dtype.itemsize
    rows[:, ITEM] = -dtype.itemsize if swap else dtype.itemsize
    data = np.frombuffer(b"".join(blobs), np.uint8).copy()
    before = data.copy()
    pixels = np.full((len(blobs), *shape), 77, dtype)
    with Decoder(cores, in_python=in_python) as decoder:
        whole = decoder.decode(data, rows, pixels)
    np.testing.assert_array_equal(data, before)  # a recorder gets it untouched
    return pixels, whole


@pytest.mark.parametrize("in_python", WAYS)
@pytest.mark.parametrize("cores", [1, 3])
def test_many_frames_are_shared_among_the_cores(in_python, cores):
    frames = frames_of(n=64, shape=(96, 96))
    blobs = compress(frames, "bslz4", "v2")
    pixels, whole = decoded(blobs, BSLZ4, (96, 96), in_python=in_python, cores=cores)
    assert whole.all()
    np.testing.assert_array_equal(pixels, frames)


@pytest.mark.parametrize("in_python", WAYS)
def test_the_c_function_is_used_and_the_other_agrees(in_python):
    assert Decoder(1)._functions[0], "the library exports no C function any more"
    frames = frames_of(shape=(7, 9))  # 63 pixels: the last seven are not shuffled
    pixels, whole = decoded(
        compress(frames, "bslz4", "v2"), BSLZ4, (7, 9), in_python=in_python
    )
    assert whole.all()
    np.testing.assert_array_equal(pixels, frames)


@pytest.mark.parametrize("in_python", WAYS)
def test_an_empty_header_of_twelve_zeros_is_filled_in_for_the_decoder(in_python):
    frames = frames_of(shape=(96, 96))
    blobs = [bytes(12) + blob[12:] for blob in compress(frames, "bslz4", "v2")]
    pixels, whole = decoded(blobs, BSLZ4, (96, 96), in_python=in_python)
    assert whole.all()
    np.testing.assert_array_equal(pixels, frames)


@pytest.mark.parametrize("in_python", WAYS)
def test_a_bare_lz4_block_of_another_encoder_is_read(in_python):
    frames = frames_of(shape=(96, 96))
    blobs = [imagecodecs.lz4_encode(frame.tobytes(), header=False) for frame in frames]
    pixels, whole = decoded(blobs, LZ4_BARE, (96, 96), in_python=in_python)
    assert whole.all()
    np.testing.assert_array_equal(pixels, frames)


@pytest.mark.parametrize("in_python", WAYS)
def test_framed_lz4_of_another_encoder_is_read(in_python):
    frames = frames_of(shape=(96, 96))
    blobs = [
        imagecodecs.lz4h5_encode(frame.tobytes(), blocksize=5000) for frame in frames
    ]
    pixels, whole = decoded(blobs, LZ4_FRAMED, (96, 96), in_python=in_python)
    assert whole.all()
    np.testing.assert_array_equal(pixels, frames)


def test_big_endian_pixels_are_turned():
    frames = frames_of().astype(">u2")
    pixels, whole = decoded([f.tobytes() for f in frames], RAW, (12, 16), swap=True)
    assert whole.all()
    np.testing.assert_array_equal(pixels, frames)


@pytest.mark.parametrize("in_python", WAYS)
@pytest.mark.parametrize("codec", [RAW, BSLZ4, LZ4_FRAMED, LZ4_BARE])
def test_one_bad_image_does_not_harm_its_neighbours(codec, in_python):
    frames = frames_of(n=3, shape=(96, 96))
    name = {RAW: "none", BSLZ4: "bslz4"}.get(codec, "lz4")
    blobs = compress(frames, name, "v1" if codec == LZ4_BARE else "v2")
    blobs[1] = blobs[1][:-9]
    pixels, whole = decoded(blobs, codec, (96, 96), in_python=in_python)
    assert whole.tolist() == [True, False, True]
    np.testing.assert_array_equal(pixels[[0, 2]], frames[[0, 2]])


GOOD = compress(frames_of(n=1, shape=(96, 96)), "bslz4", "v2")[0]


@pytest.mark.parametrize("in_python", WAYS)
@pytest.mark.parametrize(
    "blob",
    [
        b"",
        GOOD[:11],
        GOOD[:12],
        (1 << 62).to_bytes(8, "big") + GOOD[8:],
        (18430).to_bytes(8, "big") + GOOD[8:],
        bytes(8) + GOOD[8:],
        GOOD[:8] + bytes(4) + GOOD[12:],
        GOOD[:8] + b"\x7f\xff\xff\xf0" + GOOD[12:],
        GOOD[:8] + b"\xff\xff\xff\xff" + GOOD[12:],
        GOOD[:8] + b"\x00\x00\x00\x10" + GOOD[12:],
        GOOD[:12] + b"\xff\xff\xff\xff" + GOOD[16:],
        GOOD[:12] + b"\x00\x00\x00\x00" + GOOD[16:],
        GOOD[:16] + b"\xff" * (len(GOOD) - 16),
        bytes(4000),
    ],
)
def test_a_blob_that_lies_is_not_whole(blob, in_python):
    _, whole = decoded([blob], BSLZ4, (96, 96), in_python=in_python)
    assert not whole[0]


@pytest.mark.parametrize("in_python", WAYS)
@pytest.mark.parametrize("element", [0, 3, 8, 1 << 40])
def test_elements_of_an_impossible_size_are_not_whole(element, in_python):
    rows = new_rows(1)
    rows[0, [CODEC, ELEMENT, ITEM, SIZE]] = BSLZ4, element, 2, len(GOOD)
    data, pixels = np.frombuffer(GOOD, np.uint8).copy(), np.zeros((1, 96, 96), "<u2")
    assert not Decoder(1, in_python=in_python).decode(data, rows, pixels)[0]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=8),
    st.integers(0, len(GOOD)),
    st.sampled_from([BSLZ4, LZ4_FRAMED, LZ4_BARE, RAW]),
)
def test_bytes_that_were_changed_write_nowhere_else(changes, length, codec):
    blob = bytearray(GOOD)
    for at, value in changes:
        blob[at] = value
    rows = new_rows(1)
    rows[0, [CODEC, ELEMENT, ITEM, SIZE]] = codec, 2, 2, length
    guarded = np.full((3, 96, 96), 77, "<u2")
    data = np.frombuffer(bytes(blob[:length]) or b"\0", np.uint8).copy()
    Decoder(1).decode(data, rows, guarded[1:2])
    assert (guarded[[0, 2]] == 77).all()


def test_a_library_that_is_lacking_is_named_with_the_extra(monkeypatch):
    def lacking(name):
        raise ImportError(name)

    monkeypatch.setattr(decode.importlib, "import_module", lacking)
    with pytest.raises(MissingExtraError, match=r"scopeside\[dectris\]"):
        decode._module()


def test_a_library_without_the_c_function_is_used_from_python(monkeypatch):
    monkeypatch.setattr(decode, "address_of", lambda *_: 0)
    assert decode._library.__wrapped__() == (0, 0)

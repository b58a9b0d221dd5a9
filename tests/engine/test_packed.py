"""Frames that stay packed: LZ4, bitshuffle, and batches of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scopeside import unpacking
from scopeside.bitshuffle import HEADER, pack_frame
from scopeside.errors import ShapeError
from scopeside.lz4 import SPARE, decode_block, size_of
from scopeside.packed import PLAIN, PackedBatch


def decoded(block, room):
    data = np.frombuffer(block, np.uint8)
    out = np.full(room + SPARE, 0xAA, np.uint8)
    got = decode_block(data.ctypes.data, len(data), out.ctypes.data, room)
    assert size_of(data.ctypes.data, len(data), room) == got
    return got, out[: max(got, 0)].tobytes()


def sequence(literal, back=None, length=0):
    """One sequence of an LZ4 block; without `back` the last one."""

    def nibble(n):
        return (
            (n, b"")
            if n < 15
            else (15, b"\xff" * ((n - 15) // 255) + bytes([(n - 15) % 255]))
        )

    high, more = nibble(len(literal))
    if back is None:
        return bytes([high << 4]) + more + literal
    low, after = nibble(length - 4)
    return (
        bytes([high << 4 | low]) + more + literal + back.to_bytes(2, "little") + after
    )


@given(
    literal=st.binary(min_size=1, max_size=300),
    back=st.integers(1, 300),
    length=st.integers(4, 600),
    rest=st.binary(min_size=1, max_size=40),
)
def test_a_match_repeats_what_came_before(literal, back, length, rest):
    back = min(back, len(literal))
    expected = bytearray(literal)
    for _ in range(length):
        expected.append(expected[-back])
    expected += rest
    block = sequence(literal, back, length) + sequence(rest)
    assert decoded(block, len(expected)) == (len(expected), bytes(expected))


@given(st.binary(max_size=400), st.integers(0, 300))
def test_garbage_writes_nowhere_else(block, room):
    data = np.frombuffer(block, np.uint8)
    out = np.full(64 + room + SPARE + 64, 0xAA, np.uint8)
    got = decode_block(data.ctypes.data, len(data), out.ctypes.data + 64, room)
    assert -1 <= got <= room
    assert (out[:64] == 0xAA).all()
    assert (out[64 + room + SPARE :] == 0xAA).all()
    assert got == size_of(data.ctypes.data, len(data), room)


@pytest.mark.parametrize(
    "block", [b"\x10", b"\x14a\x00\x00", b"\x14a\x02\x00", b"\xf0", b"\x14a\x01"]
)
def test_a_block_that_is_none_is_refused(block):
    assert decoded(block, 64)[0] == -1


def batch_of(blobs, shape, dtype, plain=()):
    n = len(blobs)
    words, starts = [], []
    at = n
    for blob in blobs:
        filled = blob + bytes(-len(blob) % 8)
        starts.append(at)
        words.append(np.frombuffer(filled, np.uint64))
        at += len(words[-1])
    table = np.array(starts, np.uint64)
    for k in plain:
        table[k] |= PLAIN
    index = np.arange(n, dtype=np.int64)
    return PackedBatch(
        np.concatenate([table, *words]), index, index, shape, np.dtype(dtype)
    )


@settings(deadline=None)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 70)),
    dtype=st.sampled_from(["u1", "u2", "u4", "i2"]),
    block=st.sampled_from([64, 512, 8192]),
    seed=st.integers(0, 99),
)
def test_unpacking_gives_the_frames(shape, dtype, block, seed):
    info = np.iinfo(dtype)
    rng = np.random.default_rng(seed)
    frames = rng.integers(info.min, info.max, (3, *shape), dtype, endpoint=True)
    batch = batch_of([pack_frame(f, block) for f in frames], shape, dtype)
    np.testing.assert_array_equal(batch.dense().pixels, frames)
    assert unpacking.whole(
        batch.data, batch.bounds, frames[0].nbytes, frames.itemsize
    ).all()


def test_frames_may_lie_there_as_they_are():
    frames = np.arange(2 * 8 * 8, dtype=np.uint16).reshape(2, 8, 8)
    blobs = [pack_frame(frames[0]), frames[1].tobytes()]
    batch = batch_of(blobs, (8, 8), "u2", plain=[1])
    np.testing.assert_array_equal(batch.dense().pixels, frames)


def test_portions_are_the_batch_in_pieces():
    frames = np.random.default_rng(0).poisson(1.0, (7, 16, 16)).astype(np.uint16)
    batch = batch_of([pack_frame(f) for f in frames], (16, 16), "u2")
    seen = []
    for piece, dense in batch.portions(3 * frames[0].nbytes):
        np.testing.assert_array_equal(piece.dense().pixels, dense.pixels)
        seen += dense.index.tolist()
        np.testing.assert_array_equal(dense.pixels, frames[dense.index])
    assert seen == list(range(7))


@settings(deadline=None)
@given(st.data())
def test_what_is_damaged_is_found_or_harmless(data):
    frame = np.arange(20 * 20, dtype=np.uint16).reshape(20, 20)
    blob = bytearray(pack_frame(frame))
    if data.draw(st.booleans()):
        blob = blob[: data.draw(st.integers(0, len(blob) - 1))]
    else:
        at = data.draw(st.integers(0, len(blob) - 1))
        blob[at] ^= data.draw(st.integers(1, 255))
    batch = batch_of([bytes(blob)], (20, 20), "u2")
    good = unpacking.whole(batch.data, batch.bounds, frame.nbytes, 2)[0]
    if good:
        assert batch.dense().pixels.shape == (1, 20, 20)
    else:
        with pytest.raises(ShapeError, match="frame 0 is no packed frame"):
            batch.dense()


def test_a_header_that_lies_is_refused():
    frame = np.zeros((8, 8), np.uint16)
    blob = bytearray(pack_frame(frame))
    blob[HEADER - 4 : HEADER] = (7).to_bytes(4, "big")
    with pytest.raises(ShapeError):
        batch_of([bytes(blob)], (8, 8), "u2").dense()


def test_a_table_that_leads_outside_is_refused():
    batch = batch_of([pack_frame(np.zeros((8, 8), np.uint16))], (8, 8), "u2")
    words = batch.words.copy()
    words[0] = 10**6
    with pytest.raises(ShapeError, match="not in order"):
        PackedBatch(words, batch.index, batch.index, (8, 8), np.dtype("u2"))

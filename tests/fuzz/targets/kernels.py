"""Compiled loops over compressed frames and events, with the end of memory behind."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tests.fuzz.edge import at_edge, room, untouched_before
from tests.fuzz.target import Target

from scopeside import unpacking, words
from scopeside.bitshuffle import MOST_BLOCK, pack_frame, unpack_frame
from scopeside.errors import ShapeError
from scopeside.lz4 import SPARE, decode_block, size_of
from scopeside.packed import PackedBatch, pack_frames
from scopeside_adapters.dectris.cbor import whole as whole_cbor
from scopeside_adapters.dectris.text import next_pair

FRAMES = np.random.default_rng(2024).poisson(3.0, (3, 9, 7)).astype("<u2")


def lz4(data: bytes) -> None:
    """Decode a block; the first two bytes say how much room there is for it."""
    size = int.from_bytes(data[:2], "little") % 5000
    block, target = at_edge(data[2:]), room(size + SPARE)
    source = block.ctypes.data, len(block)
    got = int(decode_block(*source, target.ctypes.data, size))
    assert -1 <= got <= size
    assert int(size_of(*source, size)) == got
    assert untouched_before(target)


def _lz4() -> list[bytes]:
    # A literal, then matches at distances from 1 to 64; then one of literals alone.
    found = [b"\x40\x01\x50hello"]
    for back in (1, 2, 3, 7, 8, 31, 32, 64):
        block = b"\xf0\x31" + bytes(range(64)) + back.to_bytes(2, "little")
        block = b"\xff" + block[1:] + b"\x20" + b"\x50world"
        found.append(b"\x00\x02" + block)
    return found


def bitshuffle(data: bytes) -> None:
    """Unpack a frame; the first two bytes say its pixels and how many they are."""
    head = data[:2].ljust(2, b"\0")
    itemsize, pixels = (1, 2, 4)[head[0] % 3], head[1]
    frame = room(pixels * itemsize)
    packed = at_edge(data[2:])
    packed.flags.writeable = False
    scratch = room(MOST_BLOCK + SPARE)
    unpack_frame(packed, 0, len(packed), itemsize, scratch, frame)
    assert untouched_before(frame)


def _bitshuffle() -> list[bytes]:
    flat = FRAMES[0].reshape(1, -1)
    return [
        bytes([k, flat.size]) + pack_frame(flat.astype(f"<u{1 << k}"), block)
        for k in range(3)
        for block in (64, 8192)
    ]


def packed(data: bytes) -> None:
    """Unpack a batch; the first byte says how many frames it has.

    What is found whole without being unpacked can be unpacked.
    """
    n = (data[0] if data else 0) % 8
    count = np.arange(n, dtype=np.int64)
    batch = PackedBatch(
        at_edge(data[1:], np.uint64), count, count, (9, 7), np.dtype("<u2")
    )
    if batch.plain.any():
        batch.dense()
        return
    good = unpacking.whole(batch.data, batch.bounds, 126, 2)
    for k in range(n):
        try:
            batch.dense(k, k + 1)
        except ShapeError:
            assert not good[k]
        else:
            assert good[k]
    for _ in batch.portions(200):
        pass


def _packed() -> list[bytes]:
    return [bytes([n]) + pack_frames(FRAMES[:n]).words.tobytes() for n in (1, 3)]


def events(data: bytes) -> None:
    """Take the words of events through each kernel; the first bytes say of what."""
    head = data[:3].ljust(3, b"\0")
    frames, pixels = head[0] % 16, 1 + head[1]
    raw = at_edge(data[3:], np.uint64)
    read = words.as_read(raw)
    bad = words.bad(read, frames, pixels)
    out, starts = room(len(raw), np.uint64), room(frames + 1, np.int64)
    words.sort(read, starts, out)
    made = room(frames * pixels, "<u2")
    made[:] = 0
    words.fill(read, head[2], made.reshape(frames, pixels), 0xFFFF)
    kept = words.keep_good(raw, frames, pixels)
    assert kept + bad == len(raw)
    place = room(frames, np.int64)
    place[:] = np.arange(frames) - 2
    assert words.renumber(raw[:kept], place) <= kept
    assert all(untouched_before(one) for one in (raw, out, starts, made, place))


def _events() -> list[bytes]:
    place, address = np.arange(12) % 5, np.arange(12) * 3
    found = (place.astype(np.uint64) << np.uint64(40)) | address.astype(np.uint64)
    return [bytes([5, 40, 0]) + (found | np.uint64(1 << 24)).tobytes()]


def cbor_walk(data: bytes) -> None:
    """Walk over CBOR; it comes to an end, and reads nothing behind it."""
    whole_cbor(at_edge(data), 0, len(data))


def json_walk(data: bytes) -> None:
    """Walk over the pairs of a flat object; each lies within the text."""
    array, at, state = at_edge(data), 0, 0
    for _ in range(len(data) + 2):
        state, a, b, _, c, d, at = next_pair(array, at, len(array), state)
        if state != 1:
            return
        assert 0 <= a <= b <= c <= d <= len(data)
    raise AssertionError("it does not come to an end")


def targets() -> Sequence[Target]:
    """Return them."""
    cbor = [b"\xd9\xd9\xf7\xa2\x61a\x82\x01\x9f\x02\xff\x61b\x7f\x61c\xff"]
    text = [b'{"a": 1, "b": "c", "d": [1, 2], "e": null}\0']
    return (
        Target("lz4", lz4, _lz4, ()),
        Target("bitshuffle", bitshuffle, _bitshuffle, ()),
        Target("packed", packed, _packed, (ShapeError,)),
        Target("events", events, _events, ()),
        Target("cbor_walk", cbor_walk, lambda: cbor, ()),
        Target("json_walk", json_walk, lambda: text, ()),
    )

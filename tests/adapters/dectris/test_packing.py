"""Images that are handed on as they came."""

import numpy as np
import pytest
from tests.adapters.dectris.detecting import (
    COMPRESSIONS,
    DTYPES,
    STREAMS,
    frames_of,
    simulating,
)
from tests.adapters.dectris.test_decode import AT, CODEC, ELEMENT, ITEM, SIZE, new_rows
from tests.adapters.dectris.test_source import taken
from tests.doubles import MemorySink, MemorySlot

from scopeside.acquisition import Acquisition
from scopeside.packed import PackedBatch
from scopeside_adapters.dectris.compose import compress
from scopeside_adapters.dectris.decode import Decoder
from scopeside_adapters.dectris.images import BSLZ4
from scopeside_adapters.dectris.packing import Packer


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_stays_packed_is_what_the_detector_sent(stream, compression, dtype):
    with simulating(stream=stream, compression=compression, dtype=dtype) as simulator:
        sink = taken(simulator, MemorySink(capacity=16), packed=True)
        expected = simulator.frames(40)
    assert sink.acquisitions[0].encoding == "packed"
    assert sink.rejects == sink.gaps == []
    batches = [batch.dense() for batch in sink.batches]
    assert np.concatenate([b.index for b in batches]).tolist() == list(range(40))
    np.testing.assert_array_equal(np.concatenate([b.pixels for b in batches]), expected)


def test_a_slot_that_is_full_of_words_is_followed_by_another():
    with simulating(shape=(64, 64)) as simulator:
        sink = taken(simulator, MemorySink(capacity=64, words=1200), packed=True)
        expected = simulator.frames(40)
    assert len(sink.batches) > 1
    found = np.concatenate([batch.dense().pixels for batch in sink.batches])
    np.testing.assert_array_equal(found, expected)


def packed(blobs, shape=(12, 16)):
    """Pack blobs into a slot; return the batch and which of them are whole."""
    rows = new_rows(len(blobs))
    sizes = np.array([len(blob) for blob in blobs])
    rows[:, SIZE], rows[:, AT] = sizes, np.cumsum(sizes) - sizes
    rows[:, CODEC], rows[:, ELEMENT], rows[:, ITEM] = BSLZ4, 2, 2
    data = np.frombuffer(b"".join(blobs), np.uint8).copy()
    about = Acquisition("a", shape, np.dtype("<u2"), encoding="packed")
    slot = MemorySlot(8, about, 4096)
    with Decoder(1) as decoder:
        packer = Packer(shape, about.dtype, decoder)
        assert packer.fitting(slot, rows) == len(blobs)
        whole, words = packer.fill(slot, data, rows)
    n = int(whole.sum())
    index = np.arange(n)
    return PackedBatch(slot.words[:words], index, index, shape, about.dtype), whole


def test_a_broken_image_is_left_out_and_harms_no_other():
    frames = frames_of(n=4)
    blobs = compress(frames, "bslz4", "v2")
    blobs[1] = blobs[1][: len(blobs[1]) // 2]
    batch, whole = packed(blobs)
    assert whole.tolist() == [True, False, True, True]
    np.testing.assert_array_equal(batch.dense().pixels, frames[whole])


def test_a_header_that_was_left_empty_is_filled_in():
    frames = frames_of(n=2)
    blobs = [bytes(12) + blob[12:] for blob in compress(frames, "bslz4", "v2")]
    batch, whole = packed(blobs)
    assert whole.all()
    np.testing.assert_array_equal(batch.dense().pixels, frames)

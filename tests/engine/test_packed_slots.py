"""Packed frames through the slab: what is let in, and what is read."""

import os

import numpy as np
import pytest
from tests.engine.test_event_slots import told

from scopeside.acquisition import Acquisition
from scopeside.errors import ShapeError, SlabError, SourceError
from scopeside.ingest import quarantine
from scopeside.ingest.news import Filled, Missed, Rejected
from scopeside.ingest.sink import SlabSink
from scopeside.ingest.ticket import ticket_of
from scopeside.packed import PackedBatch, pack_frames
from scopeside.scan import Scan
from scopeside.settings import AcquisitionSettings, SlabSettings
from scopeside.slab import Slab, batch_at
from scopeside.wire import decode_own

MIB = 1 << 20
SHAPE = (16, 24)
FRAMES = np.random.default_rng(0).poisson(3.0, (6, *SHAPE)).astype(np.uint16)


def shot(**changes):
    about = {"id": "a", "frame_shape": SHAPE, "dtype": np.dtype("<u2")}
    return Acquisition(**{**about, "encoding": "packed", **changes})


@pytest.fixture
def slab():
    fd = Slab.allocate(MIB)
    yield Slab(fd, MIB, writable=True)
    os.close(fd)


def sink_on(slab, **settings):
    kept = SlabSettings(mib=1, batch_kib=16)
    return SlabSink(slab, kept, AcquisitionSettings(**settings), 1, None)


@pytest.fixture
def sink(slab):
    sink = sink_on(slab)
    yield sink
    os.close(sink.wake)


def fill(sink, index, frames, times=None):
    words = pack_frames(frames).words
    with sink.slot() as slot:
        slot.index[: len(index)] = index
        slot.timestamp_ns[: len(index)] = index if times is None else times
        slot.words[: len(words)] = words
        slot.commit(len(index), words=len(words))


def read(slab, filled, about):
    ticket = ticket_of(filled, about, seq=1, epoch=1, change=0, users=1)
    reader = Slab(slab.fd, MIB, writable=False)
    return batch_at(reader, decode_own(ticket.message).header)


def test_a_reader_finds_the_frames_where_they_were_put(sink, slab):
    sink.start(shot())
    fill(sink, [4, 5, 6], FRAMES[:3])
    (filled,) = told(sink, Filled)
    batch = read(slab, filled, shot())
    assert isinstance(batch, PackedBatch)
    assert batch.index.tolist() == [4, 5, 6]
    np.testing.assert_array_equal(batch.dense().pixels, FRAMES[:3])


def test_frames_that_came_before_are_left_out_with_their_bytes(sink, slab):
    sink.start(shot())
    fill(sink, [0, 2], FRAMES[[0, 2]])
    fill(sink, [0, 1, 2, 3], FRAMES[:4])
    first, rejected, second = told(sink, Filled | Rejected)
    assert (first.n, rejected.n, rejected.cause) == (2, 2, "duplicate")
    batch = read(slab, second, shot())
    assert batch.index.tolist() == [1, 3]
    np.testing.assert_array_equal(batch.dense().pixels, FRAMES[[1, 3]])


def test_frames_beyond_their_line_are_left_out_with_their_bytes(slab):
    sink = sink_on(slab, line_pause_ms=1.0)
    about = shot(kind="scan4d", scan=Scan((2, 2)))
    sink.start(about)
    # Three frames in a line of two, a pause, and a line that is whole.
    times = np.array([0, 10, 20, 5_000_000, 5_000_010])
    fill(sink, np.arange(5), FRAMES[:5], times)
    events = told(sink, Filled | Rejected | Missed)
    filled = next(event for event in events if isinstance(event, Filled))
    batch = read(slab, filled, about)
    assert batch.index.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(batch.dense().pixels, FRAMES[[0, 1, 3, 4]])
    os.close(sink.wake)


def test_a_table_that_leads_outside_is_refused(sink):
    sink.start(shot())
    with sink.slot() as slot:
        slot.index[0] = slot.timestamp_ns[0] = 0
        slot.words[0] = 10**9
        with pytest.raises(SourceError, match="not in order"):
            slot.commit(1, words=8)


def test_a_slot_has_room_for_a_frame_that_cannot_be_made_smaller(sink):
    sink.start(shot())
    with sink.slot() as slot:
        assert 8 * (len(slot.words) - slot.capacity) >= len(
            pack_frames(FRAMES[:1]).data
        )


def test_frames_that_do_not_fit_the_slab_are_refused(sink):
    with pytest.raises(SlabError, match=r"\[slab\] mib of at least"):
        sink.start(shot(frame_shape=(1024, 1024)))


def test_pixels_that_nobody_packs_are_refused():
    with pytest.raises(ShapeError, match="1, 2 or 4 bytes"):
        shot(dtype=np.dtype("f4"))


def test_a_quarantined_batch_can_be_looked_into(tmp_path):
    batch = pack_frames(FRAMES)
    path = quarantine.write(tmp_path, "a", "stem", batch)
    with np.load(path) as found:
        kept = PackedBatch(
            found["words"],
            found["index"],
            found["timestamp_ns"],
            tuple(found["frame_shape"]),
            np.dtype(str(found["dtype"])),
        )
    np.testing.assert_array_equal(kept.dense().pixels, FRAMES)

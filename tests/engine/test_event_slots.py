"""Events through the slab: what a slot holds, what is let in, and what is read."""

import os
from queue import Empty

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.small import SHAPE, acquisition

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.errors import SourceError
from scopeside.events import EventBatch, pack_events
from scopeside.ingest import quarantine
from scopeside.ingest.news import Filled, Rejected
from scopeside.ingest.sink import SlabSink
from scopeside.settings import AcquisitionSettings, SlabSettings
from scopeside.slab import EVENT_FRAMES, MIN_SLOTS, Layout, Slab, batch_at

MIB = 1 << 20
PIXELS = SHAPE[0] * SHAPE[1]


def shot(name="a", frames=None):
    return acquisition(name, frames=frames, encoding="events")


@pytest.fixture
def slab():
    fd = Slab.allocate(MIB)
    yield Slab(fd, MIB, writable=True)
    os.close(fd)


@pytest.fixture
def sink(slab):
    kept = SlabSettings(mib=1, batch_kib=16)
    sink = SlabSink(slab, kept, AcquisitionSettings(), 1, None)
    yield sink
    os.close(sink.wake)


def told(sink, kind):
    events = []
    while True:
        try:
            events.append(sink.events.get_nowait())
        except Empty:
            return [event for event in events if isinstance(event, kind)]


def fill(sink, index, words):
    with sink.slot() as slot:
        slot.index[: len(index)] = index
        slot.timestamp_ns[: len(index)] = np.array(index) * 10
        slot.words[: len(words)] = words
        slot.commit(len(index), words=len(words))
    return slot


@settings(deadline=None, max_examples=200)
@given(
    st.integers(1, 300), st.integers(4, 1 << 20), st.none() | st.integers(1, 1 << 20)
)
def test_slots_for_events_lie_beside_each_other(mib, kib, frames):
    layout = Layout.of(mib * MIB, shot(), kib * 1024, frames)
    assert layout.slots >= MIN_SLOTS
    assert layout.slots * layout.stride <= mib * MIB
    assert 16 * layout.capacity <= layout.pixels_at
    assert layout.pixels_at + 8 * layout.words <= layout.stride
    assert layout.pixels_at % 64 == layout.stride % 4096 == 0
    assert 1 <= layout.capacity <= (frames or EVENT_FRAMES)
    assert layout.words >= 4096


def test_a_slot_has_as_many_words_as_a_batch_has_bytes_for():
    layout = Layout.of(256 * MIB, shot(), 2 * MIB)
    assert (layout.capacity, layout.words) == (EVENT_FRAMES, 2 * MIB // 8)


def test_frames_are_as_large_as_they_like_where_none_is_made():
    large = Acquisition("a", (4096, 4096), np.dtype("<u2"), encoding="events")
    assert Layout.of(MIB, large, MIB) == Layout.of(MIB, shot(), MIB)


def test_a_slot_is_for_frames_or_for_events(sink):
    sink.start(acquisition("f"))
    with sink.slot() as slot:
        assert (len(slot.words), len(slot.pixels)) == (0, slot.capacity)
    sink.end()
    sink.start(shot("e"), batch_frames=7)
    with sink.slot() as slot:
        assert (len(slot.words), len(slot.pixels), slot.capacity) == (4096, 0, 7)
        assert slot.words.dtype == np.uint64


def test_events_are_announced_and_counted(sink):
    sink.start(shot())
    fill(sink, [4, 5, 6], pack_events([0, 2, 2], 1, [0, 1, PIXELS - 1]))
    (filled,) = told(sink, Filled)
    assert (filled.n, filled.events, filled.runs) == (3, 3, ((4, 6),))
    assert filled.n_bytes == 24


def test_frames_without_events_are_announced(sink):
    sink.start(shot())
    fill(sink, [0, 1], [])
    (filled,) = told(sink, Filled)
    assert (filled.n, filled.events) == (2, 0)


def test_frames_have_no_number_of_events(sink):
    sink.start(acquisition())
    with sink.slot() as slot:
        slot.index[:1] = 0
        slot.commit(1)
    (filled,) = told(sink, Filled)
    assert filled.events is None


@pytest.mark.parametrize("words", [-1, 4097])
def test_an_impossible_number_of_events_is_refused(sink, words):
    sink.start(shot())
    with (
        sink.slot() as slot,
        pytest.raises(SourceError, match=f"cannot commit {words}"),
    ):
        slot.commit(1, words=words)


def test_events_of_frames_are_refused(sink):
    sink.start(acquisition())
    with sink.slot() as slot, pytest.raises(SourceError, match="a slot of 0 words"):
        slot.commit(1, words=1)


def test_events_outside_of_the_frames_are_left_out_and_counted(sink):
    sink.start(shot())
    good = pack_events([0, 1], [1, 2], [0, PIXELS - 1])
    bad = pack_events([2, 0], 1, [0, PIXELS])
    slot = fill(sink, [0, 1], [good[0], bad[0], bad[1], good[1]])
    assert slot.words[:2].tolist() == good.tolist()
    rejected, filled = told(sink, Rejected | Filled)
    assert (rejected.n, rejected.cause) == (2, "bad_event")
    assert "2 of 4 events lie outside of 2 frames of 2×3" in rejected.message
    assert (filled.n, filled.events) == (2, 2)


BATCHES = st.lists(
    st.lists(st.integers(-2, 30), min_size=1, max_size=12), min_size=1, max_size=6
)


@settings(deadline=None, max_examples=60)
@given(BATCHES, st.integers(0, 1000))
def test_every_frame_is_let_in_once_and_keeps_its_events(batches, seed):
    rng, seen = np.random.default_rng(seed), set()
    fd = Slab.allocate(MIB)
    sink = SlabSink(
        Slab(fd, MIB, writable=True),
        SlabSettings(mib=1, batch_kib=16),
        AcquisitionSettings(),
        1,
        None,
    )
    sink.start(shot())
    for index in batches:
        place = rng.integers(0, len(index), 40)
        slot = fill(sink, index, pack_events(place, 1 + place, rng.integers(0, 6, 40)))
        new = [
            k for i, k in enumerate(index) if k >= 0 and k not in {*seen, *index[:i]}
        ]
        for event in told(sink, Filled):
            assert slot.index[: event.n].tolist() == new
            # The value of an event says in which place it came.
            events = EventBatch(
                slot.words[: event.events],
                slot.index[: event.n],
                slot.timestamp_ns[: event.n],
                SHAPE,
                np.dtype("u2"),
            )
            came = [index[value - 1] for value in events.value.tolist()]
            assert events.index[events.place].tolist() == came
            first = [index.index(k) for k in new]
            assert event.events == np.isin(place, first).sum()
        seen |= set(new)
    os.close(sink.wake)
    os.close(fd)


def header(layout, filled, about):
    at = filled.slot * layout.stride
    return {
        "n": filled.n,
        "epoch": 1,
        "shape": about.frame_shape,
        "dtype": about.dtype.str,
        "events": filled.events,
        "encoding": "events",
        "slab": [at, at + 8 * layout.capacity, at + layout.pixels_at],
    }


def test_a_reader_finds_the_events_where_they_were_put(sink, slab):
    sink.start(shot())
    words = pack_events([0, 2, 1], [1, 7, 65535], [5, 0, 3])
    fill(sink, [4, 5, 6], words)
    (filled,) = told(sink, Filled)
    reader = Slab(slab.fd, MIB, writable=False)
    found = batch_at(reader, header(filled.layout, filled, shot()))
    assert isinstance(found, EventBatch)
    assert found.words.tolist() == words.tolist()
    assert found.index.tolist() == [4, 5, 6]
    assert found.timestamp_ns.tolist() == [40, 50, 60]
    assert (found.frame_shape, found.dtype) == (SHAPE, np.dtype("<u2"))
    assert not found.words.flags.writeable
    assert found.dense().pixels[1].ravel().tolist() == [0, 0, 0, 65535, 0, 0]


def test_a_reader_finds_frames_where_they_were_put(sink, slab):
    sink.start(acquisition())
    with sink.slot() as slot:
        slot.index[:2], slot.timestamp_ns[:2], slot.pixels[:2] = [0, 1], 3, 9
        slot.commit(2)
    (filled,) = told(sink, Filled)
    found = batch_at(slab, header(filled.layout, filled, acquisition()))
    assert isinstance(found, Batch)
    assert (found.pixels == 9).all()


def test_events_that_killed_workers_are_kept_as_they_came(tmp_path):
    index = np.arange(3, 5)
    words = pack_events([0, 1], 1, [2, 3])
    batch = EventBatch(words, index, index * 10, SHAPE, np.dtype("u2"), 2)
    with np.load(quarantine.write(tmp_path, "a", "c", batch)) as found:
        assert found["words"].tolist() == words.tolist()
        assert found["index"].tolist() == [3, 4]
        assert tuple(found["frame_shape"]) == SHAPE

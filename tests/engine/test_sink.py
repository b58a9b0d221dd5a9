"""Slots from a real slab: what is counted, kept, refused and given back."""

import os
import threading
from dataclasses import replace
from queue import Empty

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.small import acquisition

from scopeside.detector import StopRequested
from scopeside.errors import SlabError, SourceError
from scopeside.ingest.news import (
    Ended,
    Filled,
    Finished,
    Missed,
    Noted,
    Rejected,
    Started,
)
from scopeside.ingest.sink import PATIENCE, SlabSink
from scopeside.settings import AcquisitionSettings, SlabSettings
from scopeside.slab import Slab

MIB = 1 << 20


def new_sink(*, limit=None, epoch=1, about=None, used_ids=()):
    fd = Slab.allocate(MIB)
    slab = Slab(fd, MIB, writable=True)
    os.close(fd)
    kept = SlabSettings(mib=1, batch_kib=4)
    return SlabSink(
        slab, kept, about or AcquisitionSettings(), epoch, limit, used_ids=used_ids
    )


@pytest.fixture
def sink():
    sink = new_sink()
    yield sink
    os.close(sink.wake)


@pytest.fixture
def limited():
    sink = new_sink(limit=1)
    yield sink
    os.close(sink.wake)


def told(sink, *kinds):
    events = []
    while True:
        try:
            events.append(sink.events.get_nowait())
        except Empty:
            return [event for event in events if not kinds or isinstance(event, kinds)]


def fill(sink, *index):
    with sink.slot() as slot:
        slot.index[: len(index)] = index
        slot.timestamp_ns[: len(index)] = np.array(index) * 10
        slot.pixels[: len(index)] = np.array(index)[:, None, None]
        slot.commit(len(index))
    return slot


def test_a_batch_is_announced_with_its_frames(sink):
    sink.start(acquisition())
    slot = fill(sink, 4, 5, 6)
    started, filled = told(sink)
    assert started == Started(acquisition())
    assert (filled.acquisition, filled.slot, filled.n) == ("a", slot.number, 3)
    assert filled.runs == ((4, 6),)
    assert filled.timestamp_ns == 40
    assert filled.n_bytes == 36


def test_a_slot_that_is_not_committed_is_given_back(sink):
    sink.start(acquisition())
    before = sink.free.qsize()
    with sink.slot():
        assert sink.free.qsize() == before - 1
    assert sink.free.qsize() == before
    assert told(sink, Filled) == []


def test_a_slot_is_given_back_when_its_holder_fails(sink):
    sink.start(acquisition())
    before = sink.free.qsize()
    with pytest.raises(ZeroDivisionError), sink.slot():
        raise ZeroDivisionError
    assert sink.free.qsize() == before


def test_a_committed_slot_is_not_given_back(sink):
    sink.start(acquisition())
    before = sink.free.qsize()
    fill(sink, 0)
    assert sink.free.qsize() == before - 1


def test_a_slot_is_committed_once(sink):
    sink.start(acquisition())
    with sink.slot() as slot:
        slot.index[:1] = 0
        slot.commit(1)
        with pytest.raises(SourceError, match="once"):
            slot.commit(1)
    assert len(told(sink, Filled)) == 1


def test_a_slot_is_committed_while_it_is_lent(sink):
    sink.start(acquisition())
    with sink.slot() as slot:
        pass
    with pytest.raises(SourceError, match="while it is lent"):
        slot.commit(1)


@pytest.mark.parametrize("n", [0, -1, 10_000])
def test_an_impossible_number_of_frames_is_refused(sink, n):
    sink.start(acquisition())
    with sink.slot() as slot, pytest.raises(SourceError, match=rf"cannot commit {n}"):
        slot.commit(n)


INDICES = st.lists(
    st.lists(st.integers(-2, 30), min_size=1, max_size=12), min_size=1, max_size=6
)


@settings(deadline=None, max_examples=60)
@given(INDICES)
def test_every_frame_is_let_in_once_and_keeps_its_pixels(batches):
    sink, seen, rejected = new_sink(), set(), 0
    sink.start(acquisition())
    for index in batches:
        slot = fill(sink, *index)
        new = [
            k for i, k in enumerate(index) if k >= 0 and k not in {*seen, *index[:i]}
        ]
        rejected += len(index) - len(new)
        for event in told(sink, Filled):
            assert event.n == len(new)
            assert slot.index[: event.n].tolist() == new
            assert slot.timestamp_ns[: event.n].tolist() == [10 * k for k in new]
            assert slot.pixels[: event.n, 0, 0].tolist() == new
            covered = [k for a, b in event.runs for k in range(a, b + 1)]
            assert covered == sorted(new)
        seen |= set(new)
    assert sum(sink._said.values()) == 0 or rejected
    os.close(sink.wake)


def test_duplicates_are_counted_and_told_of_once(sink):
    sink.start(acquisition())
    fill(sink, 0, 1, 2)
    fill(sink, 1, 2, 3)
    fill(sink, 0, 4)
    first, second = told(sink, Rejected)
    assert (first.n, first.cause) == (2, "duplicate")
    assert "2 of them came before" in first.message
    assert (second.n, second.message) == (1, "")


def test_a_batch_of_nothing_but_duplicates_gives_its_slot_back(sink):
    sink.start(acquisition())
    fill(sink, 0, 1)
    before = sink.free.qsize()
    fill(sink, 0, 1)
    assert sink.free.qsize() == before
    assert len(told(sink, Filled)) == 1


def test_jumbled_frames_are_kept_as_they_came(sink):
    sink.start(acquisition())
    slot = fill(sink, 5, 2, 3, 9)
    (filled,) = told(sink, Filled)
    assert filled.runs == ((2, 3), (5, 5), (9, 9))
    assert slot.index[:4].tolist() == [5, 2, 3, 9]


def test_a_gap_is_told_of_where_no_frame_has_come(sink):
    sink.start(acquisition())
    fill(sink, 3, 4)
    sink.gap(0, 9, "lost_on_wire")
    sink.gap(5, 12, "again")
    gaps = [(event.first, event.last, event.cause) for event in told(sink, Missed)]
    assert gaps == [
        (0, 2, "lost_on_wire"),
        (5, 9, "lost_on_wire"),
        (10, 12, "again"),
    ]


def test_a_frame_that_was_given_up_is_a_duplicate_when_it_comes(sink):
    sink.start(acquisition())
    sink.gap(0, 1, "lost")
    fill(sink, 0, 1)
    assert [event.n for event in told(sink, Rejected)] == [2]


@pytest.mark.parametrize("ends", [(-1, 3), (4, 3)])
def test_an_impossible_gap_is_refused(sink, ends):
    sink.start(acquisition())
    with pytest.raises(SourceError, match="is none"):
        sink.gap(*ends, "lost")


@pytest.mark.parametrize(
    "call",
    [
        lambda sink: sink.slot().__enter__(),
        lambda sink: sink.gap(0, 1, "x"),
        lambda sink: sink.end(),
    ],
)
def test_nothing_can_be_done_before_an_acquisition_begins(sink, call):
    with pytest.raises(SourceError, match="has not begun an acquisition"):
        call(sink)


@pytest.mark.parametrize(
    "call",
    [
        lambda sink: sink.slot().__enter__(),
        lambda sink: sink.try_slot(),
        lambda sink: sink.start(acquisition("b")),
    ],
)
def test_a_detector_is_stopped_wherever_it_asks(sink, call):
    sink.start(acquisition())
    sink.stop()
    assert sink.stopping
    with pytest.raises(StopRequested):
        call(sink)


def test_a_detector_that_waits_for_room_is_stopped(sink):
    sink.start(acquisition())
    while not sink.free.empty():
        sink.free.get()
    stopper = threading.Timer(0.01, sink.stop)
    stopper.start()
    with pytest.raises(StopRequested), sink.slot():
        pass
    stopper.join()
    assert not sink.waiting
    assert sink.stages.blocked_ns > 0


def test_a_detector_that_waits_gets_the_slot_that_comes_back(sink):
    sink.start(acquisition())
    while not sink.free.empty():
        sink.free.get()
    giver = threading.Timer(0.01, sink.free.put, [7])
    giver.start()
    with sink.slot() as slot:
        assert slot.number == 7
    giver.join()
    assert sink.stages.starved_slots == 1


def test_a_source_that_cannot_wait_is_told_that_there_is_no_room(sink):
    sink.start(acquisition())
    with sink.try_slot() as slot:
        assert slot.capacity > 0
    while not sink.free.empty():
        sink.free.get()
    assert sink.try_slot() is None


def test_after_so_many_acquisitions_the_detector_is_stopped(limited):
    limited.start(acquisition())
    limited.end()
    assert limited.stopping
    with pytest.raises(StopRequested):
        limited.start(acquisition("b"))


def test_the_last_acquisition_may_be_finished(limited):
    limited.start(acquisition())
    assert not limited.stopping
    fill(limited, 0)
    limited.end(total=1)
    assert told(limited, Ended) == [Ended("a", "complete", "", 1)]


def test_an_acquisition_that_never_ended_is_closed_by_the_next(sink):
    sink.start(acquisition("a"))
    sink.start(acquisition("b"))
    (ended,) = told(sink, Ended)
    assert (ended.acquisition, ended.state) == ("a", "failed")


def test_what_a_detector_left_open_is_closed_with_it(sink):
    sink.start(acquisition())
    sink.finish("failed", "it hung up", "it hung up")
    assert told(sink, Ended, Finished) == [
        Ended("a", "failed", "it hung up", None),
        Finished("it hung up"),
    ]


def test_new_slots_are_laid_when_all_old_ones_have_come_back(sink):
    sink.start(acquisition("a"))
    old = fill(sink, 0)
    sink.end()
    begun = threading.Event()
    other = acquisition("b", frames=3)

    def begin():
        sink.start(other)
        begun.set()

    thread = threading.Thread(target=begin)
    thread.start()
    while not sink.waiting:
        assert not begun.is_set(), "slots were laid over one that is still read"
    sink.free.put(old.number)
    thread.join(10)
    assert begun.is_set()
    assert sink.free.qsize() == len(sink._slots)


def test_the_frames_in_a_slot_can_be_limited(sink):
    sink.start(acquisition(), batch_frames=2)
    with sink.slot() as slot:
        assert slot.capacity == 2


def test_a_frame_larger_than_the_slab_is_refused_and_the_slots_stay(sink):
    sink.start(acquisition())
    sink.end()
    told(sink)
    before = sink.free.qsize()
    with pytest.raises(SlabError, match="mib"):
        sink.start(replace(acquisition("b"), frame_shape=(4096, 4096)))
    assert sink.free.qsize() == before
    assert told(sink) == []


def test_settings_complete_what_the_detector_says():
    sink = new_sink(about=AcquisitionSettings(scan=(2, 3), flyback=1))
    sink.start(acquisition(frames=None))
    (started,) = told(sink)
    assert (started.acquisition.frames, started.acquisition.kind) == (8, "scan4d")
    os.close(sink.wake)


def test_an_id_that_is_repeated_is_changed_and_told(sink):
    for _ in range(2):
        sink.start(acquisition("a"))
        sink.end()
    first, noted, second = told(sink, Started, Noted)
    assert (first.acquisition.id, second.acquisition.id) == ("a", "a.1-2")
    assert noted.message == "acquisition 'a' is called 'a.1-2': its id has been used"


def test_an_id_of_a_second_life_is_not_that_of_the_first():
    sink = new_sink(epoch=2, used_ids=["a"])
    sink.start(acquisition("a"))
    noted, started = told(sink)
    assert started.acquisition.id == "a.2-1"
    assert "'a' is called 'a.2-1'" in noted.message
    own = sink.new_id()
    sink.end()
    sink.start(acquisition(own))
    assert told(sink, Started)[0].acquisition.id == own
    os.close(sink.wake)


def test_new_ids_are_ids_and_differ(sink):
    first = sink.new_id()
    sink.start(acquisition(first))
    assert sink.new_id() != first


# -- lines that are triggered one by one ---------------------------------------------


def line_sink():
    about = AcquisitionSettings(scan=(3, 4), line_pause_ms=1.0)
    return new_sink(about=about)


def send_lines(sink, *lengths):
    """Lines of so many frames, 0.1 ms apart, with 10 ms from line to line."""
    times = [
        row * 10_000_000 + k * 100_000
        for row, n in enumerate(lengths)
        for k in range(n)
    ]
    with sink.slot() as slot:
        n = len(times)
        slot.index[:n] = np.arange(n)
        slot.timestamp_ns[:n] = times
        slot.pixels[:n] = np.arange(n)[:, None, None]
        slot.commit(n)


def test_a_short_line_is_dropped_by_name_and_the_next_begins_in_its_place():
    sink = line_sink()
    sink.start(acquisition())
    send_lines(sink, 4, 3, 4)
    (missed,) = told(sink, Missed)
    assert missed[1:] == (7, 7, "short_line")
    sink.end(total=11)
    os.close(sink.wake)


def test_surplus_frames_of_a_line_are_rejected_and_the_others_keep_their_pixels():
    sink = line_sink()
    sink.start(acquisition())
    send_lines(sink, 5, 4)
    filled, rejected = told(sink, Filled, Rejected)[::-1]
    assert rejected[:2] == (1, "surplus_in_line")
    assert filled.runs == ((0, 7),)
    slot = sink._slots[filled.slot]
    assert slot.pixels[:8, 0, 0].tolist() == [0, 1, 2, 3, 5, 6, 7, 8]
    os.close(sink.wake)


def test_what_the_detector_counts_does_not_number_the_lines():
    sink = line_sink()
    sink.start(acquisition())
    send_lines(sink, 4)
    sink.gap(4, 5, "lost")
    sink.end(total=400)
    (ended,) = told(sink, Missed, Ended)
    assert ended.total is None
    os.close(sink.wake)


def test_frames_may_wait_longer_for_others_while_the_engine_is_behind(sink):
    sink.start(acquisition())
    usual = sink.max_latency_s
    while sink.free.qsize() > 40:
        sink.free.get()
    assert usual < sink.max_latency_s <= PATIENCE * usual

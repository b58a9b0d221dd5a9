"""Where an acquisition begins and ends, told by the frames alone."""

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.adapters.epics.arrays import numbered

from scopeside_adapters.epics.series import (
    FrameReceived,
    FrameRepeated,
    FramesMissed,
    Series,
    SeriesEnded,
    SeriesStarted,
)


def fed(series, *frames):
    frames = [numbered(f) if isinstance(f, int) else f for f in frames]
    return list(chain.from_iterable(series.feed(frame) for frame in frames))


def indices(events):
    return [event.index for event in events if isinstance(event, FrameReceived)]


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def test_the_first_frame_begins_an_acquisition_and_is_number_0():
    first = numbered(7)
    events = Series().feed(first)
    assert events == [SeriesStarted(first), FrameReceived(0, first)]


def test_numbers_rise_with_unique_id():
    assert indices(fed(Series(), 7, 8, 9)) == [0, 1, 2]


def test_a_jump_is_missed_once_late_frames_cannot_come():
    series = Series()
    events = fed(series, 1, 2, 5)
    assert of(FramesMissed, events) == []
    assert series.settle() == [FramesMissed(2, 3)]
    assert series.settle() == []


def test_a_jump_is_missed_when_sixteen_frames_have_followed():
    events = fed(Series(), 1, *range(4, 21))
    assert of(FramesMissed, events) == [FramesMissed(1, 2)]


def test_late_frames_find_their_place():
    series = Series()
    events = fed(series, 1, 2, 5, 4, 3, 6)
    assert indices(events) == [0, 1, 4, 3, 2, 5]
    assert len(of(SeriesStarted, events)) == 1
    assert series.settle() == []


def test_a_fall_of_unique_id_begins_another_acquisition():
    events = fed(Series(), 1, 2, 3, numbered(1, ns=2 * 10**18))
    assert indices(events) == [0, 1, 2, 0]
    assert of(SeriesEnded, events) == [
        SeriesEnded("complete", "uniqueId began again at 1", 3)
    ]


def test_without_times_every_fall_is_another_acquisition():
    frames = [numbered(k, ns=0) for k in (1, 2, 5, 4)]
    assert len(of(SeriesStarted, fed(Series(), *frames))) == 2


def test_a_new_acquisition_of_one_frame_has_the_same_number_and_a_new_time():
    events = fed(Series(), *(numbered(1, ns=10**18 + k) for k in range(3)))
    assert indices(events) == [0, 0, 0]
    assert len(of(SeriesStarted, events)) == 3


@pytest.mark.parametrize("ns", [None, 0])
def test_the_same_frame_again_is_told(ns):
    events = fed(Series(), numbered(1, ns=ns), numbered(2, ns=ns), numbered(2, ns=ns))
    assert events[-1] == FrameRepeated(1)


def test_the_last_frame_again_begins_nothing():
    events = fed(Series(frames=2), 1, 2, 2, 3)
    assert events[4] == FrameRepeated(1)
    assert isinstance(events[3], SeriesEnded)
    assert isinstance(events[5], SeriesStarted)


@pytest.mark.parametrize("changed", [{"shape": (3, 4)}, {"dtype": "<f4"}])
def test_another_shape_or_type_is_another_acquisition(changed):
    events = fed(Series(), 1, 2, numbered(3, **changed))
    assert of(SeriesEnded, events)[0].state == "complete"
    assert "changed from 12×20 uint16 to" in of(SeriesEnded, events)[0].reason
    assert indices(events) == [0, 1, 0]


def test_what_ends_short_of_what_is_expected_is_stopped():
    events = fed(Series(frames=9), 1, 2, numbered(3, shape=(3, 4)))
    (ended,) = of(SeriesEnded, events)
    assert (ended.state, ended.total) == ("stopped", 2)
    assert ended.reason.endswith("after 2 of 9 frames")


def test_it_is_complete_when_all_that_are_expected_have_come():
    events = fed(Series(frames=3), 1, 2, 3)
    assert events[-1] == SeriesEnded("complete", "", 3)


def test_the_next_one_begins_where_the_last_one_ended():
    events = fed(Series(frames=3), *range(1, 8))
    assert indices(events) == [0, 1, 2, 0, 1, 2, 0]
    assert len(of(SeriesEnded, events)) == 2


def test_frames_missed_around_an_end_belong_to_both():
    events = fed(Series(frames=4), 1, 2, 7, 8)
    assert of(FramesMissed, events) == [FramesMissed(2, 3)]
    assert indices(events) == [0, 1, 2, 3]
    again = fed(Series(frames=4), 1, 2, 7)
    assert indices(again) == [0, 1, 2]


def test_whole_acquisitions_may_be_missed():
    events = fed(Series(frames=4), 1, 2, 18)
    assert indices(events) == [0, 1, 1]


def test_a_frame_missed_before_the_last_one_holds_the_end_up_only_for_a_while():
    series = Series(frames=3)
    assert of(SeriesEnded, fed(series, 1, 3)) == []
    assert series.settle() == [FramesMissed(1, 1), SeriesEnded("complete", "", 3)]


def test_a_late_frame_can_be_the_last():
    assert isinstance(fed(Series(frames=3), 1, 3, 2)[-1], SeriesEnded)


def test_the_first_number_may_be_known():
    series = Series(first_id=1)
    events = fed(series, 4, 5)
    assert indices(events) == [3, 4]
    assert series.settle() == [FramesMissed(0, 2)]


def test_who_joins_late_counts_from_what_comes_first():
    assert indices(fed(Series(frames=10, first_id=1), 500, 501)) == [0, 1]
    assert indices(fed(Series(first_id=1), 0, 1)) == [0, 1]


def test_unique_id_may_wrap():
    top = (1 << 31) - 1
    events = fed(Series(), top - 1, top, -(1 << 31), 1 - (1 << 31))
    assert indices(events) == [0, 1, 2, 3]


def test_a_count_that_wraps_between_acquisitions_goes_on():
    top = (1 << 31) - 1
    events = fed(Series(frames=2), top - 1, top, -(1 << 31), 1 - (1 << 31))
    assert indices(events) == [0, 1, 0, 1]


def test_a_jump_beyond_reason_is_another_acquisition():
    events = fed(Series(), 1, 2, 1 << 30)
    assert indices(events) == [0, 1, 0]
    assert of(FramesMissed, events) == []


def test_an_end_tells_what_is_missing():
    series = Series(frames=9)
    fed(series, 1, 4)
    assert series.end("lost", whole="failed", short="failed") == [
        FramesMissed(1, 2),
        SeriesEnded("failed", "lost, after 4 of 9 frames", 4),
    ]
    assert series.end("again") == []


numbers = st.one_of(st.integers(0, 40), st.integers(-(1 << 31), (1 << 31) - 1))


@given(
    st.lists(st.tuples(numbers, st.integers(0, 3)), max_size=60),
    st.one_of(st.none(), st.integers(1, 30)),
    st.one_of(st.none(), st.integers(0, 5)),
)
def test_whatever_comes_every_frame_is_accounted_for_once(said, frames, first_id):
    series = Series(frames, first_id)
    events = fed(series, *(numbered(k, ns=10**18 + at) for k, at in said))
    events += series.end("over")
    open_one, seen = False, set()
    for event in events:
        match event:
            case SeriesStarted():
                assert not open_one
                open_one, seen = True, set()
            case FrameReceived(index):
                assert open_one
                assert index not in seen
                seen.add(index)
            case FramesMissed(first, last):
                assert open_one
                gone = set(range(first, min(last + 1, first + 999)))
                assert not gone & seen
                seen |= gone if len(gone) < 999 else set()
            case SeriesEnded(total=total):
                assert open_one
                assert all(0 <= index < total for index in seen)
                open_one = False
    assert not open_one
    assert len(of(FrameReceived, events)) + len(of(FrameRepeated, events)) == len(said)

"""Only what surrounds events is kept: exactly their windows, whatever the order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scopeside.record.windows import MAX_LABELS, Keeper

BEFORE, AFTER, LATE = 10, 20, 5


def keeper(before=BEFORE, after=AFTER, late=LATE):
    return Keeper(before, after, late)


def verdict(it, *times):
    found = it.verdict(np.array(times, np.int64))
    return None if found is None else found.tolist()


def spans(it):
    return [(one.from_ns, one.to_ns) for one in it.windows]


def test_nothing_is_decided_before_anything_is_known():
    assert verdict(keeper(), 100) is None


def test_a_frame_is_let_go_when_no_event_can_reach_back_to_it():
    it = keeper()
    it.know([], 115, False)
    assert verdict(it, 99) == [False]
    assert verdict(it, 100) is None  # an event at 115 may have begun at 110
    it.know([], 116, False)
    assert verdict(it, 100) == [False]


def test_both_edges_of_a_window_belong_to_it():
    it = keeper()
    it.know([[100, 103, "a"]], 200, False)
    assert verdict(it, 89, 90, 91, 122, 123, 124) == [
        False, True, True, True, True, False,
    ]  # fmt: skip


def test_a_frame_in_a_known_window_does_not_wait_for_others_to_be_looked_at():
    it = keeper()
    it.know([[100, 100, "a"]], 100, False)
    assert verdict(it, 119, 120) == [True, True]
    assert verdict(it, 120, 121) is None


def test_windows_that_overlap_or_touch_are_one_with_all_labels():
    it = keeper()
    it.know([[200, 200, "c"], [100, 100, "a"], [130, 130, "b"]], 200, False)
    assert spans(it) == [(90, 150), (190, 220)]
    assert it.windows[0].labels == ("a", "b")
    it.know([[160, 180, "d"]], 200, False)
    assert spans(it) == [(90, 220)]
    assert sorted(it.windows[0].labels) == ["a", "b", "c", "d"]


def test_events_far_apart_leave_two_windows():
    it = keeper()
    it.know([[100, 100, "a"], [131, 131, "b"]], 131, False)
    assert spans(it) == [(90, 120), (121, 151)]


def test_when_all_is_known_everything_is_decided():
    it = keeper()
    it.know([[100, 100, "a"]], 100, True)
    assert verdict(it, 121, 500, 120) == [False, False, True]


def test_an_older_state_that_comes_late_changes_nothing():
    it = keeper()
    it.know([[100, 100, "a"]], 300, False)
    it.know([], 50, False)
    assert verdict(it, 90, 99, 200) == [True, True, False]


def test_frames_without_a_time_stamp_are_kept():
    it = keeper()
    assert verdict(it, 0, 0, -1) == [True, True, True]
    assert it.doubted


def test_frames_whose_clock_was_set_back_are_kept_until_it_has_caught_up():
    it = keeper()
    it.know([], 1000, False)
    assert verdict(it, 900, 901) == [False, False]
    assert verdict(it, 500, 501, 896) == [True, True, False]  # 896: within late
    assert verdict(it, 902) == [False]
    assert it.doubted


def test_time_stamps_that_stand_still_are_decided_alike():
    it = keeper()
    it.know([[100, 100, "a"]], 200, False)
    assert verdict(it, 100, 100, 100) == [True] * 3
    assert verdict(it, 130, 130, 130) == [False] * 3


def test_a_batch_that_is_asked_about_again_gets_the_same_answer():
    it = keeper()
    it.know([], 1000, False)
    for _ in range(3):
        assert verdict(it, 100, 500, 900) == [False] * 3
    assert not it.doubted


def test_a_batch_of_no_frames_is_decided():
    assert verdict(keeper()) == []


def test_an_event_without_end_keeps_all_that_comes():
    it = keeper()
    it.know([[100, 1 << 62, "blind"]], 100, False)
    assert verdict(it, 89, 90, 1 << 61) is None
    assert verdict(it, 90, 1 << 61) == [True, True]


def test_labels_of_one_window_are_bounded():
    it = keeper()
    it.know([[100, 100, str(k)] for k in range(2 * MAX_LABELS)], 100, False)
    assert len(it.windows[0].labels) == MAX_LABELS


@st.composite
def acquisitions(draw):
    """Times, (onset, declaration) by frame, sizes of batches, and what is known when.

    What is known is a sequence of numbers of frames that have been looked at, in any
    order; what is asked is interleaved with it.
    """
    steps = draw(st.lists(st.integers(0, 8), min_size=10, max_size=60))
    times = np.cumsum([1000, *steps]).astype(np.int64)
    n = len(times)
    told = draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=6))
    events = [
        (draw(st.integers(max(1, int(times[k]) - LATE), int(times[k]))), k)
        for k in told
    ]
    sizes = draw(st.lists(st.sampled_from([1, 1, 2, 7]), min_size=n, max_size=n))
    states = [*range(n + 1)] if draw(st.booleans()) else []
    states += draw(st.lists(st.integers(0, n), max_size=20))
    return times, events, sizes, states


@given(
    acquisitions(),
    st.integers(0, 30),
    st.integers(0, 30),
    st.randoms(use_true_random=False),
)
def test_what_is_kept_is_exactly_what_lies_in_windows(made, before, after, random):
    times, events, sizes, states = made
    it = Keeper(before, after, LATE)
    kept, at, waiting = np.zeros(len(times), bool), 0, iter(sizes)
    size = next(waiting)
    for looked in [*states, None]:
        told = [e for e in events if looked is None or e[1] < looked]
        random.shuffle(told)
        it.know(
            [[onset, int(times[k]), f"{onset} {k}"] for onset, k in told],
            -1 if looked == 0 else int(times[-1 if looked is None else looked - 1]),
            looked is None,
        )
        while at < len(times):
            found = it.verdict(times[at : at + size])
            if found is None:
                break
            kept[at : at + size] = found
            at, size = at + size, next(waiting, len(times))
    assert at >= len(times)
    expected = np.zeros(len(times), bool)
    for onset, k in events:
        expected |= (times >= onset - before) & (times <= times[k] + after)
    np.testing.assert_array_equal(kept, expected)
    assert not it.doubted
    covered = [w for w in it.windows for t in times if w.from_ns <= t <= w.to_ns]
    assert len(covered) == expected.sum()


@given(
    st.lists(st.integers(-5, 400), max_size=40),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, LATE)), max_size=4),
    st.integers(0, 400),
)
def test_with_a_clock_that_jumps_no_frame_of_a_window_is_let_go(times, told, upto):
    it = keeper()
    events = [(t - late, t) for t, late in told]
    it.know([[a, b, "x"] for a, b in events], upto, False)
    stamps = np.array(times, np.int64)
    while (kept := it.verdict(stamps)) is None:
        it.know([], upto := upto + 50, False)
    for onset, declared in events:
        inside = (stamps >= onset - BEFORE) & (stamps <= declared + AFTER)
        assert kept[inside].all()


@pytest.mark.parametrize("before", [0, 1, 10])
def test_a_window_of_no_length_keeps_the_frame_of_its_event(before):
    it = keeper(before=before, after=0, late=0)
    it.know([[100, 100, "a"]], 200, False)
    assert verdict(it, 100 - before - 1, 100, 101) == [False, True, False]

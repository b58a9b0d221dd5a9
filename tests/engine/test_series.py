"""Numbers over a whole experiment: bounded, peaks kept, told by what has changed."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from scopeside.series.frame_times import MOST as MOST_PAIRS
from scopeside.series.frame_times import FrameTimes
from scopeside.series.trace import Point, Trace

MOST = 16
NUMBERS = st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), max_size=300)
SECOND = 1_000_000_000


def points(values: list[float]) -> list[Point]:
    return [(10 * at, value, math.nan, math.nan) for at, value in enumerate(values)]


def trace_of(values: list[float], most: int = MOST) -> Trace:
    trace = Trace(most)
    for at, point in enumerate(points(values)):
        trace.add(point, at + 1)
    return trace


class Copy:
    """What a tab has: it asks now and then."""

    def __init__(self) -> None:
        self.points: list[Point] = []
        self.revision = 0

    def ask(self, trace: Trace, revision: int) -> None:
        changed = trace.since(self.revision)
        self.revision = revision
        if changed is not None:
            after = -1 if changed.after is None else changed.after
            kept = [point for point in self.points if point[0] <= after]
            self.points = kept + changed.points


def numbers(some: list[Point]) -> list[float]:
    return [value for _, value, *_ in some if not math.isnan(value)]


@given(NUMBERS)
def test_what_is_kept_is_bounded_and_in_order(values: list[float]) -> None:
    trace = trace_of(values)
    times = [t_ns for t_ns, *_ in trace.points]
    assert len(times) <= MOST + 3
    assert times == sorted(set(times))


@given(NUMBERS)
def test_peaks_and_both_ends_survive(values: list[float]) -> None:
    kept = trace_of(values).points
    came = points(values)
    assert [p[:1] for p in kept[:1]] == [p[:1] for p in came[:1]]
    assert [p[:1] for p in kept[-1:]] == [p[:1] for p in came[-1:]]
    if numbers(came):
        assert max(numbers(kept)) == max(numbers(came))
        assert min(numbers(kept)) == min(numbers(came))
    assert set(numbers(kept)) <= set(numbers(came))


@given(NUMBERS, st.integers(1, 40))
def test_who_asks_now_and_then_has_what_who_asks_once_has(
    values: list[float], often: int
) -> None:
    trace, copy = Trace(MOST), Copy()
    for at, point in enumerate(points(values)):
        trace.add(point, at + 1)
        if at % often == 0:
            copy.ask(trace, at + 1)
    copy.ask(trace, len(values))
    assert [p[0] for p in copy.points] == [p[0] for p in trace.points]


def test_as_long_as_there_is_room_all_points_are_kept() -> None:
    values = [float(at % 7) for at in range(MOST)]
    assert numbers(trace_of(values).points) == values


def test_old_and_new_times_are_resolved_alike() -> None:
    values = [math.sin(at) for at in range(100_000)]
    times = [t_ns for t_ns, *_ in trace_of(values, 256).points]
    early = sum(t_ns < 500_000 for t_ns in times)
    assert 0.4 < early / len(times) < 0.6


def test_a_point_that_is_not_later_than_the_last_is_left_out() -> None:
    trace = trace_of([1.0, 2.0])
    trace.add((10, 5.0, math.nan, math.nan), 3)
    trace.add((5, 5.0, math.nan, math.nan), 4)
    assert numbers(trace.points) == [1.0, 2.0]
    assert trace.since(2) is None


def test_what_was_before_is_put_before() -> None:
    trace = Trace()
    trace.add((50, 5.0, math.nan, math.nan), 1)
    trace.put_before([(10, 1.0, math.nan, math.nan), (50, 9.0, math.nan, math.nan)], 2)
    assert [(t_ns, value) for t_ns, value, *_ in trace.points] == [(10, 1.0), (50, 5.0)]
    changed = trace.since(1)
    assert changed is not None
    assert changed.after is None
    assert len(changed.points) == 2


def test_a_history_that_is_told_anew_replaces_what_was_told() -> None:
    trace, copy = trace_of([1.0, 2.0, 3.0, 4.0]), Copy()
    copy.ask(trace, 4)
    trace.replace_from(20, [(20, 8.0, math.nan, math.nan)], 5)
    copy.ask(trace, 5)
    assert numbers(copy.points) == numbers(trace.points) == [1.0, 2.0, 8.0]


@given(st.lists(st.integers(1, 10**9), min_size=2, max_size=40), st.data())
def test_the_time_of_a_frame_that_was_told_is_that_time(
    steps: list[int], data: st.DataObject
) -> None:
    times, t_ns, told = FrameTimes(), 10**15, {}
    for frame, step in enumerate(steps):
        t_ns += step
        told[3 * frame] = t_ns
        times.learn(3 * frame, t_ns)
    frame = data.draw(st.sampled_from(sorted(told)))
    assert times.at(frame) == told[frame]


def test_frames_before_and_after_what_is_known_are_a_frame_time_apart() -> None:
    times = FrameTimes(0.5)
    assert times.at(3) is None
    times.learn(10, 100 * SECOND)
    assert times.at(0) == 95 * SECOND
    assert times.at(12) == 101 * SECOND


def test_a_result_that_lags_behind_the_frames_tells_no_wrong_time() -> None:
    times = FrameTimes(0.1)
    times.learn(3, 100 * SECOND)  # of frame 3, but published with a later one
    times.learn(500, 100 * SECOND)
    assert times.at(3) == 100 * SECOND - 497 * SECOND // 10


def test_times_of_a_long_movie_stay_bounded_and_right() -> None:
    times = FrameTimes()
    for frame in range(20 * MOST_PAIRS):
        times.learn(frame, (frame + 1) * SECOND)
    assert times.at(0) == SECOND
    assert times.at(1234) == 1235 * SECOND
    assert times.newest == 20 * MOST_PAIRS - 1

"""Joins by time, against a plain search."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scopeside.join import join_series, match, match_one

TIMES = st.lists(st.integers(0, 60), max_size=12)
JOINS = ("previous", "nearest", "linear")


def plainly(frame, samples, tolerance, join):
    """The value that belongs to a frame, by looking at every sample."""
    before = [s for s in samples if s[0] <= frame]
    after = [s for s in samples if s[0] > frame]
    if join == "nearest":
        near = sorted(samples, key=lambda s: (abs(s[0] - frame), s[0]))
        near = [s for s in near if abs(s[0] - frame) <= tolerance]
        return near[0][1] if near else np.nan
    if not before or frame - before[-1][0] > tolerance:
        return np.nan
    t0, v0 = before[-1]
    if join == "previous" or t0 == frame:
        return v0
    if not after or after[0][0] - frame > tolerance:
        return np.nan
    t1, v1 = after[0]
    return v0 + (v1 - v0) * (frame - t0) / (t1 - t0)


@pytest.mark.parametrize("join", JOINS)
@given(st.sets(st.integers(0, 60), max_size=12), TIMES, st.integers(1, 30))
def test_a_frame_gets_what_a_plain_search_finds(join, times, frames, tolerance):
    samples = [(t, float(k * k)) for k, t in enumerate(sorted(times))]
    found = join_series(
        np.array(frames, np.int64),
        np.array([t for t, _ in samples], np.int64),
        np.array([v for _, v in samples]),
        tolerance,
        join,
    )
    expected = [plainly(frame, samples, tolerance, join) for frame in frames]
    np.testing.assert_allclose(found, np.array(expected, float), rtol=1e-12)


@pytest.mark.parametrize("join", JOINS)
@given(st.sets(st.integers(0, 60), max_size=12), TIMES, st.integers(1, 30))
def test_a_single_frame_gets_the_sample_that_it_gets_among_many(
    join, times, frames, tolerance
):
    samples = np.array(sorted(times), np.int64)
    many = match(np.array(frames, np.int64), samples, tolerance, join).tolist()
    assert [match_one(t, samples, tolerance, join) for t in frames] == many


@pytest.mark.parametrize(
    ("join", "expected"),
    [
        ("previous", [np.nan, 1.0, 1.0, 2.0, 2.0, np.nan]),
        ("nearest", [1.0, 1.0, 1.0, 2.0, 2.0, np.nan]),
        ("linear", [np.nan, 1.0, 1.5, 2.0, np.nan, np.nan]),
    ],
)
def test_a_case_that_can_be_worked_out_by_hand(join, expected):
    frames = np.array([95, 100, 105, 110, 115, 121])
    samples, values = np.array([100, 110]), np.array([1.0, 2.0])
    found = join_series(frames, samples, values, 10, join)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("join", JOINS)
def test_the_tolerance_belongs_to_it_and_one_nanosecond_more_does_not(join):
    frames = np.array([1_000_000_010, 1_000_000_011])
    assert match(frames, np.array([1_000_000_000]), 10, join).tolist() == [0, -1]


@pytest.mark.parametrize("join", JOINS)
def test_without_samples_no_frame_has_any(join):
    nothing = np.array([], np.int64)
    assert np.isnan(join_series(np.array([1, 2]), nothing, np.array([]), 5, join)).all()
    assert len(join_series(nothing, np.array([1]), np.array([1.0]), 5, join)) == 0


def test_the_ends_of_time_and_of_numbers_do_not_overflow():
    frames = np.array([0, (1 << 62) - 1])
    samples, values = np.array([0, (1 << 62) - 1]), np.array([-1e308, 1e308])
    for join in JOINS:
        found = join_series(frames, samples, values, 10, join)
        np.testing.assert_array_equal(found, values)
    middle = join_series(np.array([1 << 61]), samples, values, 1 << 62, "linear")
    assert np.isfinite(middle).all()

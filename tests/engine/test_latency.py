"""Ages of frames: bins are 12 % wide, and quantiles never flatter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scopeside.latency import Latencies

AGES = st.lists(
    st.tuples(st.floats(1e-5, 100), st.integers(1, 50)), min_size=1, max_size=20
)


def counted(ages):
    found = Latencies()
    for seconds, frames in ages:
        found.add(seconds, frames)
    return found


@settings(deadline=None, max_examples=100)
@given(AGES, st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_is_at_most_one_bin_above_the_truth(ages, share):
    every = np.sort(np.repeat([a for a, _ in ages], [n for _, n in ages]))
    truth = every[int(np.ceil(share * len(every))) - 1]
    found = counted(ages).quantile(share)
    assert truth * 0.999 <= found <= truth * 1.13


@settings(deadline=None, max_examples=50)
@given(AGES, AGES)
def test_two_counts_merged_are_one_count(first, second):
    merged = counted(first)
    merged.merge(counted(second))
    assert merged.counts == counted(first + second).counts
    assert Latencies(merged.counts).summary_ms() == merged.summary_ms()


@settings(deadline=None, max_examples=50)
@given(AGES)
def test_cumulative_counts_grow_and_end_at_all_frames(ages):
    found = counted(ages)
    cumulative = found.cumulative([1e-5, 0.01, 1.0, 1000.0])
    assert cumulative == sorted(cumulative)
    assert cumulative[-1] == found.frames == sum(n for _, n in ages)


def test_without_frames_there_is_no_quantile():
    assert Latencies().summary_ms() == {
        "p50": None,
        "p95": None,
        "p99": None,
        "max": None,
    }


def test_the_summary_is_in_milliseconds():
    summary = counted([(0.010, 99), (1.0, 1)]).summary_ms()
    assert summary["p50"] == pytest.approx(10, rel=0.13)
    assert summary["max"] == pytest.approx(1000, rel=0.13)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e-9])
def test_ages_too_small_to_tell_lie_in_the_first_bin(seconds):
    assert counted([(seconds, 3)]).counts == {0: 3}


def test_an_edge_holds_its_own_bin():
    assert counted([(0.01, 5)]).cumulative([0.01]) == [5]


def test_the_sum_is_that_of_the_bins():
    assert counted([(0.01, 10)]).sum_s == pytest.approx(0.1, rel=0.13)

"""Samples in order of time and times of frames, both within bounds."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scopeside.collect import samples as module
from scopeside.collect.samples import FrameTimes, Samples

PAIRS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), max_size=60)


def add(samples, pairs):
    times = np.array([t for t, _ in pairs], np.int64)
    samples.add(times, np.array([v for _, v in pairs], float))


@given(st.lists(PAIRS, max_size=6), st.randoms())
def test_whatever_comes_in_whatever_order_makes_the_same(groups, random):
    one, other = Samples(1000), Samples(1000)
    every = [pair for group in groups for pair in group]
    for group in groups:
        add(one, group)
    shuffled = random.sample(every, len(every))
    add(other, shuffled + shuffled[:3])
    expected = sorted(set(every))
    for samples in (one, other):
        found = zip(samples.times.tolist(), samples.values.tolist(), strict=True)
        assert list(found) == expected
        assert len(samples) == len(expected)
        assert samples.newest_ns == (expected[-1][0] if expected else -1)


def test_beyond_the_limit_the_oldest_go_and_are_counted():
    samples = Samples(100)
    for k in range(1000):
        add(samples, [(k, k)])
        assert len(samples) <= 100
    assert samples.dropped + len(samples) == 1000
    assert samples.times[-1] == 999
    np.testing.assert_array_equal(samples.times, samples.values)


def test_a_copy_goes_its_own_way():
    samples = Samples(10)
    add(samples, [(1, 1)])
    copy = samples.copy(20)
    add(copy, [(2, 2)])
    assert (len(samples), len(copy)) == (1, 2)


def test_times_of_frames_are_kept_by_index():
    times = FrameTimes(4)
    times.add(np.array([2, 0]), np.array([20, 5]))
    times.add(np.array([9]), np.array([90]))
    times.add(np.array([2]), np.array([20]))
    index, known = times.known
    assert (index.tolist(), known.tolist()) == ([0, 2, 9], [5, 20, 90])
    assert (times.newest_ns, times.highest) == (90, 9)


def test_frames_that_cannot_be_kept_are_left_out(monkeypatch):
    monkeypatch.setattr(module, "MAX_FRAMES", 100)
    times = FrameTimes(1 << 60)
    times.add(np.array([1, 99, 100, -1, 5]), np.array([1, 2, 3, 4, -5]))
    index, known = times.known
    assert (index.tolist(), known.tolist()) == ([1, 99], [1, 2])
    assert times.beyond


def test_before_the_first_frame_nothing_is_known():
    index, known = FrameTimes(None).known
    assert len(index) == len(known) == 0

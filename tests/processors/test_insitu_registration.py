"""The estimator of drift: its template, its prior, and what it makes of odd pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.processors.movies import movie

from scopeside_processors.insitu.registration import Registration

SHAPE = (96, 96)


def registered(frames):
    estimator = Registration(frames.shape[1:])
    return [estimator.register(frame, float(frame.mean())) for frame in frames]


def shifts(frames):
    return np.array([estimate.shift for estimate in registered(frames)])


@settings(max_examples=10, deadline=None)
@given(st.floats(-6, 6), st.floats(-6, 6))
def test_a_shift_is_found_to_a_tenth_of_a_pixel(dy, dx):
    way = np.zeros((6, 2))
    way[1:] = [dy, dx]
    found = shifts(movie(way, shape=SHAPE, dose=1e3, rms=0.15))
    np.testing.assert_allclose(found[2:], way[2:], atol=0.1)


def test_hot_pixels_that_stand_still_do_not_hold_it_back():
    steady = np.arange(20)[:, None] * np.array([0.3, -0.2])
    frames = movie(steady, shape=SHAPE, dose=20.0, rms=0.15)
    rows, columns = np.random.default_rng(0).integers(0, 96, (2, 8))
    frames[:, rows, columns] += 400
    assert np.abs(shifts(frames) - steady).max() < 0.4


def test_brightness_that_flickers_moves_nothing():
    steady = np.arange(20)[:, None] * np.array([0.3, -0.2])
    frames = movie(steady, shape=SHAPE, dose=40.0, rms=0.15)
    flicker = np.random.default_rng(1).uniform(0.5, 1, 20)
    frames = np.random.default_rng(2).binomial(frames, flicker[:, None, None])
    assert np.abs(shifts(frames) - steady).max() < 0.4


@pytest.mark.parametrize("dtype", [np.uint8, np.uint32, np.int32, np.float32])
def test_the_dtype_of_counts_does_not_matter(dtype):
    frames = movie(np.arange(6)[:, None] * [0.4, 0.1], shape=(64, 48), dose=20)
    np.testing.assert_allclose(shifts(frames.astype(dtype)), shifts(frames), atol=1e-4)


def test_the_match_is_whole_with_the_same_and_small_with_other_content():
    same = movie(np.zeros((30, 2)), shape=SHAPE, dose=20, rms=0.15, seed=1)
    other = movie(np.zeros((1, 2)), shape=SHAPE, dose=20, rms=0.15, seed=2)
    found = registered(np.concatenate([same, other]))
    assert found[29].match == pytest.approx(1, abs=0.2)
    assert found[30].match < 0.4
    assert found[30].evidence > 100


def test_it_goes_on_from_its_state_bit_for_bit():
    frames = movie(np.arange(8)[:, None] * [0.4, 0.1], shape=(64, 48), dose=10)
    whole, moved = Registration((64, 48)), Registration((64, 48))
    for frame in frames[:5]:
        whole.register(frame, float(frame.mean()))
    moved.take_over(whole.state())
    for frame in frames[5:]:
        one, other = (e.register(frame, float(frame.mean())) for e in (whole, moved))
        assert np.array_equal(one.shift, other.shift)
        assert np.array_equal(one.covariance, other.covariance)


def test_what_it_has_forgotten_does_not_matter():
    first = movie(np.zeros((5, 2)), shape=(64, 48), dose=10, seed=4)
    frames = movie(np.arange(5)[:, None] * [0.4, 0.1], shape=(64, 48), dose=10)
    used = Registration((64, 48))
    for frame in first:
        used.register(frame, float(frame.mean()))
    used.reset()
    again = [used.register(frame, float(frame.mean())).shift for frame in frames]
    assert np.array_equal(again, shifts(frames))

"""Shifts say where content goes, and bins what it comes to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from scopeside_processors.kernels.binning import binned
from scopeside_processors.kernels.shift import average_in, to_frame, to_specimen

NUMBERS = np.arange(20, dtype=np.uint16).reshape(4, 5)
SMOOTH = ndimage.gaussian_filter(
    np.random.default_rng(0).standard_normal((48, 56)), 2.5, mode="wrap"
).astype(np.float32)
DRIFTS = st.tuples(st.floats(-9, 9), st.floats(-9, 9))


def shifted(frame, drift, how="linear", fill=-1.0):
    dtype = frame.dtype if how == "integer" else np.float32
    out = np.empty(frame.shape, dtype)
    return out, to_specimen(frame, drift, out, how, fill)


def test_content_that_drifted_down_and_right_comes_back_up_and_left():
    frame = np.zeros((6, 7), np.uint16)
    frame[3, 5] = 9
    out, found = shifted(frame, (2, 3), "integer", 0)
    assert out[1, 2] == 9
    assert out.sum() == 9
    assert found == (0, 4, 0, 4)
    back = np.empty_like(frame)
    assert to_frame(out, (2, 3), back, "integer", 0) == (2, 6, 3, 7)
    assert np.array_equal(back, frame)


@pytest.mark.parametrize("how", ["linear", "cubic"])
@pytest.mark.parametrize("drift", [(0, 0), (1, -2), (-3, 4), (3, 0), (-40, 2)])
def test_whole_pixels_are_copied_as_they_are(how, drift):
    exact, where = shifted(NUMBERS, drift, "integer", 77)
    out, found = shifted(NUMBERS, drift, how, 77)
    assert found == where
    assert np.array_equal(out, exact)
    assert np.all(out[~found.mask(out.shape)] == 77)


def test_half_a_pixel_is_the_mean_of_two():
    out, found = shifted(NUMBERS, (0.5, -0.5))
    assert found == (0, 3, 1, 5)
    assert np.array_equal(out[0], [-1, 3, 4, 5, 6])
    assert np.all(out[3] == -1)


@settings(max_examples=60, deadline=None)
@given(DRIFTS)
def test_linear_and_cubic_are_what_spline_and_direct_sums_give(drift):
    places = np.mgrid[:48, :56].astype(float) + np.array(drift)[:, None, None]
    for how, taps in (("linear", 1), ("cubic", 2)):
        out, found = shifted(SMOOTH, drift, how)
        inside = found.inside
        whole = np.floor(places)
        total = np.zeros(SMOOTH.shape)
        for dy in range(1 - taps, taps + 1):
            for dx in range(1 - taps, taps + 1):
                y, x = whole[0] + dy, whole[1] + dx
                weight = keys(places[0] - y, taps) * keys(places[1] - x, taps)
                rows = np.clip(y, 0, 47).astype(int)
                columns = np.clip(x, 0, 55).astype(int)
                total += weight * SMOOTH[rows, columns]
        np.testing.assert_allclose(out[inside], total[inside], atol=2e-6)
        assert np.all(out[~found.mask(out.shape)] == -1)


def keys(u, taps):
    """Weight of a pixel at distance `u`: a triangle, or cubic with a = -1/2."""
    u = np.abs(u)
    if taps == 1:
        return np.clip(1 - u, 0, None)
    near, far = 1.5 * u**3 - 2.5 * u**2 + 1, -0.5 * u**3 + 2.5 * u**2 - 4 * u + 2
    return np.where(u <= 1, near, np.where(u < 2, far, 0))


@settings(max_examples=40, deadline=None)
@given(DRIFTS)
def test_fourier_moves_a_periodic_picture_exactly(drift):
    y, x = np.mgrid[:48, :57].astype(float)
    dy, dx = drift

    def wave(y, x):
        return np.cos(2 * np.pi * (3 * y / 48 + 5 * x / 57)) + np.sin(
            2 * np.pi * (7 * y / 48 - 2 * x / 57)
        )

    out, found = shifted(wave(y, x).astype(np.float32), drift, "fourier")
    inside = found.inside
    expected = wave(y + dy, x + dx)[inside]
    np.testing.assert_allclose(out[inside], expected, atol=2e-5)
    assert found.row1 - found.row0 >= 48 - 10
    assert np.all(out[~found.mask(out.shape)] == -1)


@settings(max_examples=40, deadline=None)
@given(DRIFTS, st.sampled_from(["linear", "cubic"]))
def test_cubic_is_closer_than_linear_and_both_are_close(drift, how):
    there = ndimage.shift(SMOOTH.astype(float), drift, order=5, mode="grid-wrap")
    out, found = shifted(there.astype(np.float32), drift, how)
    inside = found.inside
    error = np.abs(out[inside] - SMOOTH[inside]).max(initial=0) / SMOOTH.std()
    assert error < {"linear": 0.15, "cubic": 0.02}[how]


@pytest.mark.parametrize("dtype", ["u1", ">u2", "i2", "f2", "f8"])
def test_every_kind_of_pixel_is_taken(dtype):
    frame = NUMBERS.astype(dtype)
    out, found = shifted(frame, (0.25, 1.0))
    inside = found.inside
    assert np.array_equal(out[inside], NUMBERS[:3, 1:] + np.float32(1.25))
    assert np.array_equal(binned(frame, 2), [[0 + 1 + 5 + 6, 2 + 3 + 7 + 8], [52, 60]])


def test_what_is_no_number_stays_where_it_is():
    frame = SMOOTH.copy()
    frame[10, 20] = np.nan
    out, _ = shifted(frame, (2.5, 3.0))
    assert np.argwhere(np.isnan(out)).tolist() == [[7, 17], [8, 17]]


@pytest.mark.parametrize("how", ["integer", "linear", "cubic", "fourier"])
def test_a_drift_out_of_the_field_leaves_nothing(how):
    out, found = shifted(SMOOTH, (100.5, -3), how, 5)
    assert found.empty
    assert np.all(out == 5)


def test_what_cannot_be_is_refused():
    out = np.empty((4, 5), np.float32)
    with pytest.raises(ValueError, match="NaN"):
        to_specimen(NUMBERS, (np.nan, 0), out)
    with pytest.raises(ValueError, match=r"goes into uint16 of the same shape"):
        to_specimen(NUMBERS, (0, 0), out, "integer")
    with pytest.raises(ValueError, match=r"not into float32 \(4, 4\)"):
        to_specimen(NUMBERS, (0, 0), out[:, :4])
    with pytest.raises(ValueError, match=r"seen is uint16 \(4, 5\)"):
        average_in(NUMBERS, (0, 0), out, np.zeros((4, 5), np.int64), 3)
    with pytest.raises(ValueError, match="1 pixel a side"):
        binned(NUMBERS, 0)
    with pytest.raises(ValueError, match=r"bins go into float32 \(2, 2\)"):
        binned(NUMBERS, 2, out)


def test_an_average_is_plain_until_it_forgets():
    rng = np.random.default_rng(3)
    frames = rng.poisson(8, (9, 12, 14)).astype(np.uint16)
    mean, seen = np.zeros((12, 14), np.float32), np.zeros((12, 14), np.uint16)
    for frame in frames[:4]:
        assert average_in(frame, (0, 0), mean, seen, 4) == (0, 12, 0, 14)
    np.testing.assert_allclose(mean, frames[:4].mean(axis=0), rtol=1e-6)
    expected = frames[:4].mean(axis=0)
    for frame in frames[4:]:
        average_in(frame, (0, 0), mean, seen, 4)
        expected += (frame - expected) / 4
    np.testing.assert_allclose(mean, expected, rtol=1e-5)
    assert np.all(seen == 9)


def test_a_pixel_that_comes_in_later_has_seen_fewer_frames():
    mean, seen = np.zeros((4, 5), np.float32), np.zeros((4, 5), np.uint16)
    average_in(NUMBERS, (0, 0), mean, seen, 10)
    found = average_in(NUMBERS, (0, 2), mean, seen, 10)
    assert found == (0, 4, 0, 3)
    assert np.all(seen == [2, 2, 2, 1, 1])
    assert np.array_equal(mean[0], [1, 2, 3, 3, 4])


def test_an_average_counts_no_further_than_it_can():
    mean, seen = np.zeros((4, 5), np.float32), np.full((4, 5), 65535, np.uint16)
    average_in(NUMBERS, (0, 0), mean, seen, 2)
    assert np.all(seen == 65535)
    assert np.array_equal(mean, NUMBERS / 2)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 7))
def test_bins_are_exact_sums_and_leave_out_what_fills_none(height, width, factor):
    frame = np.random.default_rng(0).integers(0, 65536, (height, width), np.uint16)
    rows, columns = height // factor, width // factor
    whole = frame[: rows * factor, : columns * factor].astype(np.int64)
    cut = whole.reshape(rows, factor, columns, factor)
    assert np.array_equal(binned(frame, factor), cut.sum(axis=(1, 3)))

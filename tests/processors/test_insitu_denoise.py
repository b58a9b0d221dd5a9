"""The denoised view has the noise it says, and lies where it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.processors.movies import movie

import scopeside
from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.testing import check_processor
from scopeside_processors.insitu.denoise import Denoise, smoothed
from scopeside_processors.insitu.running_mean import RunningMean, effective_frames
from scopeside_processors.insitu.stabilise import SHARED, STILL

RNG = np.random.default_rng(7)
FLAT = RNG.poisson(4.0, (90, 64, 64)).astype(np.uint16)
WALK = np.cumsum(RNG.normal(0, 0.4, (24, 2)), axis=0)
WALK -= WALK[0]


def denoiser(frames, **params):
    acquisition = Acquisition("test", frames.shape[1:], frames.dtype)
    return Denoise(acquisition, Denoise.Params(**params))


def fed(processor, frames, first=0, **shared):
    index = np.arange(first, first + len(frames))
    processor.process(Batch(frames, index, index, shared=shared))
    return list(processor.results())


@pytest.mark.parametrize(("frames", "expected"), [(1, 1), (8, 8), (16, 16), (90, 31)])
def test_noise_falls_as_the_effective_number_of_frames_says(frames, expected):
    found = fed(denoiser(FLAT, every=1, correct_drift=False), FLAT[:frames])[-1]
    assert found.meta["effective_frames"] == pytest.approx(expected, rel=0.01)
    assert found.meta["effective_frames_min"] == pytest.approx(expected, rel=0.01)
    # The variance of 4096 pixels is known to 2 % (one standard deviation).
    assert found.data.var() * expected / 4.0 == pytest.approx(1, abs=0.1)
    assert found.data.mean() == pytest.approx(4.0, rel=0.02)
    assert found.used == frames


@given(st.integers(1, 200))
def test_a_mean_is_worth_its_frames_and_later_twice_its_memory(memory):
    worth = effective_frames(memory)
    np.testing.assert_allclose(worth[: memory + 1], np.arange(memory + 1))
    assert np.all(np.diff(worth) >= -1e-9)
    assert worth[-1] == pytest.approx(2 * memory - 1, rel=1e-3)


@pytest.mark.parametrize(
    ("how", "share"), [("linear", 0.75), ("cubic", 0.75), ("integer", 0.9)]
)
def test_a_drifting_specimen_stays_sharp_in_the_frame_that_is_looked_at(how, share):
    clean = movie(WALK, shape=(96, 96), dose=2e4, rms=0.15)[-1] / 4e3
    frames = movie(WALK, shape=(96, 96), dose=5.0, rms=0.15)
    found = fed(denoiser(frames, every=1, memory=24, shift=how), frames)[-1]
    assert found.valid
    assert found.mask is None
    inner = np.s_[16:-16, 16:-16]
    error = np.std((found.data - clean)[inner])
    blurred = np.std((frames.mean(axis=0) - clean)[inner])
    assert error < share * blurred
    assert error < 0.4 * np.std((frames[-1] - clean)[inner])
    assert found.data.dtype == np.float32


def test_content_lies_where_the_coordinates_say():
    frames = np.ones((6, 40, 50), np.uint16)
    for t in range(6):
        frames[t, 20 + t, 25 - 2 * t] = 100
    drifts = tuple(replace(STILL, dy=float(t), dx=-2.0 * t) for t in range(6))
    for where, place in (("frame", (25, 15)), ("specimen", (20, 25))):
        processor = denoiser(frames, every=1, coordinates=where)
        found = fed(processor, frames, **{SHARED: drifts})[-1]
        peak = np.unravel_index(np.nanargmax(found.data), found.data.shape)
        assert peak == place
        assert found.data[place] == pytest.approx(100)
        assert found.meta["drift"] == [5.0, -10.0]


def test_what_has_entered_the_field_lately_is_worth_less():
    frames = FLAT[:6]
    drifts = tuple(replace(STILL, dy=3.0 * t) for t in range(6))
    found = fed(denoiser(FLAT, every=1), frames, **{SHARED: drifts})[-1]
    assert found.meta["effective_frames_min"] == 1
    assert found.meta["effective_frames"] == pytest.approx(6 - 3 * 15 / 64)
    assert np.array_equal(found.data[:3], frames[5][:3])


def test_content_that_is_new_begins_anew():
    frames = FLAT[:8]
    drifts = tuple(replace(STILL, segment=int(t >= 5)) for t in range(8))
    found = fed(denoiser(FLAT, every=1), frames, **{SHARED: drifts})
    assert [r.used for r in found] == [1, 2, 3, 4, 5, 1, 2, 3]
    assert [r.first for r in found[4:6]] == [0, 5]
    np.testing.assert_allclose(found[-1].data, frames[5:].mean(axis=0), rtol=1e-5)


def test_frames_that_are_not_found_or_not_usable_stay_out_of_the_mean():
    frames = FLAT[:5].copy()
    frames[3] = 0
    drifts = [STILL] * 5
    drifts[1] = replace(STILL, lock=0.1)
    found = fed(denoiser(FLAT, every=1), frames, **{SHARED: tuple(drifts)})
    assert [r.valid for r in found] == [True, False, True, False, True]
    assert found[1].reason == "the frame is not found on those before"
    assert found[3].reason == "no counts"
    np.testing.assert_allclose(found[4].data, frames[[0, 2, 4]].mean(axis=0), rtol=1e-5)


def test_a_view_comes_with_every_so_manieth_frame():
    found = fed(denoiser(FLAT, every=4, correct_drift=False), FLAT[:10])
    assert [r.frame for r in found] == [0, 4, 8]


def test_a_large_frame_is_shown_in_bins_with_counts_per_pixel():
    frames = np.full((2, 40, 1100), 3, np.uint8)
    frames[1, 0, 0] = 7
    found = fed(denoiser(frames, every=1, correct_drift=False), frames)[-1]
    assert found.data.shape == (20, 550)
    assert found.meta["binning"] == 2
    assert found.data[0, 0] == 3.5
    assert np.all(found.data[1:] == 3)


def test_a_brighter_exposure_carries_the_mean_along():
    mean = RunningMean((4, 5), 8)
    mean.take(np.full((4, 5), 12, np.uint16), (0, 0))
    mean.scale(3.0, 2.0)
    assert np.all(mean.seen_from((0, 0)).mean == 32)


def test_a_gaussian_neither_fills_holes_nor_darkens_their_edges():
    picture = np.full((20, 30), 4, np.float32)
    picture[5:9, :6] = np.nan
    found = smoothed(picture, 2.0)
    assert np.array_equal(np.isnan(found), np.isnan(picture))
    np.testing.assert_allclose(found[np.isfinite(found)], 4, rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=6))
def test_a_mean_of_equal_frames_is_that_frame_wherever_they_lie(drifts):
    mean = RunningMean((16, 18), 3)
    frame = np.full((16, 18), 5, np.uint16)
    for drift in drifts:
        mean.take(frame, drift)
    view = mean.seen_from(drifts[-1], frame)
    np.testing.assert_allclose(view.mean, 5, rtol=1e-6)
    assert view.worth.min() >= 1


def test_bad_input_is_survived_and_named():
    frames = FLAT[:7].astype(np.float32)
    frames[1, 3, 3] = np.nan
    frames[2] = 0
    frames[4] = frames[3]
    found = list(scopeside.apply("denoise", frames, every=1))
    reasons = [r.reason for r in found]
    assert reasons[1] == "not a number"
    assert reasons[2] == "no counts"
    assert reasons[4] == "the same picture as before"
    assert all(np.isfinite(r.data).all() for r in found if r.valid)


def test_keeps_the_laws_of_a_processor():
    frames = movie(WALK[:12], shape=(64, 64), dose=10.0)
    check_processor(Denoise, frames, params={"every": 2, "memory": 4})

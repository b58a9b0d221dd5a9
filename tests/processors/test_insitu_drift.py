"""Drift is found as well as it says, and frames come back to where they were."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.processors.movies import movie

import scopeside
from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.errors import ConfigError, ShapeError
from scopeside.testing import check_processor
from scopeside_processors.insitu.denoise import Denoise
from scopeside_processors.insitu.drift import LOST, VALID, DriftCorrection
from scopeside_processors.insitu.drift_trace import RATE_FRAMES, Rate, Trace
from scopeside_processors.insitu.nucleation import Nucleation
from scopeside_processors.insitu.stabilise import SHARED

SHAPE = (96, 96)
WALK = np.cumsum(np.random.default_rng(5).normal(0, 0.4, (40, 2)), axis=0)
WALK -= WALK[0]
MOVIE = movie(WALK, shape=SHAPE, dose=20.0, rms=0.15)


def corrector(frames, calibration=None, **params):
    about = Acquisition(
        "test",
        frames.shape[1:],
        frames.dtype,
        frames=len(frames),
        calibration=calibration or {},
    )
    return DriftCorrection(about, DriftCorrection.Params(**params))


def fed(processor, frames, first=0):
    """Return the results of frames, and the batch that steps after it get."""
    index = np.arange(first, first + len(frames))
    batch = Batch(frames, index, index)
    passed = processor.process(batch)
    return list(processor.results()), batch if passed is None else passed


def drifts(frames, first=0, processor=None, **params):
    processor = processor or corrector(frames, **params)
    results, _ = fed(processor, frames, first)
    return [r for r in results if r.name == "drift"]


def vectors(results):
    return np.array([r.data for r in results])


def sigmas(results):
    return np.sqrt([np.diag(r.meta["covariance"]) for r in results])


def confidences(results):
    return np.array([r.meta["confidence"] for r in results])


# -- what is found ------------------------------------------------------------------


@pytest.mark.parametrize("dose", [20.0, 5.0, 2.0])
def test_a_walk_is_found_within_what_the_covariance_says(dose):
    pulls = []
    for seed in range(4):
        found = drifts(movie(WALK, shape=SHAPE, dose=dose, rms=0.15, seed=seed))
        assert all(r.valid for r in found)
        error = (vectors(found) - WALK)[1:]
        # How well frame 0 itself lies on the template is common to all, and not in it.
        pulls.append((error - np.median(error, axis=0)) / sigmas(found)[1:])
        assert np.abs(error).max() < 8 * sigmas(found)[1:].mean()
    assert np.mean(np.abs(pulls) < 3) > 0.98
    assert 0.8 < np.std(pulls) < 1.25


def test_the_first_frame_has_not_moved():
    found = drifts(MOVIE[:1])[0]
    assert found.valid
    assert found.data.tolist() == [0.0, 0.0]
    assert found.meta["covariance"] == [[0.0, 0.0], [0.0, 0.0]]
    assert found.data.dtype == np.float64
    assert "rate_px_per_frame" not in found.meta


def test_content_that_moves_down_and_right_is_positive():
    steady = np.arange(12)[:, None] * np.array([0.5, 0.25])
    found = drifts(movie(steady, shape=SHAPE, dose=50.0, rms=0.15))
    np.testing.assert_allclose(found[-1].data, steady[-1], atol=0.2)
    rate = found[-1].meta["rate_px_per_frame"]
    np.testing.assert_allclose(rate, [0.5, 0.25], atol=0.05)


def test_a_jump_is_told_and_recovered_at_once():
    way = WALK.copy()
    way[20:] += [11.0, -8.0]
    found = drifts(movie(way, shape=SHAPE, dose=20.0, rms=0.15))
    assert [k for k, r in enumerate(found) if r.meta["jumped"]] == [20]
    assert np.abs(vectors(found) - way).max() < 0.5
    assert {r.meta["segment"] for r in found} == {0}


def test_a_small_growing_particle_does_not_pull():
    disk = (48.0, 40.0, lambda t: 0.25 * t, 0.8)
    found = drifts(movie(WALK, shape=SHAPE, dose=20.0, rms=0.15, disks=[disk]))
    assert np.abs(vectors(found) - WALK).max() < 0.5


def test_physical_units_are_those_of_the_calibration():
    known = {"pixel_size_m": [2e-10, 1e-10], "frame_time_s": 0.5}
    found = drifts(MOVIE[:8], calibration=known)[-1]
    np.testing.assert_allclose(found.meta["drift_nm"], found.data * [0.2, 0.1])
    rate = np.array(found.meta["rate_px_per_frame"])
    np.testing.assert_allclose(found.meta["rate_nm_per_s"], rate * [0.4, 0.2])


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 999),
    st.floats(0.3, 30),
    st.sampled_from([(32, 48), (40, 40), (64, 33)]),
)
def test_a_covariance_is_one_and_a_confidence_too(seed, dose, shape):
    way = np.cumsum(np.random.default_rng(seed).normal(0, 1, (6, 2)), axis=0)
    found = drifts(movie(way, shape=shape, dose=dose, seed=seed))
    covariances = np.array([r.meta["covariance"] for r in found])
    turned = covariances.transpose(0, 2, 1)
    np.testing.assert_allclose(covariances, turned, rtol=1e-9, atol=1e-12)
    assert np.linalg.eigvalsh(covariances[1:]).min() > 0
    assert np.all((confidences(found) >= 0) & (confidences(found) <= 1))


# -- bad input ----------------------------------------------------------------------


def test_bad_frames_are_invalid_and_those_after_them_are_found():
    frames = MOVIE[:20].astype(np.float32)
    frames[5] = 0
    frames[8, 3, 3] = np.nan
    frames[12] = frames[11]
    found = drifts(frames)
    reasons = {k: r.reason for k, r in enumerate(found) if not r.valid}
    assert reasons == {
        5: "no counts",
        8: "not a number",
        12: "the same picture as before",
    }
    for k in reasons:
        assert found[k].data.tolist() == found[k - 1].data.tolist()
        assert found[k].meta["confidence"] == 0
    usable = [k for k in range(20) if k not in reasons]
    assert np.abs(vectors(found)[usable] - WALK[usable]).max() < 0.5


def test_content_that_moved_on_behind_a_blanked_beam_is_found_again():
    way = np.zeros((40, 2))
    way[20:] = [7.0, -5.0]
    frames = movie(way, shape=SHAPE, dose=20.0, rms=0.15)
    frames[20:30] = 0
    found = drifts(frames)
    assert {r.reason for r in found[20:30]} == {"no counts"}
    assert np.abs(vectors(found[30:]) - way[30:]).max() < 0.5
    assert {r.meta["segment"] for r in found} == {0}


def test_frames_that_were_never_seen_are_a_gap_and_no_harm():
    steady = np.arange(40)[:, None] * np.array([0.3, -0.2])
    frames = movie(steady, shape=SHAPE, dose=20.0, rms=0.15)
    processor = corrector(frames)
    drifts(frames[:20], processor=processor)
    found = drifts(frames[32:], 32, processor)
    assert np.abs(vectors(found) - steady[32:]).max() < 0.5
    np.testing.assert_allclose(
        found[-1].meta["rate_px_per_frame"], [0.3, -0.2], atol=0.05
    )


def test_noise_alone_is_never_sure():
    noise = np.random.default_rng(2).poisson(3.0, (40, *SHAPE)).astype(np.uint16)
    found = drifts(noise)
    assert confidences(found)[1:].max() < 0.5


def test_flat_frames_are_survived():
    flat = np.full((6, *SHAPE), 7, np.uint8)
    found = drifts(flat)
    assert np.isfinite(vectors(found)).all()
    assert confidences(found)[1:].max() < 0.5


def test_everything_moving_on_its_own_is_not_surely_somewhere():
    pictures = [movie(np.zeros((1, 2)), dose=20, rms=0.15, seed=s)[0] for s in range(9)]
    found = drifts(np.array(pictures))
    assert confidences(found)[1:].max() < 0.5


def test_content_that_is_entirely_new_begins_a_segment():
    parts = [
        movie(np.zeros((n, 2)), shape=SHAPE, dose=20, rms=0.15, seed=n)
        for n in (25, 30)
    ]
    found = drifts(np.concatenate(parts))
    segments = [r.meta["segment"] for r in found]
    assert segments[:25] == [0] * 25
    assert segments[-1] == 1
    assert sorted(segments) == segments
    lost = [r for r in found[25:] if r.meta["segment"] == 0]
    assert all(r.meta["confidence"] < 0.5 for r in lost)
    new = [r for r in found if r.meta["segment"] == 1]
    assert np.abs(vectors(new) - new[0].data).max() < 0.5
    assert new[-1].meta["confidence"] > 0.5
    assert new[-1].first == new[0].frame


def test_frames_of_another_size_are_refused():
    with pytest.raises(ShapeError, match=r"\(96, 96\)"):
        fed(corrector(MOVIE), np.zeros((1, 8, 8), np.uint16))


# -- frames moved back --------------------------------------------------------------


def test_with_whole_pixels_counts_stay_exact():
    results, passed = fed(corrector(MOVIE, correct="integer"), MOVIE)
    assert passed.pixels.dtype == MOVIE.dtype
    whole = np.floor(vectors(r for r in results if r.name == "drift") + 0.5).astype(int)
    for k, (y, x) in enumerate(whole):
        row0, row1, column0, column1 = passed.shared[VALID][k]
        inside = passed.pixels[k, row0:row1, column0:column1]
        there = MOVIE[k, row0 + y : row1 + y, column0 + x : column1 + x]
        assert np.array_equal(inside, there)
        assert row1 - row0 == 96 - abs(y)
        assert column1 - column0 == 96 - abs(x)
    left = np.array([(d.dy, d.dx) for d in passed.shared[SHARED]])
    assert np.abs(left).max() <= 0.5


def test_what_has_no_content_gets_the_mean_of_the_frame():
    way = np.zeros((4, 2))
    way[2:] = [9.0, 0.0]
    frames = movie(way, shape=SHAPE, dose=20.0, rms=0.15)
    for how, level in (("integer", round), ("linear", np.float32)):
        _, passed = fed(corrector(frames, correct=how), frames)
        row1 = passed.shared[VALID][3, 1]
        assert row1 < 96
        assert np.all(passed.pixels[3, row1:] == level(frames[3].mean()))


@pytest.mark.parametrize("how", ["linear", "cubic", "fourier"])
def test_moved_back_a_movie_stands_still(how):
    frames = movie(WALK, shape=SHAPE, dose=200.0, rms=0.15)
    _, passed = fed(corrector(frames, correct=how), frames)
    assert passed.pixels.dtype == np.float32
    inner = np.s_[16:-16, 16:-16]
    clean = movie(WALK[:1], shape=SHAPE, dose=2e4, rms=0.15)[0][inner] / 100
    moved = passed.pixels.mean(axis=0)[inner] - clean
    blurred = frames.mean(axis=0)[inner] - clean
    assert moved.std() < 0.3 * blurred.std()
    assert all((d.dy, d.dx) == (0, 0) for d in passed.shared[SHARED])


def test_the_way_back_keeps_what_is_known_of_it():
    _, plain = fed(corrector(MOVIE), MOVIE)
    assert plain.pixels is MOVIE
    assert VALID not in plain.shared
    _, moved = fed(corrector(MOVIE, correct="linear"), MOVIE)
    for one, other in zip(plain.shared[SHARED], moved.shared[SHARED], strict=True):
        assert one.covariance == other.covariance
        assert (one.confidence, one.lock) == (other.confidence, other.lock)
        assert one.segment == other.segment


def test_a_frame_that_shows_nothing_moves_with_the_last_that_did():
    frames = MOVIE[:12].copy()
    frames[10] = 0
    _, passed = fed(corrector(frames, correct="linear"), frames)
    assert np.array_equal(passed.shared[VALID][10], passed.shared[VALID][9])
    assert passed.shared[SHARED][10].reason == "no counts"
    assert np.all(passed.pixels[10] == 0)


def test_a_frame_that_is_not_found_says_so():
    frames = MOVIE[:30].copy()
    frames[25] = np.random.default_rng(3).poisson(frames[25].mean(), SHAPE)
    results, passed = fed(corrector(frames, correct="integer"), frames)
    found = [r for r in results if r.name == "drift"][25]
    assert not found.valid
    assert found.reason == LOST
    assert not passed.shared[SHARED][25].locked
    assert np.array_equal(passed.shared[VALID][25], passed.shared[VALID][24])


@pytest.mark.parametrize("how", ["none", "integer", "cubic"])
def test_steps_after_it_correct_what_is_left_and_nothing_twice(how):
    about = Acquisition("test", SHAPE, MOVIE.dtype)
    view = Denoise(about, Denoise.Params(every=1, memory=40, coordinates="specimen"))
    _, passed = fed(corrector(MOVIE, correct=how), MOVIE)
    view.process(passed)
    found = list(view.results())[-1]
    clean = movie(np.zeros((1, 2)), shape=SHAPE, dose=2e4, rms=0.15)[0] / 1e3
    inner = np.s_[16:-16, 16:-16]
    assert np.std((found.data - clean)[inner]) < 1.1
    assert np.corrcoef(found.data[inner].ravel(), clean[inner].ravel())[0, 1] > 0.85


@pytest.mark.parametrize("how", ["none", "linear"])
def test_a_nucleus_is_found_at_its_place_in_specimen_coordinates(how):
    steady = np.arange(70)[:, None] * np.array([0.08, -0.05])
    disk = (50.0, 45.0, lambda t: max(0.0, 0.25 * (t - 34)), 0.6)
    frames = movie(steady, shape=SHAPE, dose=20.0, rms=0.1, disks=[disk])
    about = Acquisition("test", SHAPE, frames.dtype, calibration={"frame_time_s": 0.1})
    nuclei = Nucleation(about, Nucleation.Params(warm_up_frames=10))
    _, passed = fed(corrector(frames, correct=how), frames)
    nuclei.process(passed)
    tables = [r.data for r in nuclei.results() if r.name == "nuclei"]
    near = np.hypot(*(tables[-1][:, 1:3] - [50, 45]).T)
    assert near.min() < 2


# -- in mid-acquisition -------------------------------------------------------------


def test_another_magnification_begins_a_segment_and_another_scale():
    known = {"pixel_size_m": 1e-9}
    processor = corrector(MOVIE, known)
    before = drifts(MOVIE[:20], processor=processor)[-1]
    processor.change(DriftCorrection.Params(magnification=4.0))
    larger = movie(np.arange(5)[:, None] * [1.0, 0.0], seed=8, dose=50, rms=0.15)
    after = drifts(larger, 20, processor=processor)
    assert [r.meta["segment"] for r in after] == [1] * 5
    np.testing.assert_allclose(after[0].data, before.data)
    moved = np.array(after[-1].meta["drift_nm"]) - before.meta["drift_nm"]
    np.testing.assert_allclose(moved, (after[-1].data - before.data) / 4)
    assert moved[0] == pytest.approx(1.0, abs=0.1)


def test_the_dtype_of_frames_cannot_change():
    processor = corrector(MOVIE)
    processor.change(DriftCorrection.Params(correct="integer"))
    with pytest.raises(ConfigError, match="drift: correct = 'cubic' would make"):
        processor.change(DriftCorrection.Params(correct="cubic"))
    _, passed = fed(processor, MOVIE[:2])
    assert passed.pixels.dtype == MOVIE.dtype
    floats = corrector(MOVIE.astype(np.float32))
    floats.change(DriftCorrection.Params(correct="cubic"))


# -- trace --------------------------------------------------------------------------


def test_the_trace_holds_what_was_found():
    results = list(scopeside.apply("drift", MOVIE, trace_every=30))
    traces = [r for r in results if r.name == "trace"]
    assert [r.frame for r in traces] == [29, 39]
    table = traces[-1].data
    assert table.shape == (40, 5)
    assert table[:, 0].tolist() == list(range(40))
    vector = [r.data for r in results if r.name == "drift"]
    assert np.array_equal(table[:, 1:3], vector)
    assert not any(
        r.name == "trace" for r in scopeside.apply("drift", MOVIE[:3], trace_every=0)
    )


@given(st.integers(1, 300))
def test_a_trace_stays_evenly_spaced_and_bounded(frames):
    trace = Trace(16)
    for k in range(frames):
        trace.take((k, 0, 0, 0, 0))
    kept = trace.table()[:, 0]
    assert len(kept) <= 16
    assert kept.tolist() == list(range(0, frames, trace.every))
    assert frames <= 16 or len(kept) > 8


def test_a_rate_is_that_of_the_last_frames_and_survives_a_new_count():
    rate, found = Rate(), None
    for t in itertools.chain(range(50), range(50, 50 + RATE_FRAMES)):
        found = rate.take(t, 2.0 * t if t >= 50 else 0.0, -t)
    np.testing.assert_allclose(found, [2, -1])
    assert rate.take(0, 0.0, 0.0) is None


# -- laws ---------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["none", "integer", "linear", "cubic", "fourier"])
def test_keeps_the_laws_of_a_processor(how):
    frames = movie(WALK[:8], shape=(64, 64), dose=10.0, rms=0.15)
    frames[4] = 0
    check_processor(
        DriftCorrection,
        frames,
        params={"correct": how, "trace_every": 3},
        changed={"correct": how, "trace_every": 3, "magnification": 2.0},
    )


def test_a_snapshot_of_the_way_back_is_the_way_back():
    whole = corrector(MOVIE, correct="cubic")
    fed(whole, MOVIE[:10])
    moved = corrector(MOVIE, correct="cubic")
    moved.restore(whole.snapshot())
    blank = np.zeros((1, *SHAPE), np.uint16)
    frames = np.concatenate([blank, MOVIE[10:13]])
    one, other = (fed(p, frames, 10)[1] for p in (whole, moved))
    assert np.array_equal(one.pixels, other.pixels)
    assert np.array_equal(one.shared[VALID], other.shared[VALID])
    assert one.shared[SHARED] == other.shared[SHARED]


def test_a_scale_bar_that_is_to_be_ignored_does_not_hold_content_back():
    truth = np.stack([np.linspace(0, 15, 60), np.linspace(0, -9, 60)], axis=1)
    frames = movie(truth, shape=SHAPE, dose=20, rms=0.1)
    frames[:, 70:76, 10:60] = 200
    found = drifts(frames, ignore=[[70, 10, 76, 60]])
    assert np.abs(vectors(found)[20:] - truth[20:]).max() < 1

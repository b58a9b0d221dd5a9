"""Residuals, filters, averages over time: what changes is found, and little else."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import ndimage
from tests.processors.movies import movie

from scopeside_processors.insitu.alarm_rate import (
    false_alarms,
    level_for,
    overshoot,
)
from scopeside_processors.insitu.defects import Defects
from scopeside_processors.insitu.evidence import Evidence, bin_for
from scopeside_processors.insitu.history import History
from scopeside_processors.insitu.incoming import Condition
from scopeside_processors.kernels import residual, sequential

SHAPE = (96, 96)


@dataclass
class At:
    dy: float = 0.0
    dx: float = 0.0
    segment: int = 0


def run(frames, drift=None, segments=None, **about):
    """The evidence after all frames, and the proposals after each."""
    about = {"min_radius_px": 3.0, **about}
    evidence = Evidence(frames.shape[1:], **about)
    found = []
    for t, frame in enumerate(frames):
        dy, dx = (0.0, 0.0) if drift is None else drift[t]
        place = At(float(dy), float(dx), 0 if segments is None else segments[t])
        condition = Condition(True, "", 0, float(frame.mean()))
        evidence.take(frame, place, condition, t)
        found.append(evidence.proposals())
    return evidence, found


def places(found, since=0):
    return [(t, p) for t, ps in enumerate(found) for p in ps if t >= since]


def grows(birth, tau=10.0, most=8.0):
    return lambda t: min(most, 3.0 * max(t - birth, 0) / tau) if t > birth else -1.0


# -- binning and registration -----------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3])
def test_cells_hold_the_electrons_of_their_pixels(size):
    frame = np.arange(7 * 8, dtype=np.uint16).reshape(7, 8)
    out = np.empty((7 // size, 8 // size), np.float32)
    assert residual.binned(frame, size, 1.0, 0.5, 1e3, out) == 0
    rows, columns = (n * size for n in out.shape)
    cells = (frame[:rows, :columns] - 1.0) / 2
    cells = cells.reshape(out.shape[0], size, out.shape[1], size).sum((1, 3))
    np.testing.assert_allclose(out, cells)


def test_a_hot_pixel_counts_as_its_neighbours_and_a_bright_particle_stays():
    frame = np.full((8, 8), 4, np.uint16)
    frame[2, 5] = 500
    out = np.empty((4, 4), np.float32)
    assert residual.binned(frame, 2, 0.0, 1.0, 4.0, out) == 1
    np.testing.assert_array_equal(out, 16)
    frame[2:6, 2:6] = 500
    assert residual.binned(frame, 2, 0.0, 1.0, 4.0, out) == 0
    assert out.max() == 2000


def test_whole_drift_moves_cells_and_fractions_interpolate():
    image = np.arange(30, dtype=np.float32).reshape(5, 6) ** 2
    out = np.empty_like(image)
    assert residual.registered(image, 1.0, -2.0, out) == (0, 4, 2, 6)
    np.testing.assert_array_equal(out[:4, 2:], image[1:, :4])
    assert np.isnan(out[4]).all()
    assert np.isnan(out[:, :2]).all()
    assert residual.registered(image, -0.25, 0.5, out) == (1, 5, 0, 5)
    expected = ndimage.shift(image, (0.25, -0.5), order=1)
    np.testing.assert_allclose(out[1:5, :5], expected[1:5, :5], rtol=1e-5)


def test_a_frame_that_has_drifted_away_shows_nothing():
    image = np.ones((5, 6), np.float32)
    out = np.empty_like(image)
    top, bottom, _, _ = residual.registered(image, 40.0, 0.0, out)
    assert top == bottom
    assert np.isnan(out).all()


def test_what_is_lacking_is_in_standard_deviations_of_its_noise():
    background, seen = np.full((1, 3), 100, np.float32), np.full((1, 3), 9, np.float32)
    image = np.array([[90, 100, np.nan]], np.float32)
    gate, out = np.array([[1, 0, 0]], np.float32), np.empty((1, 3), np.float32)
    residual.compared(image, 1.0, 1.0, 50.0, gate, 0.5, background, seen, out)
    np.testing.assert_allclose(out, [[1, 0, 0]])
    assert background.tolist() == [[100, 100, 100]]
    assert seen.tolist() == [[9, 10, 9]]
    residual.compared(image, 1.0, -1.0, 50.0, 0 * gate, 0.5, background, seen, out)
    np.testing.assert_allclose(out, [[-1, 0, 0]])
    np.testing.assert_allclose(background, [[99, 100, 100]])


# -- filters ------------------------------------------------------------------------


def test_a_filter_leaves_white_noise_its_variance():
    taps = sequential.gaussian_taps(1.2)
    assert taps[0] ** 2 + 2 * (taps[1:] ** 2).sum() == pytest.approx(1)


def band_passed(image, width=1.2, size=5):
    taps = sequential.gaussian_taps(width)
    around = np.empty([-(-n // size) for n in image.shape], np.float32)
    smooth, out = np.empty_like(around), np.empty_like(image)
    share = float((2 * taps.sum() - taps[0]) ** 2)
    sequential.blocks(image, size, 1e9, around)
    sequential.smoothed(around, smooth)
    sequential.filtered(image, taps, smooth, size, share, out)
    return out


def test_what_is_even_or_a_slope_cancels_in_a_filter():
    y, x = np.mgrid[:60, :60].astype(np.float32)
    assert abs(band_passed(np.full((60, 60), 3, np.float32))).max() < 1e-4
    slope = band_passed(y - 2 * x)
    assert abs(slope[20:40, 20:40]).max() < 1e-3


def test_a_filter_is_the_gaussian_less_the_surroundings():
    image = np.zeros((60, 60), np.float32)
    image[30, 30] = 1
    found = band_passed(image)
    expected = ndimage.gaussian_filter(image, 1.2, truncate=4 / 1.2)
    expected /= math.sqrt((expected**2).sum())
    assert abs((found - expected)[28:33, 28:33]).max() < 0.06
    assert abs(found.sum()) < 0.05


def test_blocks_cells_and_halves_fit_odd_sizes():
    image = np.random.default_rng(0).normal(size=(13, 17)).astype(np.float32)
    around = np.empty((4, 5), np.float32)
    sequential.blocks(image, 4, 1e9, around)
    assert around[3, 4] == pytest.approx(image[12:, 16:].mean())
    half = np.empty((6, 8), np.float32)
    sequential.halved(image, half)
    assert half[1, 2] == pytest.approx(image[2:4, 4:6].sum() / 2)


def test_next_to_what_brightens_nothing_seems_to_darken():
    around = np.zeros((12, 12), np.float32)
    around[6, 6] = -3
    wide = np.zeros((3, 3), np.float32)
    sequential.raised(around, wide, 4, 0.2)
    assert around.min() == pytest.approx(-0.2)


# -- rate of false alarms ---------------------------------------------------------


def test_an_average_over_one_frame_alarms_as_independent_frames_do():
    assert overshoot(1e-4) == pytest.approx(1, abs=1e-3)
    assert overshoot(0.5) == pytest.approx(math.exp(-0.583 * 0.5), rel=0.02)
    tail = math.exp(-8) / math.sqrt(2 * math.pi) / 4
    assert false_alarms(4.0, 1.0, 0.999) == pytest.approx(16 * tail, rel=0.1)


def test_the_level_rises_with_the_field_and_falls_with_the_rate():
    levels = [level_for(1e-4, cells, 0.1) for cells in (100, 1_000, 10_000)]
    assert levels == sorted(levels)
    assert false_alarms(levels[1], 1_000, 0.1) == pytest.approx(1e-4, rel=1e-6)
    assert level_for(1e-2, 1_000, 0.1) < levels[1]


def test_noise_alone_alarms_no_more_often_than_allowed():
    rng = np.random.default_rng(5)
    frames = rng.poisson(5.0, (400, 96, 96)).astype(np.uint16)
    _, found = run(frames, false_alarms=0.05)
    alarms, last = 0, {}
    for t, p in places(found):
        key = (round(p.y / 8), round(p.x / 8))
        alarms += t - last.get(key, -99) > 60
        last[key] = t
    assert alarms <= 1.5 * 0.05 * 380


# -- what is found ----------------------------------------------------------------


@pytest.mark.parametrize("contrast", ["dark", "bright"])
def test_a_growing_nucleus_is_found_where_it_is_and_when_it_began(contrast):
    drift = np.cumsum(np.random.default_rng(3).normal(0, 0.2, (90, 2)), axis=0)
    depth = 0.3 if contrast == "dark" else -0.3
    frames = movie(drift, dose=4.0, disks=[(40, 57, grows(50), depth)])
    _, found = run(frames, drift, contrast=contrast)
    assert not places(found[:50])
    first, proposal = places(found)[0]
    assert first < 72
    assert math.hypot(proposal.y - 40, proposal.x - 57) < 3
    assert 40 < proposal.since <= first
    assert proposal.score >= 1
    _, other = run(frames, drift, contrast="bright" if contrast == "dark" else "dark")
    assert not [p for _, p in places(other) if math.hypot(p.y - 40, p.x - 57) < 4]


def test_what_is_there_from_the_beginning_is_background():
    frames = movie(np.zeros((70, 2)), dose=10.0, disks=[(40, 57, lambda t: 5.0, 0.5)])
    _, found = run(frames)
    assert not places(found)


def test_brighter_frames_and_broad_changes_raise_no_alarm():
    frames = movie(np.zeros((90, 2)), dose=10.0).astype(float)
    y, x = np.mgrid[:96, :96]
    broad = np.exp(-((y - 50) ** 2 + (x - 20) ** 2) / (2 * 40**2))
    rng = np.random.default_rng(2)
    light = 1 + 0.05 * rng.normal(size=90)
    light[60:] *= 1.7
    step = 1 / (1 + np.exp(-(np.arange(90) - 50) / 3))
    factor = light[:, None, None] * (1 - 0.1 * step[:, None, None] * broad)
    frames = rng.poisson(np.maximum(frames, 0) * factor).astype(np.uint16)
    _, found = run(frames)
    assert not places(found)


def test_hot_and_dead_pixels_leave_no_ghosts_where_they_drift():
    drift = np.outer(np.arange(120), [0.08, 0.05])
    frames = movie(drift, dose=3.0)
    frames[:, 30, 40] += 6
    frames[:, 60, 21] += 90
    frames[:, 70, 70] = 0
    _, found = run(frames, drift)
    assert not places(found)


def test_a_bad_cell_is_one_that_stands_out_alone():
    rng = np.random.default_rng(1)
    defects = Defects((40, 50))
    y, x = np.mgrid[:40, :50]
    particle = 60 * np.exp(-((y - 20) ** 2 + (x - 30) ** 2) / (2 * 1.2**2))
    for _ in range(8):
        image = rng.poisson(100 - particle).astype(np.float32)
        image[10, 12] += 40
        image[30, 9] -= 30
        new = defects.take(image)
    assert sorted(map(tuple, new.tolist())) == [(10, 12), (30, 9)]
    assert not len(defects.take(image))


def test_fine_structure_of_a_specimen_is_no_defect():
    image = np.random.default_rng(1).poisson(100.0, (40, 50)).astype(np.float32)
    image[::4, ::4] += 900
    defects = Defects((40, 50))
    for _ in range(8):
        assert not len(defects.take(image))


def test_places_are_those_of_frame_0_however_far_content_has_drifted():
    drift = np.outer(np.arange(110), [0.4, -0.25])
    about = {"dose": 12.0, "margin": 48}
    frames = movie(drift, disks=[(30, 60, grows(80), 0.3)], **about)
    evidence, found = run(frames, drift)
    assert evidence.origin != (0, 0)
    _, proposal = places(found)[-1]
    assert math.hypot(proposal.y - 30, proposal.x - 60) < 2
    middle = evidence.history.patch(proposal.y, proposal.x, 2, 4)
    assert middle[:, 2, 2].mean() > 2


def test_a_new_segment_begins_anew():
    frames = movie(np.zeros((80, 2)), dose=10.0)
    frames = np.concatenate([frames, movie(np.zeros((60, 2)), dose=10.0, seed=8)])
    _, found = run(frames, segments=[0] * 80 + [1] * 60)
    assert not places(found)
    _, found = run(frames)
    assert places(found)


def test_a_cell_is_two_thirds_of_the_smallest_radius():
    assert [bin_for(r) for r in (1.0, 2.0, 3.0, 5.0, 6.0, 90.0)] == [1, 1, 2, 3, 4, 8]


def test_evidence_goes_on_from_its_state():
    frames = movie(np.zeros((60, 2)), dose=8.0, disks=[(40, 57, grows(30), 0.3)])
    evidence, _ = run(frames[:40])
    other = Evidence(SHAPE, min_radius_px=3.0)
    other.take_over(evidence.state())
    for frame in frames[40:]:
        condition = Condition(True, "", 0, float(frame.mean()))
        evidence.take(frame, At(), condition)
        other.take(frame, At(), condition)
        assert evidence.proposals() == other.proposals()
    assert evidence.proposals()


# -- history ----------------------------------------------------------------------


def test_history_is_absolute_and_says_where_nothing_was_seen():
    history = History((6, 8), 2, 3)
    for t in range(5):
        frame = np.full((6, 8), 100, np.float32)
        frame[2, 3] = 80 - t
        frame[0] = np.nan
        history.add(frame, 10 + t, (0, -1), mean=100.0, noise=10.0, sign=1.0)
    assert len(history) == 3
    assert history.numbers(2).tolist() == [13, 14]
    patch = history.patch(4.5, 4.5, 1, 9)  # cell (2, 2): column 3 of the frames
    np.testing.assert_allclose(patch[:, 1, 1], [2.2, 2.3, 2.4], atol=0.05)
    assert abs(patch[:, 0, 0]).max() == 0
    assert np.isnan(history.patch(0.0, 4.5, 1, 1)[0, :2]).all()
    assert np.isnan(history.patch(900.0, 4.5, 1, 1)).all()
    history.clear()
    assert len(history) == 0
    assert history.patch(4.5, 4.5, 1, 9).shape == (0, 3, 3)

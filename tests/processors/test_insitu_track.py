"""Follows drawn particles through noise, drift, gaps and frames that are none."""

from __future__ import annotations

import numpy as np
import pytest
from tests.processors.movies import movie

import scopeside
from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.result import Result
from scopeside.testing import check_processor
from scopeside_processors.insitu.encounters import Encounters
from scopeside_processors.insitu.spots import SpotFinder
from scopeside_processors.insitu.track import COLUMNS, Track

STILL = np.zeros((24, 2))
TWO = [(30, 30, lambda _t: 4.0, 0.5), (64, 60, lambda _t: 5.0, 0.5)]
SIZE = {"min_radius_px": 3.0, "max_radius_px": 6.0}


def tracks(frames, **params):
    """Tables of `frames` by frame, those that are valid."""
    found = scopeside.apply("track", frames, **{**SIZE, **params})
    return {r.frame: r for r in found if r.name == "tracks" and r.valid}


def column(result, *names):
    return result.data[:, [COLUMNS.index(n) for n in names]]


def near(result, y, x, within=1.5):
    """Ids of the particles near a place in the frame."""
    away = np.hypot(*(column(result, "y", "x") - [y, x]).T)
    return column(result, "id")[away < within, 0].astype(int).tolist()


def test_particles_are_found_where_they_are_and_keep_their_ids():
    found = tracks(movie(STILL, disks=TWO, dose=50))
    one, other = near(found[5], 30, 30), near(found[5], 64, 60)
    assert len(one) == len(other) == 1
    assert near(found[23], 30, 30) == one
    assert near(found[23], 64, 60) == other
    assert len(found[23].data) == 2


def test_bright_particles_are_found_by_contrast():
    disks = [(y, x, r, -depth) for y, x, r, depth in TWO]
    frames = movie(STILL[:8], disks=disks, dose=50)
    assert len(tracks(frames, contrast="bright")[7].data) == 2
    assert not near(tracks(frames)[7], 30, 30)


def test_the_larger_particle_has_the_larger_radius():
    disks = [(30, 30, lambda _t: 3.0, 0.5), (64, 60, lambda _t: 6.0, 0.5)]
    last = tracks(movie(STILL, disks=disks, dose=50), max_radius_px=8.0)[23]
    order = np.argsort(column(last, "y")[:, 0])
    small, large = column(last, "radius_px")[order, 0]
    assert small < 0.7 * large


def test_a_walk_is_followed_where_single_frames_show_little():
    path = 48 + np.cumsum(np.random.default_rng(1).normal(0, 0.7, (60, 2)), axis=0)
    disk = (lambda t: path[t, 0], lambda t: path[t, 1], lambda _t: 4.0, 0.2)
    found = tracks(movie(np.zeros((60, 2)), disks=[disk], dose=4, rms=0.01))
    late = [near(found[t], *path[t], within=4) for t in range(30, 60)]
    assert sum(len(ids) == 1 for ids in late) > 24


def test_nothing_is_found_in_noise():
    found = tracks(movie(np.zeros((40, 2)), dose=10, rms=0.01))
    assert sum(len(r.data) for r in found.values()) <= 2


def test_a_jump_of_the_stage_does_not_tear_tracks_apart():
    drift = np.zeros((30, 2))
    drift[15:] = [7, -9]
    found = tracks(movie(drift, disks=TWO, dose=50))
    one = near(found[10], 30, 30)
    assert near(found[25], 37, 21) == one
    places = column(found[25], "specimen_y", "specimen_x")
    assert np.abs(places - [30, 30]).sum(axis=1).min() < 1


def test_an_unknown_jump_is_recognised_by_the_particles():
    rng = np.random.default_rng(2)
    grid = np.stack(np.meshgrid([24, 44, 64], [24, 48, 70]), -1).reshape(-1, 2)
    places = grid + rng.uniform(-4, 4, grid.shape)
    disks = [(y, x, lambda _t: 4.0, 0.5) for y, x in places]
    drift = np.zeros((20, 2))
    drift[12:] = [10, -8]
    found = tracks(movie(drift, disks=disks, dose=50), correct_drift=False)
    before = column(found[11], "id", "y", "x")
    after = {row[0]: row[1:] for row in column(found[15], "id", "y", "x")}
    kept = [after[i] - [y, x] for i, y, x in before if i in after]
    assert len(kept) >= 8
    assert np.median(kept, axis=0) == pytest.approx([10, -8], abs=1)


def test_missing_frames_are_coasted():
    frames = movie(STILL, disks=TWO, dose=50)
    kept = np.r_[0:10, 14:24]
    about = Acquisition("gap", frames.shape[1:], frames.dtype)
    processor = Track(about, Track.Params(**SIZE))
    ids = []
    for k in kept:
        processor.process(Batch(frames[k][None], np.array([k]), np.array([k])))
        (result,) = processor.results()
        ids.append(near(result, 30, 30))
    assert ids[-1] == ids[5]


@pytest.mark.parametrize("bad", ["blank", "nan", "stutter"])
def test_bad_frames_are_invalid_and_ids_survive_them(bad):
    frames = movie(STILL, disks=TWO, dose=50).astype(np.float32)
    frames[12] = {"blank": 0.0, "nan": np.nan, "stutter": frames[11]}[bad]
    results = list(scopeside.apply("track", frames, **SIZE))
    assert not results[12].valid
    assert results[12].reason
    assert near(results[13], 30, 30) == near(results[11], 30, 30) != []


def test_places_of_another_step_are_linked():
    about = Acquisition("given", (96, 96), np.dtype("u2"))
    processor = Track(about, Track.Params(source="particles", correct_drift=False))
    frames = movie(STILL[:6], dose=20)
    for k in range(6):
        table = np.array([[40.0 + k, 50.0, 9.0], [20.0, 70.0, 8.0]])
        columns = {"columns": ["y", "x", "radius_px"]}
        batch = Batch(frames[k][None], np.array([k]), np.array([k]))
        batch.shared["particles"] = [Result("particles", table, "table", meta=columns)]
        processor.process(batch)
    (result,) = processor.results()
    assert near(result, 45, 50) == [1]
    assert near(result, 20, 70) == [0]
    assert column(result, "radius_px").ravel() == pytest.approx([8.0, 9.0])


def test_without_that_step_it_says_so():
    frames = movie(STILL[:4], dose=20)
    results = list(scopeside.apply("track", frames, source="particles"))
    assert [r.reason for r in results] == [
        "there is no particles step earlier in the chain"
    ] * 4


def test_two_that_become_one_are_reported():
    def x(t):
        return 72 - 0.5 * t

    disks = [
        (48, 44, lambda t: 5.5 if t >= 40 else 4.5, 0.5),
        (48, x, lambda t: 0.0 if t >= 40 else 4.5, 0.5),
    ]
    frames = movie(np.zeros((66, 2)), disks=disks, dose=80, rms=0.01)
    found = scopeside.apply(
        "track", frames, **{**SIZE, "max_radius_px": 9.0, "correct_drift": False}
    )
    events = [r for r in found if r.name in {"coalescence", "attachment"}]
    assert len(events) == 1
    data = events[0].data
    assert set(data["parents"]) == {0, 1}
    assert len(data["children"]) == 1
    assert data["volumes_after_px3"][0] > data["volumes_before_px3"][0]


def test_what_passes_in_front_is_not_reported():
    disks = [
        (46, lambda t: 20 + 1.5 * t, lambda _t: 4.0, 0.4),
        (50, lambda t: 76 - 1.5 * t, lambda _t: 4.0, 0.4),
    ]
    frames = movie(np.zeros((38, 2)), disks=disks, dose=80, rms=0.01)
    names = {r.name for r in scopeside.apply("track", frames, **SIZE)}
    assert names == {"tracks"}


def test_an_encounter_state_is_plain():
    watch = Encounters()
    watch.take_over(watch.state())
    assert watch.state() == {"meetings": [], "known": []}


def test_a_texture_that_drifts_is_learnt_where_it_lies():
    finder = SpotFinder((96, 96), (3.0, 6.0), 2.0)
    drift = np.stack([0.37 * np.arange(120), -0.21 * np.arange(120)], axis=1)
    frames = movie(drift % 9, dose=300, rms=0.03, width=3.0)
    nowhere = np.zeros((0, 2))
    spread = []
    for k in range(120):
        finder.find(frames[k], tuple(drift[k] % 9))
        finder.learn(nowhere, np.zeros(0))
        spread.append(float(1 / finder.scale[1]))
    assert spread[-1] < 0.75 * spread[0]


def test_columns_are_as_documented():
    assert COLUMNS[:4] == ("id", "y", "x", "radius_px")


@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_keeps_the_laws_of_a_processor(dtype):
    drift = np.cumsum(np.random.default_rng(0).normal(0, 0.2, (14, 2)), axis=0)
    frames = movie(drift, shape=(64, 64), disks=[(30, 30, lambda _t: 4.0, 0.5)])
    check_processor(Track, frames.astype(dtype), params=SIZE)


def test_a_frame_of_another_size_is_refused():
    frames = movie(STILL[:4])
    about = Acquisition("size", (64, 64), frames.dtype)
    processor = Track(about, Track.Params())
    batch = Batch(frames[:1], np.zeros(1, np.int64), np.zeros(1, np.int64))
    with pytest.raises(scopeside.errors.ShapeError):
        processor.process(batch)

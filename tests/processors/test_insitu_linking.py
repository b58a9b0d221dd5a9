"""Links detections: who is whom, whatever the order, through gaps and crossings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scopeside_processors.insitu.assignment import assign, near
from scopeside_processors.insitu.clutter import maxima_above, maxima_of_noise
from scopeside_processors.insitu.constellation import recognise
from scopeside_processors.insitu.linking import (
    Detections,
    Linker,
    Rules,
)

SHAPE = (200, 200)


def at(places, sigma=0.2):
    places = np.asarray(places, float).reshape(-1, 2)
    n = len(places)
    return Detections(places, np.full(n, sigma), np.full(n, 100.0), np.full(n, 4.0))


def points(**rules):
    return Linker(Rules(SHAPE, births=1e-6, **rules))


def walk(rng, n, steps, step=1.0):
    """Places (steps, n, 2) of random walks that begin apart."""
    start = rng.uniform(20, 180, (n, 2))
    return start + np.cumsum(rng.normal(0, step, (steps, n, 2)), axis=0)


def test_a_particle_keeps_its_id():
    linker = points()
    ids = [linker.step(at([[50 + t, 50]])).tolist() for t in range(20)]
    assert ids == [[0]] * 20


def test_it_is_carried_through_a_gap_with_its_velocity():
    linker = points()
    for t in range(15):
        linker.step(at([[40 + 2 * t, 50]]))
    assert linker.step(at([[40 + 2 * 19, 50]]), frames=5).tolist() == [0]


def test_missing_detections_are_coasted():
    linker = points()
    for _ in range(10):
        linker.step(at([[50, 50]]))
    linker.step(at([]))
    assert linker.shown.tolist() == [True]
    assert linker.tracks.since.tolist() == [1]
    assert linker.step(at([[50.3, 50]])).tolist() == [0]


def test_what_is_gone_for_long_comes_back_with_another_id():
    linker = points()
    for _ in range(10):
        linker.step(at([[50, 50]]))
    for _ in range(40):
        linker.step(at([]))
    assert len(linker.tracks) == 0
    assert linker.step(at([[50, 50]])).tolist() == [1]


def test_crossing_particles_keep_their_ids_by_their_velocities():
    linker = points()
    for t in range(30):
        ids = linker.step(at([[40 + 2 * t, 50 + 2 * t], [98 - 2 * t + 3, 50 + 2 * t]]))
    assert ids.tolist() == [0, 1]


def test_a_rest_and_a_walk_are_told_apart():
    rng = np.random.default_rng(3)
    linker = points()
    far = walk(rng, 1, 60, step=2.5)[:, 0]
    for t in range(60):
        linker.step(at([30 + rng.normal(0, 0.2, 2), far[t] / 2 + 60]))
    steps = linker.tracks.bank.weight @ linker.models.step
    assert steps[0] < 0.3
    assert steps[1] > 0.8


def test_the_place_is_better_than_a_single_detection():
    rng = np.random.default_rng(4)
    linker = points()
    errors = []
    for t in range(200):
        linker.step(at([50 + rng.normal(0, 1.0, 2)], sigma=1.0))
        if t > 20:
            errors.append(linker.tracks.bank.mean()[0][0] - 50)
    assert np.sqrt(np.mean(np.square(errors))) < 0.5


def test_weak_detections_carry_on_a_track_but_begin_none():
    def weak(snr):
        one = np.array([[50.0, 50.0]])
        return Detections(one, np.ones(1), np.array([snr]), np.full(1, 4.0))

    unknown = Linker(Rules(SHAPE, least_snr=2.0))
    assert unknown.step(weak(2.5)).tolist() == [-1]
    known = Linker(Rules(SHAPE, least_snr=2.0))
    known.step(weak(9.0))
    known.tracks.snr[:] = 3.0
    assert known.step(weak(2.5)).tolist() == [0]


def test_what_leaves_the_frame_ends():
    linker = points()
    for t in range(20):
        linker.step(at([[160 + 2 * t, 50]]))
    linker.step(at([]))
    linker.step(at([]))
    assert len(linker.tracks) == 0


def test_noise_begins_few_tracks():
    rng = np.random.default_rng(5)
    linker = Linker(Rules((512, 512), least_snr=2.5))
    for _ in range(50):
        n = rng.poisson(512 * 512 * maxima_above(2.5, 2.3))
        height = np.sqrt(2.5**2 + 2 * rng.exponential(1, n))
        places = rng.uniform(0, 512, (n, 2))
        linker.step(Detections(places, np.ones(n), height, np.full(n, 4.0)))
    assert linker.shown.sum() <= 1
    assert len(linker.tracks) < 30


def test_the_density_of_maxima_integrates_to_their_number():
    height = np.linspace(2, 12, 20_001)
    density = maxima_of_noise(height, 2.0)
    assert density.sum() * (height[1] - height[0]) == pytest.approx(
        maxima_above(2.0, 2.0), rel=1e-3
    )


def test_state_stays_small_in_a_long_movie():
    rng = np.random.default_rng(6)
    linker = points()
    for _ in range(300):
        linker.step(at(rng.uniform(0, 200, (10, 2))))
    assert len(linker.tracks) < 200
    assert linker.next_id > 1000


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 12))
def test_ids_are_unique_and_the_order_of_detections_does_not_matter(seed, n):
    rng = np.random.default_rng(seed)
    one, other = points(), points()
    for places in walk(rng, n, 8):
        order = rng.permutation(n)
        ids = one.step(at(places))
        assert np.array_equal(other.step(at(places[order])), ids[order])
        owned = ids[ids >= 0]
        assert len(set(owned.tolist())) == len(owned)
        assert len(set(one.tracks.id.tolist())) == len(one.tracks)
    assert np.array_equal(one.tracks.bank.place, other.tracks.bank.place)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000))
def test_an_assignment_is_one_to_one_and_the_best(seed):
    rng = np.random.default_rng(seed)
    n, k = rng.integers(1, 5, 2)
    track, place = np.nonzero(rng.random((n, k)) < 0.6)
    gain = rng.uniform(0.1, 5, len(track))
    chosen = assign(track, place, gain, (n, k))
    assert len(set(track[chosen])) == chosen.sum() == len(set(place[chosen]))
    subsets = [
        gain[list(s)].sum()
        for size in range(len(track) + 1)
        for s in _subsets(len(track), size)
        if len(set(track[list(s)])) == len(s) == len(set(place[list(s)]))
    ]
    assert gain[chosen].sum() == pytest.approx(max(subsets))


def _subsets(n, size):
    import itertools

    return itertools.combinations(range(n), size) if size <= 4 else ()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_pairs_are_those_within_reach(seed):
    rng = np.random.default_rng(seed)
    one, other = rng.uniform(0, 50, (7, 2)), rng.uniform(0, 50, (90, 2))
    reach = rng.uniform(0, 30, 7)
    track, place = near(one, reach, other)
    away = np.hypot(*(one[:, None] - other[None]).T).T
    found = np.zeros((7, 90), bool)
    found[track, place] = True
    assert np.array_equal(found, away <= reach[:, None])


def test_a_constellation_is_recognised_after_a_jump():
    rng = np.random.default_rng(7)
    before = rng.uniform(0, 500, (20, 2))
    kept = before[:14] * 1.5 + [40, -25] + rng.normal(0, 0.4, (14, 2))
    after = np.concatenate([kept, rng.uniform(0, 500, (8, 2))])
    found = recognise(before, after, 500 * 500, magnification=1.5)
    assert found is not None
    assert found.shift == pytest.approx((40, -25), abs=0.5)
    assert found.count >= 13


@pytest.mark.parametrize("seed", range(5))
def test_other_particles_are_not_recognised(seed):
    rng = np.random.default_rng(seed)
    one, other = rng.uniform(0, 500, (2, 25, 2))
    assert recognise(one, other, 500 * 500) is None

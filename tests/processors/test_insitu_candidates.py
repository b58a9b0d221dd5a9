from types import SimpleNamespace

import numpy as np
import pytest
from tests.processors.movies import movie

from scopeside.state import pack, unpack
from scopeside_processors.insitu.candidates import LOST, Candidates
from scopeside_processors.insitu.evidence import Evidence

SHAPE, FRAMES, RADIUS = (96, 96), 130, 3.0
STILL = SimpleNamespace(dy=0.0, dx=0.0, segment=0)
ELSEWHERE = SimpleNamespace(dy=0.0, dx=0.0, segment=1)
DEPTH = 0.13
"""Of a disk, about the mean thickness of a sphere of 3 px at 0.03 per px."""


def frames_with(*disks, dose=20.0, seed=0, frames=FRAMES):
    drift = np.zeros((frames, 2))
    return movie(drift, shape=SHAPE, dose=dose, seed=seed, disks=disks, rms=0.02)


def run(frames, candidates=None, drifts=None):
    """Events with their frames, and the candidates."""
    evidence = Evidence(SHAPE, min_radius_px=RADIUS, false_alarms=1e-3)
    candidates = candidates or Candidates(
        min_radius_px=RADIUS, alarms_per_hour=60.0, absorbance_per_px=0.03
    )
    events = []
    for t, frame in enumerate(frames):
        condition = SimpleNamespace(usable=True, reason="", mean=float(frame.mean()))
        drift = STILL if drifts is None else drifts[t]
        evidence.take(frame, drift, condition, t)
        if t >= 30:
            events += [(t, e) for e in candidates.take(evidence, t, drift)]
    return events, candidates


def sphere(y, x, radius):
    """A disk as dark as a sphere is in the mean, 0.03 per px of thickness."""
    return y, x, radius, lambda t: 0.04 * radius(t)


def confirmed(events):
    return [(t, e) for t, e in events if e.status == "confirmed"]


def growing(born, tau, most=8.0):
    return lambda t: min(most, RADIUS * (max(t - born, 0) / tau) ** 0.5)


@pytest.fixture(scope="module")
def grown():
    """Events of a nucleus at (48, 40) that is born in frame 50."""
    disk = sphere(48, 40, growing(50, 15))
    return run(frames_with(disk))


def test_a_nucleus_is_confirmed_once_at_its_place(grown):
    ((_, event),) = confirmed(grown[0])
    assert np.hypot(event.y - 48, event.x - 40) < 2.0


def test_a_nucleus_is_confirmed_soon_after_it_is_large_enough(grown):
    ((frame, _),) = confirmed(grown[0])
    assert 50 < frame < 65 + 25


def test_its_birth_is_estimated_back(grown):
    ((_, event),) = confirmed(grown[0])
    # The first verdict falls when it has just become large enough: little is known.
    assert event.birth_frame == pytest.approx(50, abs=18)


def test_a_candidate_comes_before_its_confirmation(grown):
    states = [e.status for _, e in grown[0] if e.id == confirmed(grown[0])[0][1].id]
    assert states[0] in {"candidate", "confirmed"}
    assert states.count("confirmed") == 1


def test_its_radius_grows_with_time(grown):
    _, candidates = grown
    (nucleus,) = [c for c in candidates.nuclei() if c.status == "confirmed"]
    course = nucleus.course
    assert course.shape[1] == 3
    assert course[-3:, 1].mean() > 1.3 * course[:3, 1].mean()
    assert (course[:, 2] > 0).all()


def test_a_nucleus_that_dissolves_is_said_to():
    def radius(t):
        return growing(45, 10, 6.0)(t) if t < 95 else 0.0

    events, _ = run(frames_with(sphere(48, 40, radius), frames=160))
    (name,) = {e.id for _, e in confirmed(events)}
    assert [e.status for _, e in events if e.id == name][-1] == "dissolved"


def wander(seed, step):
    walk = np.cumsum(np.random.default_rng(seed).normal(0, step, (400, 2)), axis=0)
    return 40 + np.clip(walk, -22, 22)


@pytest.mark.parametrize(("seed", "step"), [(0, 0.4), (1, 0.8), (2, 1.6)])
def test_a_particle_that_wanders_is_no_nucleus(seed, step):
    path = wander(seed, step)
    disk = (
        lambda t: path[t, 0], lambda t: path[t, 1], lambda _: 4.0, DEPTH,
    )  # fmt: skip
    assert confirmed(run(frames_with(disk))[0]) == []


def test_what_was_there_from_the_start_is_no_nucleus():
    assert confirmed(run(frames_with((48, 40, lambda _: 5.0, DEPTH)))[0]) == []


def test_an_embryo_that_dissolves_is_no_nucleus():
    def radius(t):
        part = (t - 40) / 60
        return 1.8 * np.sqrt(4 * part * (1 - part)) if 0 < part < 1 else 0.0

    assert confirmed(run(frames_with(sphere(48, 40, radius)))[0]) == []


def test_a_bubble_is_no_nucleus():
    def radius(t):
        return 14 * np.sqrt(np.sin(np.pi * (t - 50) / 60)) if 50 < t < 110 else 0.0

    assert confirmed(run(frames_with((48, 44, radius, -0.1)))[0]) == []


def test_an_empty_movie_has_no_nuclei():
    events, candidates = run(frames_with())
    assert confirmed(events) == []
    assert candidates.nuclei() == []


def test_many_places_that_change_at_once_are_held():
    places = [(y, x) for y in (20, 48, 76) for x in (20, 48, 76)]
    disks = [(y, x, lambda t: 4.0 * (t >= 60), DEPTH) for y, x in places]
    events, _ = run(frames_with(*disks, frames=90))
    assert [t for t, _ in confirmed(events) if t < 60 + 20] == []


def test_a_lost_drift_ends_all_candidates():
    frames = frames_with(sphere(48, 40, growing(50, 15)), frames=80)
    drifts = [STILL] * 58 + [ELSEWHERE] * 22
    events, candidates = run(frames, drifts=drifts)
    ends = [e for t, e in events if t >= 58 and e.status == "rejected"]
    assert all(e.reason == LOST for e in ends)
    assert len(candidates) == 0


def test_a_snapshot_goes_on_as_if_nothing_had_happened():
    frames = frames_with(sphere(48, 40, growing(50, 15)), frames=100)
    expected = run(frames)[0]
    evidence = Evidence(SHAPE, min_radius_px=RADIUS, false_alarms=1e-3)
    candidates = fresh()
    events = []
    for t, frame in enumerate(frames):
        condition = SimpleNamespace(usable=True, reason="", mean=float(frame.mean()))
        evidence.take(frame, STILL, condition, t)
        if t >= 30:
            events += [(t, e) for e in candidates.take(evidence, t, STILL)]
        if t % 20 == 0:
            state = unpack(pack(candidates.state()))
            candidates = fresh()
            candidates.take_over(state)
    assert [plain(e) for e in events] == [plain(e) for e in expected]


def fresh():
    return Candidates(
        min_radius_px=RADIUS, alarms_per_hour=60.0, absorbance_per_px=0.03
    )


def plain(found):
    frame, e = found
    return (frame, e.id, e.status, e.y, e.x, e.radius_px, e.birth_frame, e.confidence)

"""Tracks beside those of trackpy: the same links where it is easy, better in noise."""

from __future__ import annotations

import numpy as np
import pytest
from tests.peers.tracking import hota, movers

import scopeside
from scopeside_processors.insitu.linking import Detections, Linker, Rules

pytestmark = pytest.mark.peers


@pytest.fixture(scope="module")
def trackpy():
    """Loaded with the first test, not by each process that looks for tests."""
    return pytest.importorskip("trackpy", reason="trackpy is the peer")


@pytest.fixture(scope="module")
def linking(trackpy):
    return pytest.importorskip("trackpy.linking.linking")


def by_us(frames):
    found = scopeside.apply(
        "track", frames, min_radius_px=3, max_radius_px=6, correct_drift=False
    )
    tables = [r.data for r in found if r.name == "tracks"]
    return [{int(row[0]): (row[1], row[2]) for row in data} for data in tables]


def by_trackpy(trackpy, linking, frames):
    """Locate with a mass from the first frame, link with its own linker."""
    trackpy.quiet()
    linker, least, found = linking.Linker(9, memory=3), None, []
    for t, frame in enumerate(frames):
        dark = frame.max() - frame.astype(np.float32)
        if least is None:
            mass = trackpy.locate(dark, 11, noise_size=1.5, percentile=90)["mass"]
            least = mass.median() + 4 * 1.4826 * (mass - mass.median()).abs().median()
        spots = trackpy.locate(dark, 11, noise_size=1.5, minmass=least, percentile=90)
        places = spots[["y", "x"]].to_numpy()
        if t == 0:
            linker.init_level(places, t)
        else:
            linker.next_level(places, t)
        ids = [int(i) for i in linker.particle_ids]
        found.append(dict(zip(ids, map(tuple, places), strict=True)))
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dose", [40, 10])
def test_tracks_fit_the_truth_no_worse(trackpy, linking, dose):
    frames, truth = movers(dose)
    theirs = by_trackpy(trackpy, linking, frames)
    assert hota(truth, by_us(frames)) >= hota(truth, theirs)


def test_hota_is_one_of_the_truth_and_half_of_half_the_tracks():
    truth = np.random.default_rng(0).uniform(0, 500, (8, 4, 2))
    every = [dict(enumerate(map(tuple, frame))) for frame in truth]
    assert hota(truth, every) == pytest.approx(1)
    half = [{i: p for i, p in frame.items() if i < 2} for frame in every]
    assert hota(truth, half) == pytest.approx(np.sqrt(0.5))


@pytest.mark.parametrize("seed", range(3))
def test_given_places_are_linked_alike(linking, seed):
    rng = np.random.default_rng(seed)
    start = np.stack(np.meshgrid(np.arange(4), np.arange(4)), -1).reshape(-1, 2) * 40
    paths = 40 + start + np.cumsum(rng.normal(0, 1.5, (30, 16, 2)), axis=0)
    ours = Linker(Rules((240, 240)))
    theirs = linking.Linker(15, memory=0)
    pairs = set()
    for t, places in enumerate(paths):
        order = rng.permutation(16)
        n = np.full(16, 1.0)
        seen = Detections(places[order], 0.2 * n, 100 * n, 4 * n)
        ids = ours.step(seen)
        if t == 0:
            theirs.init_level(places[order], t)
        else:
            theirs.next_level(places[order], t)
        pairs |= set(zip(ids.tolist(), map(int, theirs.particle_ids), strict=True))
    assert len(pairs) == 16

"""Disk positions beside those of py4DSTEM and libertem-blobfinder.

Simulated diffraction with known positions, thinned to fewer electrons. Of the disks
that a peer finds within three pixels, we have to be as near to the truth, and to find
as many.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from tests import nbed
from tests.peers.disk_peers import PY4DSTEM, blobfinder, misses, py4dstem
from tests.real_data import real

import scopeside

pytestmark = pytest.mark.peers

WITHIN = 3.0
RADIUS = 5.0
DOSES = [300, 3_000, 30_000, 300_000]
VECTORS = nbed.REFERENCE.tolist()


@lru_cache
def patterns(electrons):
    """Frames (4, 12, 128, 128), where their disks are (48, n, 2), and the centre."""
    if electrons > 30_000:
        scan = nbed.scan((4, 12), electrons=electrons, largest=0.018, seed=3)
        positions, frames = scan.positions.reshape(48, -1, 2), scan.frames
        return frames, inside(positions), scan.centre.reshape(-1, 2).mean(axis=0)
    with np.load(real("stem/simulated/nbed_strain.npz")) as given:
        frames, positions = given["counts"][4:8, 8:20], given["pos"][4:8, 8:20]
        centre = [given[k][4:8, 8:20].mean() for k in ("cy", "cx")]
    if electrons < 30_000:
        rng = np.random.default_rng(electrons)
        frames = rng.binomial(frames, electrons / 30_000).astype(np.uint16)
    return frames, inside(positions.reshape(48, -1, 2)), np.array(centre)


def inside(positions):
    """Only disks that lie whole in every frame."""
    held = ((positions > 11) & (positions < 116)).all(axis=(0, 2))
    return positions[:, held]


def ours(frames, centre, **params):
    found = scopeside.apply(
        "disks", frames, disk_radius_px=RADIUS, of=["peaks"], min_significance=0,
        lattice=VECTORS, centre=centre.tolist(), **params,
    )  # fmt: skip
    (peaks,) = found
    return peaks.data.reshape(len(frames) * len(frames[0]), -1, 4)[:, :, :2]


def assert_no_worse(mine, theirs):
    """As near to the truth, and as many."""
    assert_nearer(mine, theirs)
    assert np.isfinite(mine).sum() >= np.isfinite(theirs).sum()


def assert_nearer(mine, theirs):
    """On the disks that both have found."""
    both = ~np.isnan(mine) & ~np.isnan(theirs)
    assert both.sum() > 20
    rms = [np.sqrt(np.mean(found[both] ** 2)) for found in (mine, theirs)]
    assert rms[0] <= rms[1], rms


@pytest.mark.parametrize("electrons", DOSES)
def test_positions_are_no_worse_than_those_of_blobfinder(electrons):
    pytest.importorskip(
        "libertem_blobfinder", reason="libertem-blobfinder is not installed"
    )
    frames, truth, centre = patterns(electrons)
    theirs, _ = blobfinder(frames, RADIUS, truth.mean(axis=0))
    assert_no_worse(
        misses(ours(frames, centre), truth, WITHIN), misses(theirs, truth, WITHIN)
    )


@pytest.mark.parametrize("electrons", DOSES)
def test_positions_are_no_worse_than_those_of_py4dstem(electrons, tmp_path):
    if not PY4DSTEM.exists():
        pytest.skip(f"py4DSTEM is not at {PY4DSTEM}; 'make test' puts it there")
    frames, truth, centre = patterns(electrons)
    theirs, _ = py4dstem(frames, RADIUS, 0.6, tmp_path)
    assert_no_worse(
        misses(ours(frames, centre), truth, WITHIN), misses(theirs, truth, WITHIN)
    )


@pytest.mark.parametrize("electrons", DOSES)
def test_without_a_lattice_they_are_no_worse_either(electrons, tmp_path):
    if not PY4DSTEM.exists():
        pytest.skip(f"py4DSTEM is not at {PY4DSTEM}; 'make test' puts it there")
    frames, truth, _ = patterns(electrons)
    (peaks,) = scopeside.apply("disks", frames, disk_radius_px=RADIUS, of=["peaks"])
    mine = peaks.data.reshape(48, -1, 4)[:, :, :2]
    theirs, _ = py4dstem(frames, RADIUS, 0.6, tmp_path)
    # Fewer, as we do not take noise for disks; but where there is one, as near.
    assert_nearer(misses(mine, truth, WITHIN), misses(theirs, truth, WITHIN))


def test_strain_is_that_of_the_simulated_crystal():
    with np.load(real("stem/simulated/nbed_strain.npz")) as given:
        frames, lattice = given["counts"], given["A0"].tolist()
        truth = [given[name] for name in ("exx", "eyy", "exy", "theta")]
    about = {"kind": "scan4d", "scan": [32, 32]}
    found = scopeside.apply(
        "strain", frames.reshape(-1, 128, 128), about,
        disk_radius_px=RADIUS, reference_lattice=lattice,
    )  # fmt: skip
    for result, expected in zip(found, truth, strict=True):
        assert np.sqrt(np.mean((result.data - expected) ** 2)) < 1.6e-3

"""Mean square displacements against trackpy's."""

from __future__ import annotations

import numpy as np
import pytest
from tests.processors import walks

from scopeside_processors.insitu.msd import mean_square_displacements
from scopeside_processors.insitu.steps import steps_of

pytestmark = [
    pytest.mark.peers,
    # What trackpy and pandas say to each other is not ours to mend.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture
def motion():
    """Loaded with the first test, not by each process that looks for tests."""
    return pytest.importorskip("trackpy.motion", reason="trackpy is not installed")


@pytest.fixture
def pandas():
    return pytest.importorskip("pandas", reason="pandas is not installed")


def test_mean_squares_are_those_of_trackpy(motion, pandas):
    rng = np.random.default_rng(0)
    track = walks.brownian(120, rng, 0.5)
    table = pandas.DataFrame(
        {"frame": np.arange(120), "x": track[:, 1], "y": track[:, 0]}
    )
    theirs = motion.msd(table, mpp=1, fps=1, max_lagtime=40)
    ours, _ = mean_square_displacements(steps_of(track), 40)
    np.testing.assert_allclose(ours, theirs["msd"], rtol=1e-9)


def test_with_missing_frames_too(motion, pandas):
    rng = np.random.default_rng(1)
    track = walks.brownian(120, rng, 0.5)
    seen = np.flatnonzero(rng.random(120) < 0.8)
    table = pandas.DataFrame({"frame": seen, "x": track[seen, 1], "y": track[seen, 0]})
    theirs = motion.msd(table, mpp=1, fps=1, max_lagtime=30)
    ours, _ = mean_square_displacements(steps_of(track[seen], seen), 30)
    np.testing.assert_allclose(ours, theirs["msd"], rtol=1e-9)

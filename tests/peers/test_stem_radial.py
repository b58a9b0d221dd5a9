"""Radial profiles beside pyxem's azimuthal integral, on the same patterns."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import tifffile
from tests.real_data import real

import scopeside

pytestmark = [
    pytest.mark.peers,
    # What pyxem and what it stands on say of themselves is not ours to mend.
    pytest.mark.filterwarnings("ignore"),
]


def integral_of_pyxem(frame, centre, bins, r_max):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signals = pytest.importorskip("pyxem.signals", reason="pyxem is not installed")
        pattern = signals.ElectronDiffraction2D(np.stack([frame, frame]).astype(float))
        pattern.calibration.units = "k_A^-1"
        pattern.calibration.scale = 1.0
        pattern.calibration.center = (centre[1], centre[0])  # (x, y)
        found = pattern.get_azimuthal_integral1d(
            npt=bins, radial_range=(0, r_max), mean=True, inplace=False,
            show_progressbar=False,
        )  # fmt: skip
        return found.data[0]


def profile_of(frame, centre, bins, r_max, split):
    (found,) = scopeside.apply(
        "radial",
        frame[None],
        of=["mean_profile"],
        centre=[float(c) for c in centre],
        bins=bins,
        r_max=float(r_max),
        split=split,
    )
    return found.data


def rings(shape=(128, 128), centre=(61.3, 66.8)):
    row, column = np.mgrid[: shape[0], : shape[1]]
    r = np.hypot(row - centre[0], column - centre[1])
    bright = 1000 * np.exp(-((r / 25) ** 2)) + 300 * np.exp(-(((r - 40) / 4) ** 2))
    return (bright + 50).astype(np.float32)


@pytest.mark.parametrize("bins", [30, 60])
def test_split_pixels_agree_with_pyxem_on_drawn_rings(bins):
    frame, centre = rings(), (61.3, 66.8)
    theirs = integral_of_pyxem(frame, centre, bins, 60)
    ours = profile_of(frame, centre, bins, 60, split=8)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)


@pytest.mark.parametrize("bins", [30, 60])
def test_whole_pixels_agree_with_pyxem_within_what_a_pixel_is(bins):
    frame, centre = rings(), (61.3, 66.8)
    theirs = integral_of_pyxem(frame, centre, bins, 60)
    ours = profile_of(frame, centre, bins, 60, split=1)
    assert np.abs(ours - theirs).max() < 2e-3 * theirs.max()


@pytest.mark.parametrize("bins", [30, 60, 120])
def test_split_pixels_agree_with_pyxem_on_gold(bins):
    frame = tifffile.imread(real("stem/au_xgrating_20cm.tif")).astype(np.float32)
    row, column = np.mgrid[: frame.shape[0], : frame.shape[1]]
    centre = (frame * row).sum() / frame.sum(), (frame * column).sum() / frame.sum()
    theirs = integral_of_pyxem(frame, centre, bins, 120)
    ours = profile_of(frame, centre, bins, 120, split=8)
    assert np.abs(ours - theirs).max() < 1e-3 * theirs.max()
    # The bins of the bright beam hold some ten pixels that differ tenfold.
    outer = slice(bins // 10, None)
    np.testing.assert_allclose(ours[outer], theirs[outer], rtol=2e-3)

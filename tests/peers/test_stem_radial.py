"""Radial profiles beside those of pyxem, on the same data."""

import warnings

import numpy as np
import pytest
from tests.real_data import real

import scopeside

pytestmark = pytest.mark.peers


def pyxem_profile(frame, centre, bins, r_max):
    """The azimuthal mean that pyxem gives, pixels split by area."""
    pytest.importorskip("pyxem", reason="pyxem is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pyxem.signals import Diffraction2D

        signal = Diffraction2D(frame.astype(float))
        signal.calibration(scale=1.0, center=None)
        signal.calibration.center = tuple(centre[::-1])
        found = signal.get_azimuthal_integral1d(
            npt=bins, radial_range=(0, r_max), mean=True, inplace=False
        )
        return np.asarray(found.data)


def ours(frame, centre, bins, r_max):
    results = scopeside.apply(
        "radial",
        frame[None],
        centre=list(centre),
        units="px",
        bins=bins,
        r_max=r_max,
        split=8,
        of=["mean_profile"],
    )
    return next(iter(results)).data


def test_a_smooth_pattern_has_the_same_profile():
    y, x = np.mgrid[:128, :128]
    r = np.hypot(y - 63.3, x - 64.1)
    frame = 1000 + 500 * np.exp(-((r - 30) ** 2) / 50)
    one = ours(frame.astype(np.float32), (63.3, 64.1), 50, 50.0)
    other = pyxem_profile(frame, (63.3, 64.1), 50, 50.0)
    np.testing.assert_allclose(one[2:], other[2:], rtol=1e-3)


@pytest.mark.data
def test_the_rings_of_gold_have_the_same_profile():
    import tifffile

    frame = tifffile.imread(real("stem/au_xgrating_20cm.tif")).astype(np.float32)
    centre = (frame.shape[0] / 2 - 0.5, frame.shape[1] / 2 - 0.5)
    one = ours(frame, centre, 60, 120.0)
    other = pyxem_profile(frame, centre, 60, 120.0)
    np.testing.assert_allclose(one[4:], other[4:], rtol=5e-3)

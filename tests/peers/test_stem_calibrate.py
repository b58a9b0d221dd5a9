"""Calibration and inpainting as other people's programs see them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.real_data import real

import scopeside
from scopeside.acquisition import Acquisition
from scopeside_processors.stem.calibration import Calibration, wavelength_m
from scopeside_processors.stem.inpaint import inpaint
from scopeside_processors.stem.rotation import find_rotation

pytestmark = pytest.mark.peers


def matrix(angle, flip):
    known = {"scan_rotation_rad": angle, "flip": flip}
    about = Acquisition("a", (4, 4), np.dtype("u2"), calibration=known)
    return Calibration.of(about).to_scan()


def graphene_com():
    counts = np.load(real("stem/simulated/graphene80.npz"))["counts"].astype(float)
    total, at = counts.sum(axis=(2, 3)), np.arange(64)
    return np.stack([counts.sum(3) @ at / total, counts.sum(2) @ at / total], axis=-1)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("degrees", [0, 30, -100, 170])
def test_libertem_guesses_the_same_rotation_and_parity(degrees, flip):
    com = pytest.importorskip("libertem.udf.com", reason="libertem is not installed")
    field = graphene_com()
    field -= field.mean(axis=(0, 1))
    seen = field @ np.linalg.inv(matrix(math.radians(degrees), flip)).T
    ours, theirs = find_rotation(seen), com.guess_corrections(*np.moveaxis(seen, -1, 0))
    assert theirs.flip_y is ours.flip is flip
    turned = seen @ matrix(ours.angle_rad, ours.flip).T
    expected = com.apply_correction(
        *np.moveaxis(seen, -1, 0), theirs.scan_rotation, theirs.flip_y
    )
    # They search in whole degrees.
    limit = math.radians(0.51) * np.hypot(*np.moveaxis(turned, -1, 0)).max()
    np.testing.assert_allclose(turned, np.stack(expected, axis=-1), atol=limit)


@pytest.mark.filterwarnings("ignore")
def test_pyxem_finds_the_same_camera_length():
    reason = "pyxem is not installed"
    generator = pytest.importorskip(
        "pyxem.generators.calibration_generator", reason=reason
    )
    signals = pytest.importorskip("pyxem.signals", reason=reason)
    tifffile = pytest.importorskip("tifffile")
    pattern = tifffile.imread(real("stem/au_xgrating_20cm.tif"))
    theirs = generator.CalibrationGenerator(signals.ElectronDiffraction2D(pattern))
    theirs.get_elliptical_distortion(
        mask_radius=10, scale=100, amplitude=1000, asymmetry=0.9, spread=2
    )
    # Along one axis a radius counts as it is, along the other with the root of this.
    scale, stretch = theirs.ring_params[0], theirs.ring_params[4]
    known = {"beam_energy_eV": 200e3}
    found = {
        r.name: r for r in scopeside.apply("calibrate", pattern[None], known, ring="Au")
    }
    ours = found["rad_per_px"].data[0] / wavelength_m(200e3) * 1e-10
    assert ours == pytest.approx(stretch**0.25 / scale, rel=5e-3)
    assert found["ellipse"].data[0] == pytest.approx(stretch**-0.5, abs=5e-3)


@pytest.mark.filterwarnings("ignore")
def test_scikit_image_fills_gaps_alike():
    restoration = pytest.importorskip(
        "skimage.restoration", reason="scikit-image is not installed"
    )
    row, column = np.indices((64, 64))
    image = np.cos(column / 9) + np.sin(row / 7 + column / 30)
    mask = np.random.default_rng(0).random(image.shape) < 0.3
    mask[:4] = mask[-4:] = mask[:, :4] = mask[:, -4:] = True
    theirs = restoration.inpaint_biharmonic(image, ~mask)
    ours = inpaint(np.where(mask, image, 0), mask, tolerance=1e-9, steps=5000)
    np.testing.assert_allclose(ours, theirs, atol=5e-3)
    quick = inpaint(np.where(mask, image, 0), mask)
    np.testing.assert_allclose(quick, theirs, atol=3e-2)

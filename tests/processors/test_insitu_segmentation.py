"""What segmentation is built of: labels, depths, backgrounds, and what chance makes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from scopeside_processors.insitu import segmentation
from scopeside_processors.insitu.background import background_of
from scopeside_processors.insitu.chance import (
    Noise,
    height_for,
    regions_above,
    spurious,
)
from scopeside_processors.kernels import depths, label, ratio

MASKS = arrays.arrays(bool, st.tuples(st.integers(1, 14), st.integers(1, 14)))
CORNERS = np.ones((3, 3))


@given(MASKS, st.sampled_from([(label.BESIDE, None), (label.CORNERS, CORNERS)]))
def test_labels_are_those_of_scipy(mask, touch):
    ours = np.full(mask.shape, 7, np.int32)
    number = label.label(mask, touch[0], ours)
    theirs, expected = ndimage.label(mask, touch[1])
    assert number == expected
    np.testing.assert_array_equal(ours, theirs)


@given(MASKS)
def test_holes_are_those_of_scipy(mask):
    expected = ndimage.binary_fill_holes(mask)
    filled = mask.copy()
    label.fill_holes(filled, np.inf)
    np.testing.assert_array_equal(filled, expected)


def test_large_holes_stay():
    mask = np.ones((12, 12), bool)
    mask[2:5, 2:5] = mask[8, 8] = False
    label.fill_holes(mask, 8)
    assert (~mask).sum() == 9


@given(MASKS)
def test_depths_are_those_of_scipy(mask):
    expected = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    np.testing.assert_allclose(depths.depth_of(mask), expected, rtol=1e-6)


def test_only_good_regions_stay():
    labels = np.array([[1, 1, 0, 2], [0, 3, 3, 0]], np.int32)
    assert label.renumber(labels, np.array([False, True, False, True])) == 2
    assert labels.tolist() == [[1, 1, 0, 0], [0, 2, 2, 0]]


def test_heights_near_the_edge_count_less():
    image = np.full((9, 9), 2.0, np.float32)
    labels = np.zeros((9, 9), np.int32)
    labels[0, :2], labels[4, 4:6] = 1, 2
    area, plateau, most = label.heights(labels, image, 2, 2)
    assert area.tolist() == [0, 1, 2]
    assert plateau.tolist() == [0, 2, 2]
    assert most.tolist() == [0, 1.4, 2]


@pytest.mark.parametrize("width", [1.5, 3.0])
@pytest.mark.parametrize("height", [2.5, 3.5])
def test_noise_rises_above_a_height_as_often_as_said(width, height):
    rng = np.random.default_rng(8)
    found = 0
    for _ in range(6):
        field = ndimage.gaussian_filter(rng.standard_normal((400, 400)), width)
        found += ndimage.label(field > height * field.std(), CORNERS)[1]
    expected = regions_above(Noise(1.0, width), 6 * 400**2, height)
    assert found == pytest.approx(expected, rel=0.15, abs=3 * np.sqrt(expected))


def test_a_height_is_exceeded_as_often_as_asked():
    noise = Noise(0.1, 2.0)
    height = height_for(noise, 512**2, 1e-3)
    assert regions_above(noise, 512**2, height) == pytest.approx(1e-3, rel=1e-3)
    assert height_for(noise, 512**2, 1.0) < height


def test_high_and_large_regions_are_no_noise():
    noise = Noise(0.1, 2.0)
    area = np.array([10.0, 10.0, 4000.0])
    most = np.array([0.35, 0.9, 0.35])
    found = spurious(noise, 512**2, 0.3, area=area, most=most, false=1e-3)
    assert found.tolist() == [True, False, False]


# -- noise and background -------------------------------------------------------------


@pytest.mark.parametrize("mean", [1, 10, 1000])
def test_noise_is_seen_beside_edges_and_slopes(mean):
    y, x = np.mgrid[:256, :256]
    shown = mean * (1 + 0.2 * x / 256) * np.where((y // 32 + x // 32) % 2, 0.98, 1.0)
    counts = np.random.default_rng(1).poisson(shown).astype(np.uint16)
    expected = np.sqrt(shown.mean())
    assert segmentation.noise_of(counts) == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("covered", [0.0, 0.1, 0.4])
def test_the_background_is_found_beneath_particles(sign, covered):
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:64, :64]
    true = 100 * (1 + 0.2 * x / 64 + 0.1 * (y / 64) ** 2)
    particles = ndimage.gaussian_filter(rng.standard_normal((64, 64)), 2)
    there = particles > np.quantile(particles, 1 - covered)
    coarse = np.where(there, true * (1 + 0.3 * sign), true) + rng.normal(0, 1, (64, 64))
    found = background_of(coarse.astype(np.float32), sign, 8.0, 1.0)
    assert np.abs(found / true - 1).max() < 0.02


def test_waves_that_no_quadratic_follows_are_background():
    x = np.arange(64)[None] + np.zeros((64, 1))
    true = 100 * (1 + 0.1 * np.cos(2 * np.pi * x / 38))
    found = background_of(true.astype(np.float32), -1.0, 8.0, 0.1)
    assert np.abs(found / true - 1).mean() < 0.012
    assert np.abs(found / true - 1).max() < 0.06


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (2, 2), (3, 40)])
def test_small_fields_have_a_background(shape):
    found = background_of(np.full(shape, 50, np.float32), -1.0, 8.0, 0.5)
    np.testing.assert_allclose(found, 50, rtol=0.01)


def test_otsu_parts_two_heaps():
    values = np.concatenate([np.zeros(500), np.ones(300)])
    assert 0 < segmentation.otsu(values) <= 1
    assert segmentation.otsu(np.full(5, 2.0)) == 2


@pytest.mark.parametrize("shape", [(16, 24), (19, 21), (3, 5)])
def test_a_slope_over_itself_is_flat_up_to_the_rim(shape):
    slope = lambda y, x: 100 + 2 * y + 3 * x  # noqa: E731 - shorter so
    y, x = np.mgrid[: shape[0], : shape[1]]
    rows, columns = (-(-n // 8) for n in shape)
    v, u = np.mgrid[:rows, :columns]
    coarse = slope(8 * v + 3.5, 8 * u + 3.5).astype(np.float32)
    out = np.empty(shape, np.float32)
    ratio.ratio(2 * slope(y, x) + 7, 7.0, 1.0, coarse, 8, out)
    straight = slice(None) if min(shape) > 8 else slice(3, 5)
    np.testing.assert_allclose(
        out[straight, straight], 1, atol=0.001 if rows > 1 else 1
    )

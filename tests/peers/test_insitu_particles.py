"""Shapes against scikit-image's regionprops, on the same labels."""

import math

import numpy as np
import pytest
from scipy import ndimage

from scopeside_processors.insitu.segmentation import label_regions
from scopeside_processors.insitu.shapes import COLUMNS, shapes_of

pytestmark = pytest.mark.peers
measure = pytest.importorskip("skimage.measure", reason="scikit-image is the peer")


@pytest.fixture(scope="module")
def both():
    rng = np.random.default_rng(12)
    field = ndimage.gaussian_filter(rng.standard_normal((400, 400)), 5)
    label, number = label_regions(field > 0.05, None)
    ours = dict(zip(COLUMNS, shapes_of(label, number, field).table.T, strict=True))
    return ours, measure.regionprops(label)


def of_squares(axis):
    """The length of an axis where pixels are squares; theirs are points."""
    return 4 * math.sqrt((axis / 4) ** 2 + 1 / 12)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("area", lambda r: r.area),
        ("y", lambda r: r.centroid[0]),
        ("x", lambda r: r.centroid[1]),
        ("diameter", lambda r: r.equivalent_diameter_area),
        ("major_axis", lambda r: of_squares(r.axis_major_length)),
        ("minor_axis", lambda r: of_squares(r.axis_minor_length)),
        ("solidity", lambda r: r.solidity),
        ("perimeter", lambda r: r.perimeter_crofton),
    ],
)
def test_shapes_agree(both, name, theirs):
    ours, regions = both
    assert len(regions) > 100
    expected = [theirs(region) for region in regions]
    np.testing.assert_allclose(ours[name], expected, rtol=1e-9, atol=1e-9)


def test_axes_point_the_same_way(both):
    ours, regions = both
    long = ours["eccentricity"] > 0.3
    expected = np.array([region.orientation for region in regions])
    turned = (ours["orientation"] - expected) % math.pi
    assert np.minimum(turned, math.pi - turned)[long].max() < 1e-6

"""Descan, holes, the units of charge, and the colours of a field."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scopeside_processors.stem.calibration import wavelength_m
from scopeside_processors.stem.colour import full_length, wheel
from scopeside_processors.stem.deflection import (
    charge_per_divergence,
    filled,
    fit_plane,
    plane_over,
    turned,
    volts_per_radian,
)

PLANE = np.array([[31.0, 0.02, -0.03], [30.5, 0.0, 0.4]])


@settings(deadline=None)
@given(st.integers(2, 9), st.integers(2, 9), st.integers(0, 2**32 - 1))
def test_the_plane_through_positions_is_found_again(rows, columns, seed):
    rng = np.random.default_rng(seed)
    plane = rng.normal(size=(2, 3))
    known = rng.random((rows, columns)) < 0.6
    known[0, :2] = known[1, 0] = True
    positions = plane_over(plane, (rows, columns))
    positions[~known] = np.nan
    np.testing.assert_allclose(fit_plane(positions, known), plane, atol=1e-10)


def test_a_plane_is_the_least_squares_one():
    rng = np.random.default_rng(5)
    positions = rng.normal(size=(6, 7, 2))
    known = rng.random((6, 7)) < 0.8
    row, column = np.mgrid[:6, :7]
    matrix = np.stack([np.ones(known.sum()), row[known], column[known]], axis=1)
    expected = np.linalg.lstsq(matrix, positions[known], rcond=None)[0].T
    np.testing.assert_allclose(fit_plane(positions, known), expected, atol=1e-12)


@pytest.mark.parametrize("several", [1, 3])
def test_of_one_row_the_slope_along_it_is_found(several):
    known = np.zeros((several, 5, 6), bool)
    known[:, 2] = True
    positions = np.broadcast_to(plane_over(PLANE, (5, 6)), (several, 5, 6, 2))
    found = fit_plane(positions, known)
    assert found[:, 1].tolist() == [0, 0]
    np.testing.assert_allclose(found[:, 2], PLANE[:, 2], atol=1e-12)
    np.testing.assert_allclose(
        plane_over(found, (5, 6))[2], plane_over(PLANE, (5, 6))[2], atol=1e-12
    )


def test_without_positions_the_plane_is_zero():
    assert not fit_plane(np.ones((3, 3, 2)), np.zeros((3, 3), bool)).any()


def test_vectors_are_turned_by_the_matrix():
    vectors = np.random.default_rng(0).normal(size=(3, 4, 2))
    matrix = np.array([[0.0, 2.0], [-1.0, 0.5]])
    np.testing.assert_allclose(turned(vectors, matrix), vectors @ matrix.T)


def test_holes_get_the_mean_of_their_neighbours_and_the_rest_that_of_all():
    field = np.zeros((4, 5, 2))
    field[..., 0] = np.arange(4)[:, None]
    field[3] = np.nan
    known = np.ones((4, 5), bool)
    known[3] = known[1, 1] = known[0, 4] = False
    holes = np.zeros((4, 5), bool)
    holes[1, 1] = holes[0, 4] = True
    field[holes] = np.nan
    found = filled(field, known, holes)
    assert found[1, 1].tolist() == [1, 0]
    assert found[0, 4, 0] == pytest.approx(2 / 3)
    mean = field[known].mean(axis=0)
    np.testing.assert_allclose(found[3], np.tile(mean, (5, 1)))
    np.testing.assert_array_equal(found[known], field[known])


def test_nothing_known_is_filled_with_zeros():
    nothing = np.zeros((2, 2), bool)
    assert not filled(np.full((2, 2, 2), np.nan), nothing, ~nothing).any()


# -- units --------------------------------------------------------------------------


@pytest.mark.parametrize("energy", [80e3, 200e3, 300e3])
def test_volts_per_radian_is_the_phase_per_volt_seen_otherwise(energy):
    # φ = σ V, with σ = 2π m e λ / h² (Kirkland, equation 2.62: 2π/(λE) (mc²+eE)/(…)).
    rest = 510998.95
    length = wavelength_m(energy)
    sigma = 2 * np.pi / (length * energy) * (rest + energy) / (2 * rest + energy)
    assert volts_per_radian(energy) == pytest.approx(2 * np.pi / (length * sigma))


def test_the_charge_of_a_gaussian_potential_is_that_of_poisson():
    # ∇²V = -σ/ε₀ of the projected potential V; the beam turns by θ = λσ_e/2π ∇V.
    energy, rows = 200e3, 400
    y = (np.arange(rows) - 200) * 1e-12
    volts = np.exp(-(y**2) / (2 * (20e-12) ** 2)) * 1e-8
    turn = np.gradient(volts, y) / volts_per_radian(energy)
    found = -charge_per_divergence(energy) * np.gradient(turn, y)
    expected = -8.8541878128e-12 * np.gradient(np.gradient(volts, y), y)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert found[200] > 0  # the beam turns towards positive charge


# -- colour -------------------------------------------------------------------------


def test_directions_have_the_colours_of_the_wheel():
    x = [1, 0.5, -0.5, -1, -0.5, 0.5]
    y = np.sqrt(0.75) * np.array([0, 1, 1, 0, -1, -1])
    found = wheel(np.stack([y, x], axis=-1), 1.0)
    assert found.tolist() == [
        [255, 0, 0],
        [255, 255, 0],
        [0, 255, 0],
        [0, 255, 255],
        [0, 0, 255],
        [255, 0, 255],
    ]
    assert found.dtype == np.uint8


def test_brightness_is_length_over_the_scale():
    field = np.array([[0.0, 0.5], [0.0, 9.0], [0, 0], [np.nan, np.nan]])
    assert wheel(field, 1.0)[:, 0].tolist() == [128, 255, 0, 0]
    assert not wheel(field, 0.0).any()


def test_the_scale_leaves_out_what_is_not_known():
    field = np.zeros((100, 1, 2))
    field[:, 0, 0] = np.arange(100)
    field[99] = np.nan
    assert full_length(field) == pytest.approx(98 * 0.99)
    assert full_length(field[99:]) == 0

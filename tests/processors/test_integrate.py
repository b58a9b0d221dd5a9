"""From a gradient to its image and from a field to its sources, in pure arrays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scopeside_processors.stem.integrate import divergence, integrate

SIDES = st.integers(1, 12)
STEPS = st.tuples(st.floats(0.1, 9.0), st.floats(0.1, 9.0))
SEEDS = st.integers(0, 2**32 - 1)


def gradient_in_fourier_space(image, step):
    """The gradient of the smooth periodic image through the samples."""
    parts = []
    for axis in (0, 1):
        k = np.fft.fftfreq(image.shape[axis], step[axis])
        if len(k) % 2 == 0:
            k[len(k) // 2] = 0
        k = k[:, None] if axis == 0 else k
        parts.append(np.fft.ifft2(2j * np.pi * k * np.fft.fft2(image)).real)
    return np.stack(parts, axis=-1)


def without_nyquist(image):
    """What a gradient still knows of an image, if the image is real."""
    waves = np.fft.fft2(image)
    for axis, n in enumerate(image.shape):
        if n % 2 == 0:
            np.moveaxis(waves, axis, 0)[n // 2] = 0
    image = np.fft.ifft2(waves).real
    return image - image.mean()


def mirrored_to_twice_the_size(gradient):
    """The gradient of an image that is reflected beyond its lower and right edge."""
    both = []
    for axis in (0, 1):
        part = gradient[..., axis]
        for along in (0, 1):
            back = np.flip(part, along) * (-1 if along == axis else 1)
            part = np.concatenate([part, back], axis=along)
        both.append(part)
    return np.stack(both, axis=-1)


@settings(deadline=None)
@given(SIDES, SIDES, STEPS, SEEDS)
def test_the_image_of_a_gradient_is_found_again(rows, columns, step, seed):
    image = without_nyquist(np.random.default_rng(seed).normal(size=(rows, columns)))
    found = integrate(gradient_in_fourier_space(image, step), step)
    np.testing.assert_allclose(found, image, atol=1e-11)


@settings(deadline=None)
@given(SIDES, SIDES, STEPS, SEEDS, st.sampled_from([0.0, 0.07]))
def test_mirrors_are_a_periodic_image_of_four_times_the_size(
    rows, columns, step, seed, high_pass
):
    gradient = np.random.default_rng(seed).normal(size=(rows, columns, 2))
    whole = integrate(mirrored_to_twice_the_size(gradient), step, high_pass=high_pass)
    found = integrate(gradient, step, "mirror", high_pass)
    np.testing.assert_allclose(found, whole[:rows, :columns], atol=1e-11)


@settings(deadline=None)
@given(SIDES, SIDES, STEPS, SEEDS, st.sampled_from(["periodic", "mirror"]))
def test_the_mean_is_zero_and_the_sum_of_two_is_linear(rows, columns, step, seed, how):
    one, other = np.random.default_rng(seed).normal(size=(2, rows, columns, 2))
    found = integrate(one, step, how)
    assert found.shape == (rows, columns)
    assert abs(found.mean()) < 1e-11
    both = integrate(2 * one - other, step, how)
    expected = 2 * found - integrate(other, step, how)
    np.testing.assert_allclose(both, expected, atol=1e-10)


@settings(deadline=None)
@given(SIDES, SIDES, SEEDS)
def test_a_constant_field_has_no_periodic_image(rows, columns, seed):
    y, x = np.random.default_rng(seed).normal(size=2)
    found = integrate(np.tile([y, x], (rows, columns, 1)))
    np.testing.assert_allclose(found, 0, atol=1e-12)


def test_a_constant_field_is_a_ramp_between_mirrors():
    field = np.tile([0.25, -0.5], (40, 60, 1))
    found = integrate(field, (2.0, 1.0), "mirror")
    row, column = np.mgrid[:40, :60]
    ramp = 0.5 * row - 0.5 * column
    ramp = ramp - ramp.mean()
    # The kinks at the mirrors have frequencies beyond that of Nyquist.
    assert np.abs(found - ramp).max() < 0.4
    assert np.abs(found - ramp)[4:-4, 4:-4].max() < 0.03


def test_a_field_that_does_not_close_is_better_mirrored():
    row, column = np.mgrid[:48, :40] / 48
    image = row**2 + row * column
    image -= image.mean()
    field = np.stack([2 * row + column, row], axis=-1) / 48
    error = {
        how: np.std(integrate(field, boundary=how) - image)
        for how in ("periodic", "mirror")
    }
    assert error["mirror"] < 0.01
    assert error["periodic"] > 0.1


def test_the_high_pass_halves_its_frequency():
    y = np.arange(64)
    slow, fast = np.cos(2 * np.pi * 2 * y / 64), np.cos(2 * np.pi * 16 * y / 64)
    image = (slow + fast)[:, None] * np.ones(6)
    field = gradient_in_fourier_space(image, (1.0, 1.0))
    found = integrate(field, high_pass=2 / 64)
    waves = 2 * np.fft.rfft(found[:, 0]).real / 64
    assert waves[2] == pytest.approx(0.5)
    assert waves[16] == pytest.approx(1)


# -- divergence ---------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(2, 9), st.integers(2, 9), STEPS, SEEDS)
def test_the_divergence_is_that_of_differences(rows, columns, step, seed):
    field = np.random.default_rng(seed).normal(size=(rows, columns, 2))
    expected = np.gradient(field[..., 0], step[0], axis=0)
    expected += np.gradient(field[..., 1], step[1], axis=1)
    np.testing.assert_allclose(divergence(field, step), expected, atol=1e-12)


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), SEEDS)
def test_a_linear_field_has_its_divergence_wherever_two_neighbours_are(
    rows, columns, seed
):
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:rows, :columns]
    field = np.stack([3 * row + 5 * column, 7 * row - column], axis=-1).astype(float)
    seen = rng.random((rows, columns)) < 0.7
    field[~seen] = np.nan
    found = divergence(field, (2.0, 0.5), seen)
    expected = (1.5 if rows > 1 else 0) + (-2 if columns > 1 else 0)
    known = np.isfinite(found)
    np.testing.assert_allclose(found[known], expected, atol=1e-12)
    assert not known[~seen].any()


def test_a_position_on_its_own_has_no_divergence():
    seen = np.zeros((3, 3), bool)
    seen[0, 0] = seen[2, 1:] = seen[1, 2] = True
    found = divergence(np.ones((3, 3, 2)), seen=seen)
    assert np.argwhere(np.isfinite(found)).tolist() == [[2, 2]]

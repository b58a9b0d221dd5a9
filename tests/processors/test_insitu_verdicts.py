import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from scopeside_processors.insitu import absorbance, growth_shapes
from scopeside_processors.insitu.features import NAMES
from scopeside_processors.insitu.verdicts import LEAST, MOST, Trees, reason_for
from scopeside_processors.kernels import profiles, walks


def noise(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def blob(y, x, side=25, width=1.4):
    rows, columns = np.mgrid[:side, :side]
    away = (rows - y) ** 2 + (columns - x) ** 2
    return np.exp(-away / (2 * width**2)).astype(np.float32)


def walked(images, height, y, x, step=0.6):
    ratios, out = np.empty_like(images), np.empty((len(images), 3))
    walks.likeness(images, height, ratios)
    walks.followed_back(ratios, walks.step_taps(step), y, x, 1.0, out)
    return out


def values_with(**known):
    values = np.zeros(len(NAMES), np.float32)
    for name, value in known.items():
        values[NAMES.index(name)] = value
    return values


# --- kernels


def test_a_smoothed_patch_is_what_scipy_makes_of_it():
    patch, out = noise((4, 25, 25)), np.empty((4, 25, 25), np.float32)
    scatter = profiles.smoothed(patch, profiles.gaussian_taps(1.2), out)
    expected = ndimage.gaussian_filter(patch[2], 1.2, mode="constant", radius=4)
    np.testing.assert_allclose(out[2] * scatter, expected, atol=1e-5)


def test_a_smoothed_patch_has_noise_of_one():
    patch, out = noise((60, 25, 25)), np.empty((60, 25, 25), np.float32)
    profiles.smoothed(patch, profiles.gaussian_taps(1.0), out)
    assert np.diff(out, axis=0).std() / np.sqrt(2) == pytest.approx(1.0, rel=1e-3)


def test_halved_cells_keep_the_noise():
    out = np.empty((200, 8, 8), np.float32)
    profiles.halved(noise((200, 17, 17)), out)
    assert out.std() == pytest.approx(1.0, abs=0.02)


def test_levels_come_from_the_surroundings_and_unseen_cells_are_zero():
    patch = np.full((2, 25, 25), 0.5, np.float32)
    patch[:, 12, 12] = 2.5
    patch[1, :5] = np.nan
    share = profiles.levelled(patch, 6.0)
    assert share == pytest.approx(125 / 1250)
    np.testing.assert_allclose(patch[:, 12, 12], 2.0, atol=1e-6)
    np.testing.assert_array_equal(patch[1, :5], 0.0)


def test_rings_hold_the_mean_at_each_distance():
    rows, columns = np.mgrid[:21, :21]
    image = np.floor(np.hypot(rows - 10, columns - 10)).astype(np.float32)
    out = np.empty((5, 2))
    profiles.rings(image, 10.0, 10.0, np.arange(6.0), out)
    np.testing.assert_allclose(out[:, 0], np.arange(5))
    assert out[0, 1] == 1


def test_pairs_count_from_the_last_frame():
    images = np.arange(5, dtype=np.float32)[:, None, None] * np.ones((5, 7, 7), "f4")
    out = np.empty((2, 3, 3), np.float32)
    profiles.paired(images, 1, out)
    np.testing.assert_allclose(out[:, 0, 0], np.array([3, 7]) / np.sqrt(2), rtol=1e-6)


# --- walks


def test_a_particle_that_walks_here_is_followed_back_to_where_it_was():
    path = np.column_stack([np.linspace(6, 14, 30), np.full(30, 12.0)])
    images = 3.0 * np.array([blob(y, x) for y, x in path]) + noise((30, 25, 25), 1)
    out = walked(images, 3.0, 14.0, 12.0)
    assert out[-1, 0] > 50
    np.testing.assert_allclose(out[-1, 1:], path[0], atol=1.0)


def test_what_began_here_shows_no_walk_before_its_birth():
    images = noise((40, 25, 25), 2)
    images[20:] += 3.0 * blob(12.0, 12.0)
    out = walked(images, 3.0, 12.0, 12.0)
    assert out[19, 0] > 50
    assert out[39, 0] < out[19, 0]


@given(st.integers(0, 2**16))
def test_noise_speaks_against_a_walk(seed):
    assert walked(noise((30, 25, 25), seed), 2.0, 12.0, 12.0)[-1, 0] < 8


def test_very_bright_values_do_not_overflow():
    images = np.full((20, 25, 25), 60.0, np.float32)
    assert np.isfinite(walked(images, 4.0, 12.0, 12.0)).all()


# --- growth


def series(radius, n=60, height=4.0, seed=3):
    shape = growth_shapes.response(np.array([radius(t) for t in range(n)]))
    return height * shape / growth_shapes.response(np.array(1.0)) + noise(n, seed)


def test_growth_is_told_from_a_step():
    grown = series(lambda t: (max(t - 25, 0) / 20) ** 0.5)
    landed = series(lambda t: 1.3 if t >= 30 else 0.0)
    assert growth_shapes.fit(grown, 0.3).grows > 2
    assert growth_shapes.fit(landed, 0.3).grows < 0


def test_birth_is_estimated_back():
    fit = growth_shapes.fit(series(lambda t: (max(t - 25, 0) / 20) ** 0.5), 0.3)
    assert fit.age == pytest.approx(59 - 25, abs=6)


def test_a_constant_place_is_no_growth():
    fit = growth_shapes.fit(2.0 + noise(60, 4).astype(float), 2.0)
    assert fit.growth - fit.constant < 6


# --- size


def seen_rings(radius, per_px, cell=2.0):
    """Log transmission lost in rings about a sphere, radius in cells."""
    table, _ = absorbance.spheres()
    rows = [np.interp(radius, absorbance.RADII, column) for column in table.T]
    return per_px * cell * np.array(rows)


@pytest.mark.parametrize("radius", [1.2, 2.0, 4.0])
def test_a_radius_follows_from_a_known_absorbance(radius):
    size = absorbance.Absorbance(0.03).size(
        seen_rings(radius, 0.03), np.full(absorbance.RINGS, 1e-5), 2.0
    )
    assert size.radius == pytest.approx(radius, rel=0.08)


def test_absorbance_is_learnt_from_large_objects():
    learnt = absorbance.Absorbance()
    before = learnt.estimate[1]
    for radius in (2.5, 3.0, 4.0):
        learnt.learn(seen_rings(radius, 0.05), np.full(absorbance.RINGS, 1e-4), 2.0)
    assert learnt.estimate[0] == pytest.approx(0.05, rel=0.15)
    assert learnt.estimate[1] < 0.3 * before


def test_one_odd_object_does_not_overthrow_what_was_learnt():
    learnt = absorbance.Absorbance()
    variance = np.full(absorbance.RINGS, 1e-4)
    for radius in (2.5, 3.0, 3.5, 4.0):
        learnt.learn(seen_rings(radius, 0.02), variance, 2.0)
    learnt.learn(seen_rings(3.0, 0.2), variance, 2.0)
    assert learnt.estimate[0] == pytest.approx(0.02, rel=0.2)


def test_a_size_is_uncertain_while_the_absorbance_is_unknown():
    rings, variance = seen_rings(1.5, 0.03), np.full(absorbance.RINGS, 5e-4)
    unknown = absorbance.Absorbance().size(rings, variance, 2.0)
    known = absorbance.Absorbance(0.03).size(rings, variance, 2.0)
    assert unknown.scatter > 1.5 * known.scatter


# --- verdicts


def test_probabilities_are_probabilities_whatever_is_measured():
    trees = Trees.ours()
    for values in (np.full(len(NAMES), np.nan), 1e6 * noise(len(NAMES))):
        assert 0 <= trees.probability(values.astype(np.float32)) <= 1


def test_fewer_alarms_need_more_certainty():
    trees = Trees.ours()
    levels = [trees.threshold_for(rate) for rate in (1.0, 30.0, 300.0, 10_000.0)]
    assert levels == sorted(levels, reverse=True)
    assert all(LEAST <= level <= MOST for level in levels)


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        ({"walk_before_share": 1.0, "moved_24": 3.0}, "mover"),
        ({"walk_before_share": 1.0, "old_here": 1.0}, "present from the start"),
        ({"sector_least": -1.0}, "surroundings became brighter"),
        ({"ring_4": 0.8, "ring_2": 0.9}, "broad change"),
        ({"grows": -9.0}, "lander"),
        ({"radius": 0.6}, "embryo"),
        ({"radius": 1.4}, "no longer seen"),
    ],
)
def test_a_rejection_says_what_it_looks_like(known, reason):
    assert reason in reason_for(values_with(**known))

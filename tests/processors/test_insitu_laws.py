"""Diffusion, kinds of motion, growth laws, and what ensembles say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.processors import walks

from scopeside.errors import ConfigError, ShapeError
from scopeside_processors.insitu.change_points import change_points
from scopeside_processors.insitu.diffusion import blur_coefficient, bound, diffusion
from scopeside_processors.insitu.growth_laws import growth_law
from scopeside_processors.insitu.motion import (
    KINDS,
    fits_of,
    motion,
    probabilities_of,
)
from scopeside_processors.insitu.msd import mean_square_displacements
from scopeside_processors.insitu.nucleation_rate import (
    induction_time,
    nucleation_rate,
    poisson_interval,
)
from scopeside_processors.insitu.radius_series import POINTS, RadiusSeries
from scopeside_processors.insitu.roster import Roster
from scopeside_processors.insitu.size_distribution import (
    SHAPES,
    coarsening_density,
    size_distribution,
)
from scopeside_processors.insitu.steps import steps_of
from scopeside_processors.kernels.brownian import weigh
from scopeside_processors.kernels.increments import POWER, SPRING, step_covariance
from scopeside_processors.kernels.rim import DISK, SPHERE, measure_radii

METHODS = ("likelihood", "covariance", "msd")


def many(n, count=200, error=0.5, seed=0):
    rng = np.random.default_rng(seed)
    return [walks.brownian(n, rng, error) for _ in range(count)]


def relative(found, truth=1.0):
    values = np.array(found) / truth
    return values.mean() - 1, np.sqrt(np.mean((values - 1) ** 2))


# -- diffusion ----------------------------------------------------------------------


def test_a_diffusion_coefficient_is_a_number():
    d = diffusion(many(60, 1)[0], 0.1)
    assert float(d) * 2 == d + d
    assert np.array([d, 1.0]).dtype == np.float64
    assert d.interval[0] < d < d.interval[1]
    assert d.method == "likelihood"
    assert d.steps == 59


def test_time_is_in_the_unit_of_dt():
    track = many(60, 1)[0]
    slow, fast = diffusion(track, 1.0), diffusion(track, 0.1)
    assert fast == pytest.approx(10 * slow)
    assert fast.sigma == pytest.approx(10 * slow.sigma)


@pytest.mark.parametrize("method", METHODS)
def test_estimates_are_unbiased_and_near_the_bound(method):
    tracks = many(100)
    bias, rms = relative([diffusion(t, method=method) for t in tracks])
    least = bound(steps_of(tracks[0]), 1.0, 0.25, blur_coefficient(1.0))
    assert abs(bias) < 0.03
    assert rms < 1.15 * least


def test_no_error_at_all_makes_no_bias():
    bias, rms = relative([diffusion(t) for t in many(100, error=0.0)])
    assert abs(bias) < 0.03
    assert rms < 0.165  # the bound is 0.148


def test_a_known_error_makes_d_surer():
    tracks = many(100)
    free = [diffusion(t) for t in tracks]
    told = [diffusion(t, localisation=0.5) for t in tracks]
    assert relative(told)[1] < 0.85 * relative(free)[1]
    assert told[0].sigma < free[0].sigma


@pytest.mark.parametrize("method", METHODS)
def test_missing_frames_do_no_harm(method):
    rng = np.random.default_rng(3)
    found = []
    for track in many(130):
        track[rng.random(130) < 0.25] = np.nan
        found.append(diffusion(track, method=method))
    bias, rms = relative(found)
    assert abs(bias) < 0.05
    assert rms < 0.25


def test_rows_of_nan_are_frames_that_are_left_out():
    track = many(40, 1)[0]
    seen = np.ones(40, bool)
    seen[[3, 4, 17]] = False
    gaps = track.copy()
    gaps[~seen] = np.nan
    left_out = diffusion(track[seen], frames=np.flatnonzero(seen))
    assert diffusion(gaps) == left_out


def test_intervals_hold_what_they_promise():
    inside = [d.interval[0] < 1 < d.interval[1] for d in map(diffusion, many(100))]
    assert 0.9 < np.mean(inside) < 0.99


def test_a_particle_at_rest_has_no_d():
    assert diffusion(np.full((50, 2), 3.25)) == 0
    rng = np.random.default_rng(1)
    still = diffusion(walks.immobile(200, rng, 0.4))
    assert still.interval[0] < 0.01
    assert still.interval[1] < 0.05
    assert still.localisation == pytest.approx(0.4, rel=0.1)


def test_too_few_steps_give_nan():
    for n in range(4):
        d = diffusion(np.zeros((n, 2)) + np.arange(n)[:, None])
        assert np.isnan(d) or n > 3
    assert np.isnan(diffusion(np.full((20, 2), np.nan)))


def test_what_is_no_trajectory_is_refused():
    with pytest.raises(ShapeError, match=r"a trajectory is \(n, 2\), not \(5, 3\)"):
        diffusion(np.zeros((5, 3)))
    with pytest.raises(ShapeError, match="numbers of frames that grow"):
        diffusion(np.zeros((3, 2)), frames=[0, 2, 1])
    with pytest.raises(ConfigError, match="dt"):
        diffusion(np.zeros((5, 2)), 0)
    with pytest.raises(ConfigError, match="exposure"):
        diffusion(np.zeros((5, 2)), exposure=1.5)


def test_steps_are_weighed_as_with_their_whole_covariance():
    rng = np.random.default_rng(0)
    moves, lengths = rng.normal(size=(9, 2)), rng.integers(1, 4, 9).astype(float)
    covariance = np.diag(2 * 0.7 * (lengths - 1 / 3) + 2 * 0.2)
    near = 2 * 0.7 / 6 - 0.2
    covariance += near * (np.eye(9, k=1) + np.eye(9, k=-1))
    determinant, square = weigh(moves, lengths, 1 / 6, 0.7, 0.2)
    assert determinant == pytest.approx(np.linalg.slogdet(covariance)[1])
    solved = np.linalg.solve(covariance, moves)
    assert square == pytest.approx((moves * solved).sum())


def test_mean_squares_are_those_of_all_pairs():
    track = np.array([[0, 0], [1, 0], [np.nan, 0], [3, 0], [3, 2]], float)
    squares, pairs = mean_square_displacements(steps_of(track), 4)
    assert pairs.tolist() == [2, 1, 2, 1]
    assert squares.tolist() == [2.5, 4.0, (9 + 8) / 2, 13.0]


@given(st.floats(0.01, 100), st.floats(-50, 50), st.integers(0, 50))
@settings(max_examples=25, deadline=None)
def test_d_goes_with_the_square_of_lengths_and_not_with_the_place(scale, place, seed):
    rng = np.random.default_rng(seed)
    track = walks.brownian(30, rng, 0.5)
    d = diffusion(track)
    moved = diffusion(track * scale + place)
    assert moved == pytest.approx(d * scale**2, rel=1e-3, abs=1e-6 * scale**2)


# -- kinds of motion ----------------------------------------------------------------


@pytest.mark.parametrize(("alpha", "exposure"), [(1.0, 1.0), (1.0, 0.0), (1.0, 0.5)])
def test_with_exponent_one_steps_are_brownian(alpha, exposure):
    found = step_covariance(POWER, alpha, 0.3, exposure, 4)
    r = exposure / 6
    expected = [2 * (1 - 2 * r) + 0.6, 2 * r - 0.3, 0, 0]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_weak_spring_is_none():
    spring = step_covariance(SPRING, 1e-4, 0.3, 1.0, 3)
    free = step_covariance(POWER, 1.0, 0.3, 1.0, 3)
    np.testing.assert_allclose(spring, free, atol=1e-3)


@pytest.mark.parametrize("alpha", [0.5, 1.5])
def test_the_exponent_is_found_with_its_error(alpha):
    rng = np.random.default_rng(7)
    tracks = [walks.fractional(200, rng, 0.3, alpha) for _ in range(12)]
    found = [motion(track) for track in tracks]
    exponents = np.array([m.alpha for m in found])
    said = np.median([m.alpha_sigma for m in found])
    assert abs(exponents.mean() - alpha) < 0.1
    assert 0.4 * said < exponents.std() < 2 * said


def test_every_kind_is_told_from_the_others():
    rng = np.random.default_rng(11)
    tracks = {
        "brownian": walks.brownian(200, rng, 0.4),
        "fractional": walks.fractional(200, rng, 0.2, 1.5),
        "ctrw": walks.resting(200, rng, 0.2),
        "confined": walks.confined(200, rng, 0.3, 3.0),
        "directed": walks.directed(200, rng, 0.4, 1.0),
        "immobile": walks.immobile(200, rng, 0.4),
    }
    found = {kind: motion(track) for kind, track in tracks.items()}
    assert {kind: m.kind for kind, m in found.items()} == {k: k for k in KINDS}
    for m in found.values():
        assert sum(m.probabilities.values()) == pytest.approx(1)
    assert found["confined"].radius == pytest.approx(3.0, rel=0.2)
    assert found["directed"].velocity == pytest.approx(1.0, abs=0.3)
    assert np.isnan(found["brownian"].radius)


def test_what_is_said_of_the_kind_is_right_as_often_as_it_says():
    rng = np.random.default_rng(42)
    truth = np.arange(180) % len(KINDS)
    tracks = [walks.any_walk(rng, KINDS[kind], longest=100) for kind in truth]
    found = [list(probabilities_of(fits_of(track)).values()) for track in tracks]
    said, right = np.max(found, axis=1), np.argmax(found, axis=1) == truth
    assert right.mean() == pytest.approx(said.mean(), abs=0.07)
    sure = said > 0.8
    assert right[sure].mean() == pytest.approx(said[sure].mean(), abs=0.08)


def test_gaps_cut_a_track_into_runs():
    rng = np.random.default_rng(5)
    track = walks.confined(200, rng, 0.3, 3.0)
    track[50::40] = np.nan
    columns, runs = steps_of(track).runs()
    assert runs.tolist() == [0, 49, 87, 125, 163, len(columns)]
    assert motion(track).kind == "confined"


def test_of_a_few_steps_no_kind_is_said():
    assert motion(np.cumsum(np.ones((8, 2)), axis=0)).kind is None
    assert motion(np.zeros((40, 2))).kind is None


# -- growth -------------------------------------------------------------------------


def grown(n, points, tau=10.0, noise=0.2, seed=0):
    rng = np.random.default_rng(seed)
    t = np.linspace(tau, tau * 4 ** (1 / n), points)  # from 3 to 12 px
    return t, 3 * (t / tau) ** n + rng.normal(0, noise, points)


@pytest.mark.parametrize(("n", "law"), [(1 / 2, "parabolic"), (1 / 3, "cubic")])
def test_a_law_is_told_from_the_others(n, law):
    found = [growth_law(*grown(n, 100, seed=k), 0.2) for k in range(30)]
    other = {"parabolic": "cubic", "cubic": "parabolic"}[law]
    ratios = [g.laws[law].probability > g.laws[other].probability for g in found]
    assert np.mean(ratios) >= 0.9
    assert np.mean([g.best.law == law for g in found]) >= 0.8
    exponents = np.array([g.laws["power"].exponent for g in found])
    assert np.sqrt(np.mean((exponents - n) ** 2)) < 0.05


def test_rate_start_and_noise_are_found():
    t, r = grown(1 / 2, 200)
    found = growth_law(t, r, 0.2)
    best = found.laws["parabolic"]
    assert best.rate_low < 0.9 < best.rate_high  # 3² / 10
    assert best.rate == pytest.approx(0.9, rel=0.05)
    assert best.start == pytest.approx(0, abs=3)
    assert best.speed == pytest.approx(0.5 * 12 / t[-1], rel=0.1)
    assert found.noise == pytest.approx(1, abs=0.2)


def test_an_interval_of_a_rate_holds_what_it_promises():
    inside = 0
    for seed in range(60):
        fit = growth_law(*grown(1 / 3, 120, seed=seed)).laws["cubic"]
        inside += fit.rate_low < 2.7 < fit.rate_high
    assert inside >= 52


def test_what_dissolves_is_told_by_its_end():
    t = np.arange(100.0)
    rng = np.random.default_rng(0)
    r = 3 * ((130 - t) / 20) ** 0.5 + rng.normal(0, 0.1, 100)
    found = growth_law(t, r)
    assert found.dissolving
    fit = found.laws["parabolic"]
    assert fit.start == pytest.approx(130, abs=5)
    assert fit.speed < 0
    assert fit.rate == pytest.approx(9 / 20, rel=0.1)
    assert fit.radius == pytest.approx(r[-1], abs=0.3)


def test_what_stays_has_no_rate():
    rng = np.random.default_rng(0)
    best = growth_law(np.arange(80.0), 5 + rng.normal(0, 0.2, 80)).best
    assert best.law == "plateau"
    assert best.rate == best.speed == 0
    assert best.radius == pytest.approx(5, abs=0.1)


def test_probabilities_of_the_laws_add_up():
    found = growth_law(*grown(1 / 2, 30))
    assert sum(fit.probability for fit in found.laws.values()) == pytest.approx(1)


def test_radii_without_noise_are_fitted():
    t, r = grown(1 / 2, 30, noise=0.0)
    assert growth_law(t, r).laws["power"].exponent == pytest.approx(0.5, abs=1e-3)
    assert growth_law(t, np.full(30, 4.0)).best.law == "plateau"


def test_few_or_unknown_radii_have_no_law():
    assert growth_law([0, 1, 2], [3, 4, 5]).best is None
    assert growth_law(np.arange(20.0), np.full(20, np.nan)).best is None
    with pytest.raises(ShapeError, match="times must grow"):
        growth_law(np.zeros(20), np.ones(20))


def test_the_end_of_growth_is_a_change():
    rng = np.random.default_rng(2)
    t = np.arange(100.0)
    r = 3 * np.sqrt(np.minimum(t + 10, 70) / 10) + rng.normal(0, 0.2, 100)
    (change,) = change_points(t, r, 0.2)
    assert change.time == pytest.approx(60, abs=6)
    assert change.speed_before > 0.03
    assert abs(change.speed_after) < 0.01


@pytest.mark.parametrize("n", [0, 1 / 3, 1 / 2, 0.6, 1])
def test_one_law_has_no_change(n):
    t = np.arange(100.0)
    radii = 3 * ((t + 10) / 10) ** n
    rng = np.random.default_rng(4)
    noisy = [radii + rng.normal(0, 0.2, 100) for _ in range(20)]
    assert not any(change_points(t, r, 0.2) for r in noisy)


def test_a_series_keeps_its_means_in_so_many_points():
    series = RadiusSeries(3)
    for frame in range(1000):
        series.add(np.array([7]), np.array([0.01 * frame]), frame)
    t, radius, error = series.of(0)
    assert POINTS // 2 <= len(t) <= POINTS
    np.testing.assert_allclose(radius, 0.01 * t, rtol=1e-5)
    np.testing.assert_allclose(error, 0.25)  # of 16 frames each


def test_who_was_not_seen_for_longest_gives_way():
    roster = Roster(2)
    assert roster.rows(np.array([5, 6]), 0)[0].tolist() == [0, 1]
    roster.rows(np.array([6]), 1)
    rows, new = roster.rows(np.array([6, 9]), 2)
    assert rows.tolist() == [1, 0]
    assert new.tolist() == [False, True]
    assert roster.rows(np.array([6, 9, 10]), 2)[0].tolist() == [1, 0, -1]


# -- radii --------------------------------------------------------------------------


def drawn(radius, model, depth=0.6, dose=30.0, place=(40.3, 37.8)):
    rows, columns = np.mgrid[:80, :80]
    d = np.hypot(rows - place[0], columns - place[1])
    if model == SPHERE:
        loss = np.sqrt(np.maximum(1 - (d / radius) ** 2, 0))
    else:
        loss = np.clip(radius + 0.5 - d, 0, 1)
    mean = dose * np.exp(-depth * loss)
    return np.random.default_rng(1).poisson(mean).astype(np.uint16)


@pytest.mark.parametrize("model", [SPHERE, DISK])
@pytest.mark.parametrize("radius", [3.0, 6.0, 12.0])
def test_a_radius_is_that_of_the_rim(model, radius):
    place, near = np.array([[40.3, 37.8]]), np.array([radius * 1.1])
    found, sigma = measure_radii(
        drawn(radius, model), place, near * 0.6, near * 2, near, model, 1.0, 0.0, 1.0
    )
    assert found[0] == pytest.approx(radius, abs=max(4 * sigma[0], 0.3))
    assert sigma[0] < 0.3


def test_without_a_particle_there_is_no_radius():
    place, near = np.array([[40.3, 37.8]]), np.array([5.0])
    bright = drawn(5.0, SPHERE, depth=-0.6)
    found, _ = measure_radii(
        bright, place, near / 2, near * 2, near, SPHERE, 1.0, 0.0, 1.0
    )
    assert np.isnan(found[0])
    blank = np.zeros((80, 80), np.uint16)
    found, _ = measure_radii(
        blank, place, near / 2, near * 2, near, SPHERE, 1.0, 0.0, 1.0
    )
    assert np.isnan(found[0])


# -- ensembles ----------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["diffusion", "reaction"])
def test_coarsening_has_density_one_and_mean_one(shape):
    u = np.linspace(0, 2.25, 20_001)
    density = coarsening_density(u, shape)
    step = u[1]
    assert density.sum() * step == pytest.approx(1, abs=1e-6)
    assert (density * u).sum() * step == pytest.approx(1, abs=1e-6)


def sample(shape, n, rng):
    if shape == "lognormal":
        return rng.lognormal(0, 0.3, n)
    u = np.linspace(0, 2.25, 4001)
    whole = np.cumsum(coarsening_density(u, shape))
    return np.interp(rng.uniform(size=n), whole / whole[-1], u)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_distribution_is_told_from_the_others(shape):
    rng = np.random.default_rng(8)
    found = [size_distribution(5 * sample(shape, 200, rng)) for _ in range(8)]
    best = [max(fits.values(), key=lambda f: f.probability).shape for fits in found]
    assert best.count(shape) >= 7
    assert np.median([fits[shape].p_value for fits in found]) > 0.1
    scales = [fits[shape].scale for fits in found]
    assert np.mean(scales) == pytest.approx(5, rel=0.05)


def test_the_wrong_shape_fails_the_test():
    rng = np.random.default_rng(9)
    fits = size_distribution(sample("lognormal", 300, rng))
    assert fits["diffusion"].p_value < 0.05
    assert fits["lognormal"].p_value > 0.05


def test_a_few_radii_have_no_distribution():
    assert size_distribution([3.0] * 40) == {}
    assert size_distribution([1, 2, 3, np.nan]) == {}


def test_intervals_of_counts_are_those_of_the_tables():
    low, high = poisson_interval([0, 1, 10])
    np.testing.assert_allclose(low, [0, 0.0253, 4.795], rtol=1e-2)
    np.testing.assert_allclose(high, [3.689, 5.572, 18.39], rtol=1e-3)


def test_a_rate_is_births_by_time_and_area():
    found = nucleation_rate([1, 2, 11, 12, 13, 29], [0, 10, 20, 30], 100.0)
    assert found.counts.tolist() == [2, 3, 1]
    np.testing.assert_allclose(found.rate, [0.002, 0.003, 0.001])
    assert (found.low < found.rate).all()
    assert (found.rate < found.high).all()


def test_induction_is_where_the_count_begins():
    births = 40 + 2 * np.arange(1, 41)
    assert induction_time(births) == pytest.approx(40, abs=0.5)
    assert np.isnan(induction_time([1, 2]))


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_the_interval_of_the_speed_holds_it_as_often_as_it_says(side: float) -> None:
    rng = np.random.default_rng(5)
    t = np.arange(60.0)
    since = 5 + (t if side > 0 else t[::-1])
    true = side * 0.5 * 0.2**0.5 * since[-1] ** -0.5
    radii = (0.2 * since) ** 0.5 + rng.normal(0, 0.1, (100, 60))
    fits = [growth_law(t, one, 0.1).laws["parabolic"] for one in radii]
    held = [fit.speed_low <= true <= fit.speed_high for fit in fits]
    assert 0.88 <= np.mean(held) <= 0.99

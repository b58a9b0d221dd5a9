"""Non-negative mixtures, the shares of phases, their kinetics, peaks and G(r)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import lsq_linear, nnls

from scopeside.acquisition import Acquisition, Scan
from scopeside.batch import Batch
from scopeside.errors import ConfigError
from scopeside.messages import validate
from scopeside.testing import check_processor
from scopeside_processors.kernels.nnls import unmix
from scopeside_processors.stem.kinetics import avrami, fit_avrami
from scopeside_processors.stem.peaks import PeakParams, fit_peaks, pseudo_voigt
from scopeside_processors.stem.phases import Phases, phase_fractions
from scopeside_processors.stem.references import (
    Background,
    PeakReference,
    components_of,
    gaussian,
)

SHAPE = (96, 96)
A, B = [[15.0, 1.0], [30.0, 0.6]], [[18.0, 0.8], [26.0, 1.0], [40.0, 0.3]]
REFERENCES = {"a": {"peaks": A, "width": 3.0}, "b": {"peaks": B, "width": 3.0}}
PARAMS = {"references": REFERENCES, "background": {"spline": 4}, "r_min": 5.0}


def pattern(peaks, centre=(47.5, 47.5)):
    row, column = np.mgrid[: SHAPE[0], : SHAPE[1]]
    radius = np.hypot(row - centre[0], column - centre[1])
    return np.sum([gaussian(radius, at, height, 3.0) for at, height in peaks], axis=0)


PURE_A, PURE_B = pattern(A), pattern(B)
UNDER = 0.2 + 3 * pattern([[0.0, 1.0]]) + 0.1


def mixtures(shares, dose=1.0, seed=0):
    frames = [dose * ((1 - x) * PURE_A + x * PURE_B + UNDER) for x in shares]
    return np.random.default_rng(seed).poisson(frames).astype(np.uint16)


def new(params=None, dtype="u2", **acquisition):
    about = Acquisition("a", SHAPE, np.dtype(dtype), **acquisition)
    checked = validate(Phases.Params, {**PARAMS, **(params or {})}, where="phases")
    return Phases(about, checked)


def batch(frames, first=0):
    index = np.arange(first, first + len(frames))
    return Batch(frames, index, 1000 * index)


def results(processor):
    return {result.name: result for result in processor.results()}


# -- non-negative least squares -----------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(10, 90), st.integers(1, 9))
def test_amounts_are_those_of_scipy(seed, points, components):
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 1, points)[:, None]
    widths = rng.uniform(0.05, 0.4, components)
    columns = np.exp(-(((x - rng.random(components)) / widths) ** 2))
    columns *= rng.uniform(0.1, 100, components)
    lengths = np.linalg.norm(columns, axis=0)
    if (lengths < 1e-3).any() or np.linalg.cond(columns / lengths) > 1e3:
        return
    curve = columns @ rng.uniform(-1, 1, components) + rng.normal(0, 1, points)
    pixels = rng.integers(0, 50, points).astype(float)
    found = unmix(
        curve[None], pixels[None], columns, np.zeros(components, bool), rounds=0
    )
    root = np.sqrt(pixels)
    expected, _ = nnls(root[:, None] * columns, root * curve)
    scale = max(expected.max(), 1e-12)
    np.testing.assert_allclose(found.amount[0], expected, rtol=0, atol=1e-8 * scale)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_free_components_may_be_negative(seed):
    rng = np.random.default_rng(seed)
    columns, curve = rng.random((40, 6)), rng.normal(0, 1, 40)
    free = np.array([False, True, False, True, False, False])
    found = unmix(curve[None], np.ones((1, 40)), columns, free, rounds=0)
    low = np.where(free, -np.inf, 0)
    expected = lsq_linear(columns, curve, (low, np.inf), method="bvls", tol=1e-14)
    np.testing.assert_allclose(found.amount[0], expected.x, atol=1e-8)


def test_components_that_are_the_same_are_taken_once():
    one = np.linspace(1, 2, 9)
    columns = np.stack([one, one], axis=1)
    found = unmix(3 * one[None], np.ones((1, 9)), columns, np.zeros(2, bool), rounds=2)
    assert found.amount.sum() == pytest.approx(3)
    assert (found.amount >= 0).all()


def test_nothing_but_zero_fits_a_curve_below_zero():
    columns = np.ones((5, 2)) * [[1, 2]]
    found = unmix(-np.ones((1, 5)), np.ones((1, 5)), columns, np.zeros(2, bool),
                  rounds=0)  # fmt: skip
    assert found.amount.tolist() == [[0, 0]]


def test_points_without_pixels_are_left_out():
    columns = np.ones((4, 1))
    curve, pixels = np.array([[1.0, np.nan, 3.0, 50.0]]), np.array([[1.0, 0, 1, 0]])
    found = unmix(curve, pixels, columns, np.zeros(1, bool), rounds=0)
    assert found.amount[0, 0] == pytest.approx(2)


# -- shares -------------------------------------------------------------------------


def test_a_mixture_without_noise_is_known_exactly():
    r = np.arange(5.5, 46)
    columns = components_of(
        {name: PeakReference(**given) for name, given in REFERENCES.items()},
        Background(polynomial=2),
        {},
        r,
        "px",
    )
    under = 3 - 0.05 * r + 0.001 * r**2
    shares = np.array([0.0, 0.3, 0.75, 1.0])
    a, b = columns.columns[:, 0], columns.columns[:, 1]
    profiles = np.array([2 * ((1 - x) * a + x * b) + under for x in shares])
    pixels = np.tile(2 * np.pi * r, (4, 1))
    found = phase_fractions(profiles, pixels, columns)
    np.testing.assert_allclose(found.fractions[:, 1], shares, atol=1e-9)
    np.testing.assert_allclose(found.fractions.sum(axis=1), 1, atol=1e-12)


@pytest.mark.parametrize("dose", [0.3, 1.0, 10.0])
def test_shares_are_found_within_their_errors(dose):
    shares = np.linspace(0.2, 0.8, 60)
    processor = new({"of": ["fractions", "errors", "residual"]})
    processor.process(batch(mixtures(shares, dose)))
    found = results(processor)
    pull = (found["fractions"].data[:, 1] - shares) / found["errors"].data[:, 1]
    assert np.abs(pull.mean()) < 0.5
    assert 0.75 < pull.std() < 1.25
    assert found["residual"].data.mean() == pytest.approx(1, abs=0.15)
    assert found["errors"].data.mean() < 0.08 / np.sqrt(dose)


def test_a_scan_gives_shares_for_each_position():
    processor = new(scan=Scan((2, 3)))
    processor.process(batch(mixtures(np.linspace(0, 1, 6), 5)))
    found = results(processor)
    shares = found["fractions"]
    assert (shares.data.shape, shares.axes[-1]) == ((2, 3, 2), "phase")
    assert shares.meta["phases"] == ["a", "b"]
    assert found["background"].data.shape == (2, 3, 7)
    assert found["background"].meta["terms"] == [f"B{k}" for k in range(7)]
    assert found["residual"].data.shape == (2, 3)


def test_references_may_be_files(tmp_path):
    r = np.linspace(0, 60, 400)
    for name, peaks in (("a", A), ("b", B)):
        curve = np.sum([gaussian(r, at, h, 3.0) for at, h in peaks], axis=0)
        np.save(tmp_path / f"{name}.npy", np.stack([r, curve], axis=1))
        rows = [f"{x!r},{y!r}" for x, y in zip(r.tolist(), curve.tolist(), strict=True)]
        text = "\n".join(["# pure", "radius,counts", *rows])
        (tmp_path / f"{name}.csv").write_text(text)
    frames = mixtures([0.4], 5)
    found = []
    for end in ("npy", "csv"):
        files = {name: str(tmp_path / f"{name}.{end}") for name in "ab"}
        processor = new({"references": files})
        processor.process(batch(frames))
        found.append(results(processor)["fractions"].data[0, 1])
    assert found[0] == pytest.approx(found[1], abs=1e-12)
    assert found[0] == pytest.approx(0.4, abs=0.05)


def test_the_scale_counts_what_a_unit_of_a_reference_is():
    frames = mixtures([0.5], 20)
    plain, scaled = new(), new({"scale": {"b": 3.0}})
    for processor in (plain, scaled):
        processor.process(batch(frames))
    one, other = (results(p)["fractions"].data[0, 1] for p in (plain, scaled))
    assert other == pytest.approx(3 * one / (1 + 2 * one))


def test_positions_without_a_phase_are_invalid_with_the_reason():
    frames = mixtures([0.2, 0.4, 0.6])
    frames[1] = 0
    frames[2] = 7 - np.minimum(7, (6 * PURE_A + 6 * PURE_B)).astype(np.uint16)
    processor = new({"of": ["fractions", "validity"], "background": {"polynomial": 0}})
    processor.process(batch(frames))
    found = results(processor)
    assert found["validity"].data.tolist() == [0, 1, 6]
    assert found["validity"].meta["reasons"]["6"] == "no phase is seen"
    assert found["fractions"].meta["invalid"] == {"no counts": 1, "no phase is seen": 1}
    assert np.isnan(found["fractions"].data[1:]).all()
    assert found["fractions"].mask.tolist() == [[True] * 2, [False] * 2, [False] * 2]


def test_a_frame_that_is_no_number_spoils_nothing_else():
    frames = mixtures([0.3, 0.3]).astype(np.float32)
    frames[0, 47, 60] = np.nan
    processor = new(dtype="f4")
    processor.process(batch(frames))
    found = results(processor)["fractions"]
    assert np.isnan(found.data[0]).all()
    assert found.data[1, 1] == pytest.approx(0.3, abs=0.1)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"references": {}}, r"phases\.references"),
        ({"references": {"a": "/none.csv"}}, r"references\.a: .*none\.csv cannot be"),
        ({"references": {"a": {"peaks": [[300, 1]], "width": 1}}},
         r"references\.a: its peaks must be positive .* 5\.5 and 47\.5 px"),
        ({"kinetics": {"phase": "c"}}, r"kinetics\.phase = 'c' is no reference"),
        ({"of": ["peaks"]}, r"peaks needs the table peaks"),
        ({"scale": {"c": 1}}, r"phases\.scale: 'c' is no reference \(a, b are\)"),
        ({"background": {}}, r"exactly one of power, polynomial, spline"),
        ({"background": {"spline": 2, "polynomial": 1}}, r"exactly one of"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_its_key(params, message):
    with pytest.raises(ConfigError, match=message):
        new(params)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [[0, 1], [20, 2]],
            r"references\.a: .*a\.npy covers 0 to 20, the bins 5\.5 to",
        ),
        ([[0, 1], [0, 2]], r"references\.a: .*positions must ascend"),
        ([[0, 1, 2]], r"references\.a: .*a reference is \(n, 2\)"),
        ([[0, -1], [90, 2]], r"references\.a: .*and negative nowhere"),
    ],
)
def test_references_that_are_of_no_use_are_named(tmp_path, rows, message):
    np.save(tmp_path / "a.npy", np.array(rows, float))
    with pytest.raises(ConfigError, match=message):
        new({"references": {"a": str(tmp_path / "a.npy")}})


def test_a_scan_has_no_kinetics():
    with pytest.raises(ConfigError, match=r"phases\.kinetics needs a series"):
        new({"kinetics": {"phase": "b"}}, scan=Scan((2, 3)))


# -- kinetics -----------------------------------------------------------------------


@pytest.mark.parametrize("n", [1.0, 2.5, 4.0])
@pytest.mark.parametrize("plateau", [1.0, 0.7])
def test_the_kinetics_of_a_transformation_are_found(n, plateau):
    t = np.arange(0, 60, 0.5)
    share = plateau * avrami(t, 0.08, n, 6.0)
    noisy = share + np.random.default_rng(1).normal(0, 0.01, len(t))
    exact, found = fit_avrami(t, share, plateau), fit_avrami(t, noisy, plateau)
    assert (exact.k, exact.n, exact.t0) == pytest.approx((0.08, n, 6.0), rel=2e-3)
    assert exact.reason == ""
    errors = np.sqrt(np.diag(found.covariance))
    off = np.array([found.k, found.n, found.t0]) - [0.08, n, 6.0]
    assert (np.abs(off) < 4 * errors).all()


def test_there_are_no_kinetics_before_there_is_something_to_fit():
    few = fit_avrami(np.arange(5.0), np.linspace(0, 1, 5))
    assert few.reason == "5 points; a fit needs 8"
    flat = fit_avrami(np.arange(30.0), np.full(30, 0.05))
    assert flat.reason == "the share has reached 0.05 of its plateau; a fit needs 0.2"


def test_the_kinetics_follow_the_stream():
    t = np.arange(60)
    frames = mixtures(avrami(t, 0.05, 2.5, 5.0), 5)
    params = {"kinetics": {"phase": "b", "every": 16}, "of": ["kinetics"]}
    processor = new(params, frames=60, calibration={"frame_time_s": 0.5})
    found = []
    for first in range(0, 60, 10):
        processor.process(batch(frames[first : first + 10], first))
        found.append(results(processor)["kinetics"])
    # 16 points have not yet reached a fifth of the plateau.
    assert [result.valid for result in found] == [False] * 3 + [True] * 3
    assert [result.meta.get("points") for result in found[3:]] == [32, 48, 60]
    last = found[-1]
    # The three are correlated: their errors say how far off they may be.
    errors = np.sqrt(np.diag(last.meta["covariance"]))
    assert (np.abs(last.data - [0.1, 2.5, 2.5]) < 4 * errors).all()
    assert (errors < [0.01, 0.4, 1.0]).all()
    assert last.meta["units"] == ["1/s", "", "s"]
    assert np.array(last.meta["covariance"]).shape == (3, 3)


# -- peaks --------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["gaussian", "pseudo-voigt"])
def test_peaks_are_found_where_they_were_put(shape):
    r = np.arange(0.5, 60)
    profile = 3 - 0.02 * r
    truth = [[18.3, 5.0, 4.0, 0.3], [33.6, 2.0, 3.0, 0.7]]
    for at, height, width, eta in truth:
        profile += pseudo_voigt(
            r, at, height, width, eta if shape == "pseudo-voigt" else 0
        )
    wanted = PeakParams(positions=(18, 34), width=3.5, shape=shape, reach=4)
    found = fit_peaks(r, profile, np.full(60, 0.01), wanted)
    expected = np.array(truth)
    if shape == "gaussian":
        expected[:, 3] = 0
    np.testing.assert_allclose(found.peaks, expected, atol=1e-4)
    assert (found.errors[:, :3] > 0).all()


def test_too_few_points_make_no_peaks():
    wanted = PeakParams(positions=(5,), width=0.2)
    found = fit_peaks(np.arange(20.0), np.ones(20), np.ones(20), wanted)
    assert found.reason == "fewer points near the rings than parameters"


def test_rings_of_the_mean_profile_are_fitted():
    processor = new({"peaks": {"positions": [30.0], "width": 3.0}, "of": ["peaks"]})
    processor.process(batch(mixtures([0.0] * 8, 5)))
    found = results(processor)["peaks"]
    assert found.data[0, 0] == pytest.approx(30, abs=0.1)
    assert found.data[0, 2] == pytest.approx(3, abs=0.3)
    assert found.meta["columns"] == ["position", "height", "fwhm", "eta"]


# -- laws ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        {"kinetics": {"phase": "b", "every": 4}, "of": ["kinetics", "peaks"],
         "peaks": {"positions": [18.0], "width": 3.0}},
        {"background": {"polynomial": 3}, "split": 2},
        {"background": {"power": [1.5, 3]}, "weights": "pixels"},
    ],
)  # fmt: skip
def test_keeps_the_laws_of_a_processor(more):
    frames = mixtures(np.linspace(0, 1, 10), 2)[:, 20:76, 20:76]
    check_processor(Phases, frames, params={**PARAMS, "r_max": 28.0, **more})


def test_keeps_the_laws_with_floats_and_a_scan():
    frames = mixtures(np.linspace(0, 1, 6))[:, 20:76, 20:76].astype(np.float32)
    params = {**PARAMS, "r_max": 28.0}
    check_processor(Phases, frames, scan=(2, 3), params=params)

"""The drift of each line of a scan is found, and says how surely."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

import scopeside
from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.errors import ConfigError
from scopeside.testing import check_processor
from scopeside_processors.insitu.line_drift import line_drift, template_of
from scopeside_processors.insitu.scan_drift import ScanDrift
from scopeside_processors.insitu.scans import straightened
from scopeside_processors.kernels.lines import smooth_walk

SIDE, MARGIN, DEAD = 96, 24, 8
LINES = SIDE + DEAD


def scene(lattice=False):
    """A specimen (side + margins)² of mean 1: blobs, or atom columns 7.3 px apart."""
    size = SIDE + 2 * MARGIN
    rng = np.random.default_rng(4)
    found = ndimage.gaussian_filter(rng.standard_normal((size, size)), 2.5, mode="wrap")
    found /= found.std()
    if lattice:
        y, x = np.mgrid[:size, :size]
        for angle in np.deg2rad([11, 71, 131]):
            found += np.cos(2 * np.pi / 7.3 * (y * np.sin(angle) + x * np.cos(angle)))
    return np.clip(1 + 0.3 * found / found.std(), 0.02, None)


def scanned(drift, dose, seed=0, lattice=False):
    """Scans (n, side, side) u16 at `drift` (n, side, 2) px, `dose` counts per pixel."""
    rng, specimen = np.random.default_rng([seed, 3]), scene(lattice)
    lines, columns = np.mgrid[:SIDE, :SIDE] + MARGIN
    frames = [
        ndimage.map_coordinates(
            specimen, [lines - d[:, :1], columns - d[:, 1:]], order=3, mode="nearest"
        )
        for d in drift
    ]
    return rng.poisson(dose * np.clip(frames, 0, None)).astype(np.uint16)


def wandering(scans, step, walk, seed=0):
    """Drift (scans, side, 2) px at each line: `step` a scan, and a walk."""
    rng = np.random.default_rng([seed, 5])
    time = np.arange(scans * LINES)[:, None] / LINES
    drift = time * step + np.cumsum(rng.normal(0, walk, (scans * LINES, 2)), axis=0)
    drift -= drift[:SIDE].mean(axis=0)
    return drift.reshape(scans, LINES, 2)[:, :SIDE]


def found_in(frames, *names, **params):
    """Values of each name, by scan; None where invalid."""
    wanted = names or ("line_drift",)
    params = {"dead_lines": DEAD, "of": wanted, **params}
    results = list(scopeside.apply("scan_drift", frames, **params))
    by_name = [[r for r in results if r.name == name] for name in wanted]
    return by_name if len(by_name) > 1 else by_name[0]


@pytest.mark.parametrize(
    ("dose", "most"), [(1, 0.25), (5, 0.16), (50, 0.08)], ids=["1", "5", "50 counts"]
)
def test_lines_are_found_on_a_known_specimen(dose, most):
    known = scene()[MARGIN:-MARGIN, MARGIN:-MARGIN].astype(np.float32) * dose
    drift = wandering(1, [2.0, -1.5], 0.02)[0]
    scan = scanned([drift], dose)[0].astype(np.float32)
    found = line_drift(scan, template_of(known, 1e-6), np.zeros((SIDE, 2)), 1e-3)
    error = found.drift - drift
    assert np.sqrt(np.mean(error**2)) < most
    spread = np.sqrt(found.covariance[:, [0, 1], [0, 1]])
    assert np.mean(np.abs(error) < 3 * spread) > 0.95
    assert found.noise == pytest.approx(scan.mean(), rel=0.1)


def test_a_jump_in_mid_scan_is_found():
    known = scene()[MARGIN:-MARGIN, MARGIN:-MARGIN].astype(np.float32) * 20
    drift = np.zeros((SIDE, 2))
    drift[50:] += 5, -6
    scan = scanned([drift], 20)[0].astype(np.float32)
    found = line_drift(scan, template_of(known, 1e-6), np.zeros((SIDE, 2)), 1e-3)
    error = np.abs(found.drift - drift).max(axis=1)
    assert error[:46].max() < 1
    assert error[56:].max() < 1
    # A walk that has seen a jump is a wild one: lines far from it suffer for it.
    assert np.sqrt(np.mean(error[10:40] ** 2)) < 0.4


@pytest.mark.parametrize("lattice", [False, True], ids=["blobs", "atom columns"])
def test_steady_drift_is_told_from_shear_by_the_next_scan(lattice):
    drift = wandering(5, [2.0, -1.5], 0.01)
    found = found_in(scanned(drift, 20, lattice=lattice))
    assert not found[0].valid
    assert "first scan" in found[0].reason
    errors = [r.data - d for r, d in zip(found[1:], drift[1:], strict=True)]
    assert np.sqrt(np.mean(np.square(errors))) < 0.15
    sheared = drift - drift.mean(axis=1, keepdims=True)
    assert np.sqrt(np.mean(sheared**2)) > 0.45
    assert min(r.meta["confidence"] for r in found[1:]) > 0.6


def test_bends_of_the_reference_are_those_that_all_scans_show():
    rng = np.random.default_rng(8)
    line = np.arange(SIDE)
    bends = [
        np.outer(np.sin(2 * np.pi * (line / 60 + phase)), [0.8, -0.6])
        for phase in rng.random(9)
    ]
    drift = np.array([b - b.mean(axis=0) for b in bends])
    found = found_in(scanned(drift, 50))
    late = found[-1].data - drift[-1]
    late -= late.mean(axis=0)
    own = drift[0] - drift[0].mean(axis=0)
    assert np.sqrt(np.mean(late**2)) < 0.6 * np.sqrt(np.mean(own**2))


def test_a_corrected_scan_shows_the_specimen():
    drift = wandering(4, [3.0, 2.0], 0.02)
    frames = scanned(drift, 50)
    image = found_in(frames, "corrected")[-1]
    truth = 50 * scene()[MARGIN:-MARGIN, MARGIN:-MARGIN]
    seen = image.mask
    assert 0.8 < seen.mean() < 1
    assert np.array_equal(np.isfinite(image.data), seen)
    error = np.std((image.data - truth)[seen])
    plain = np.std(
        np.roll(frames[-1], np.rint(-drift[-1].mean(axis=0)).astype(int), axis=(0, 1))[
            seen
        ]
        - truth[seen]
    )
    assert error < 0.75 * plain


def test_the_drift_of_a_scan_is_the_mean_of_its_lines():
    drift = wandering(3, [1.0, 1.0], 0.01)
    whole, lines = found_in(scanned(drift, 20), "scan_drift", "line_drift")
    np.testing.assert_allclose(whole[2].data, lines[2].data.mean(axis=0))
    assert np.abs(whole[2].data - drift[2].mean(axis=0)).max() < 0.3
    assert np.shape(whole[2].meta["covariance"]) == (2, 2)
    assert whole[0].valid
    assert np.array_equal(whole[0].data, [0, 0])


def test_confidence_and_covariance_are_given_for_each_line():
    names = "line_drift", "line_covariance", "line_confidence"
    frames = scanned(wandering(3, [1.0, 1.0], 0.02), 5)
    drift, covariance, confidence = (r[-1].data for r in found_in(frames, *names))
    assert drift.shape == (SIDE, 2)
    assert covariance.shape == (SIDE, 2, 2)
    assert np.all(np.linalg.eigvalsh(covariance) > 0)
    assert confidence.shape == (SIDE,)
    assert np.all((confidence >= 0) & (confidence <= 1))


def test_scans_of_something_else_are_not_found_and_then_taken_for_new():
    still = np.zeros((3, SIDE, 2))
    frames = scanned(still, 20)
    rng = np.random.default_rng(1)
    noise = rng.poisson(20, (7, SIDE, SIDE)).astype(np.uint16)
    found = found_in(np.concatenate([frames, noise]), "scan_drift")
    assert [r.valid for r in found] == [True] * 3 + [False] * 5 + [True, False]
    assert "not found" in found[3].reason
    assert [found[k].meta["segment"] for k in (2, 8)] == [0, 1]


def test_bad_input_is_named():
    frames = scanned(wandering(6, [1.0, 0.0], 0.01), 20).astype(np.float32)
    frames[1] = 0
    frames[2, 4, 4] = np.nan
    frames[4] = frames[3]
    found = found_in(frames, "scan_drift")
    assert [r.reason for r in found if not r.valid] == [
        "no counts",
        "not a number",
        "the same picture as before",
    ]


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 12), st.integers(0, 10**6))
def test_the_smoother_solves_the_equations_of_least_surprise(rows, seed):
    rng = np.random.default_rng(seed)
    trend = rng.normal(0, 3, (rows, 2))
    root = rng.normal(0, 1, (rows, 2, 2))
    each = root @ root.transpose(0, 2, 1)
    pull = rng.normal(0, 2, (rows, 2))
    start, walk = 4.0, 0.3
    matrix, right = np.zeros((2 * rows, 2 * rows)), pull.ravel().copy()
    for r in range(rows):
        part = slice(2 * r, 2 * r + 2)
        matrix[part, part] += each[r]
    matrix[:2, :2] += np.eye(2) / start
    right[:2] += trend[0] / start
    for r in range(rows - 1):
        d = np.zeros((2, 2 * rows))
        d[:, 2 * r : 2 * r + 2], d[:, 2 * r + 2 : 2 * r + 4] = -np.eye(2), np.eye(2)
        matrix += d.T @ d / walk
        right += d.T @ (trend[r + 1] - trend[r]) / walk
    path, covariance = np.empty((rows, 2)), np.empty((rows, 3))
    information = each.reshape(rows, 4)[:, [0, 1, 3]]
    square = smooth_walk(information, pull, trend, start, walk, path, covariance)
    inverse = np.linalg.inv(matrix)
    expected = np.linalg.solve(matrix, right).reshape(rows, 2)
    np.testing.assert_allclose(path, expected, rtol=1e-6, atol=1e-8)
    for r in range(rows):
        block = inverse[2 * r : 2 * r + 2, 2 * r : 2 * r + 2]
        np.testing.assert_allclose(
            covariance[r], [block[0, 0], block[0, 1], block[1, 1]], rtol=1e-6
        )
    total = 0.0
    for r in range(rows - 1):
        d = np.zeros((2, 2 * rows))
        d[:, 2 * r : 2 * r + 2], d[:, 2 * r + 2 : 2 * r + 4] = -np.eye(2), np.eye(2)
        e = expected[r + 1] - expected[r] - (trend[r + 1] - trend[r])
        total += e @ e + np.trace(d @ inverse @ d.T)
    assert square == pytest.approx(total / (2 * (rows - 1)), rel=1e-6)


def test_lines_are_put_where_they_belong():
    scan = np.arange(40, dtype=np.float32).reshape(8, 5)
    drift = np.tile([2.0, 1.0], (8, 1))
    out = straightened(scan, drift)
    assert np.array_equal(out[:6, :4], scan[2:, 1:])
    assert np.isnan(out[6:]).all()
    assert np.isnan(out[:, 4]).all()


def test_rows_between_two_lines_lie_on_a_straight_line():
    scan = np.arange(40, dtype=np.float32).reshape(8, 5)
    stretched = np.stack([-0.25 * np.arange(8), np.zeros(8)], axis=1)
    out = straightened(scan, stretched)  # line r lies at 1.25 r
    np.testing.assert_allclose(out[:, 0], np.arange(8) / 1.25 * 5, rtol=1e-6)


def test_nothing_is_made_up_where_a_jump_left_out_rows():
    scan = np.ones((12, 4), np.float32)
    drift = np.zeros((12, 2))
    drift[6:] = -4, 0
    seen = np.isfinite(straightened(scan, drift)[:, 0])
    assert seen.tolist() == [True] * 6 + [False] * 4 + [True] * 2


def test_a_template_holds_no_noise():
    rng = np.random.default_rng(2)
    noise = rng.poisson(5, (SIDE, SIDE)).astype(np.float32)
    assert template_of(noise, 5.0).images[0].std() < 0.25 * noise.std()
    clean = 5 * scene()[MARGIN:-MARGIN, MARGIN:-MARGIN].astype(np.float32)
    found = template_of(rng.poisson(clean).astype(np.float32), 5.0).images[0]
    assert np.std(found - (clean - clean.mean())) < 0.4 * np.sqrt(5)


def test_what_are_no_scans_is_refused():
    for kind, shape in (("tilt_series", (64, 64)), ("movie", (16, 64))):
        acquisition = Acquisition("test", shape, np.dtype("u2"), kind=kind)
        with pytest.raises(ConfigError, match="scan_drift takes a movie of scans"):
            ScanDrift(acquisition, ScanDrift.Params())
    times = {"line_time_s": 1e-3, "frame_time_s": 0.05}
    acquisition = Acquisition("test", (64, 64), np.dtype("u2"), calibration=times)
    with pytest.raises(ConfigError, match="longer than frame_time_s"):
        ScanDrift(acquisition, ScanDrift.Params())


def test_keeps_the_laws_of_a_processor():
    frames = scanned(wandering(5, [1.0, -1.0], 0.02), 20)[:, :48, :64]
    names = list(ScanDrift.Params.model_fields["of"].default)
    check_processor(ScanDrift, frames, params={"of": [*names, "line_covariance"]})


def test_what_is_prepared_is_an_empty_scan():
    ScanDrift.prepare()


def test_a_long_pause_leaves_a_reference_to_compare_with():
    frames = scanned(wandering(6, [3.0, -2.0], 0.01), 20)
    acquisition = Acquisition("test", frames.shape[1:], frames.dtype)
    processor = ScanDrift(acquisition, ScanDrift.Params(of=["scan_drift"]))
    found = []
    for frame, number in zip(frames, [0, 1, 2, 500, 900, 1300], strict=True):
        index = np.array([number])
        processor.process(Batch(frame[None], index, index))
        found += processor.results()
    assert all(r.valid for r in found[:3])
    assert all(r.valid or "not found" in r.reason for r in found)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_unit_of_a_scan_does_not_matter(scale):
    frames = scanned(wandering(3, [1.0, 1.0], 0.01), 20).astype(np.float32)
    plain, scaled = found_in(frames)[-1], found_in(frames * np.float32(scale))[-1]
    np.testing.assert_allclose(scaled.data, plain.data, atol=0.01)

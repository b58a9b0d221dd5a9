"""Centre, roundness, descan, rotation and camera length, against known answers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.real_data import real

import scopeside
from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.errors import ConfigError
from scopeside.messages import validate
from scopeside.scan import Scan
from scopeside.testing import check_processor
from scopeside_processors.stem.calibrate import Calibrate
from scopeside_processors.stem.calibration import Calibration, wavelength_m
from scopeside_processors.stem.crystals import scattering_angles, spacings_m
from scopeside_processors.stem.descan import fit_descan
from scopeside_processors.stem.disk_edge import LEAVES, find_disk, hot_pixels
from scopeside_processors.stem.ellipse import Ellipse, radii
from scopeside_processors.stem.rings import find_rings
from scopeside_processors.stem.rotation import find_rotation


def stretched(centre, ratio=1.0, angle=0.0):
    size = math.log(ratio)
    return Ellipse(centre, (size * math.cos(2 * angle), size * math.sin(2 * angle)))


def disk(shape, ellipse, radius, fine=12):
    """The part of each pixel that lies in the disk, from fine x fine points in it."""
    within = (np.arange(fine) + 0.5) / fine - 0.5
    y = (np.arange(shape[0])[:, None] + within).ravel()
    x = (np.arange(shape[1])[:, None] + within).ravel()
    row, column = (one.ravel() for one in np.meshgrid(y, x, indexing="ij"))
    inside = radii(ellipse, row, column)[0] <= radius
    return inside.reshape(shape[0], fine, shape[1], fine).mean(axis=(1, 3))


def results(frames, acquisition=None, **params):
    return {
        r.name: r for r in scopeside.apply("calibrate", frames, acquisition, **params)
    }


# -- the disk -----------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(
    st.tuples(st.floats(28, 36), st.floats(28, 36)),
    st.floats(4, 20),
    st.floats(1, 1.08),
    st.floats(-1.5, 1.5),
)
def test_a_disk_is_found_to_a_few_hundredths_of_a_pixel(centre, radius, ratio, angle):
    found = find_disk(1000 * disk((64, 65), stretched(centre, ratio, angle), radius))
    assert not found.reason
    np.testing.assert_allclose(found.ellipse.centre, centre, atol=0.04)
    assert found.radius == pytest.approx(radius, abs=0.06)
    expected = stretched(centre, ratio, angle).stretch
    off = radius * np.subtract(found.ellipse.stretch, expected) / 2
    np.testing.assert_allclose(off, 0, atol=0.06)  # pixels, at the ends of the axes


@pytest.mark.parametrize("counts", [3e2, 1e3, 1e4, 1e6])
def test_at_low_dose_it_is_found_within_its_own_uncertainty(counts):
    rng, clean = np.random.default_rng(7), disk((64, 64), Ellipse((30.3, 33.8)), 11.2)
    errors = []
    for _ in range(20):
        found = find_disk(rng.poisson(clean * counts / clean.sum()).astype(float))
        assert not found.reason
        off = np.array([*found.ellipse.centre, found.radius]) - (30.3, 33.8, 11.2)
        # The grid of the pixels adds a hundredth or so, at any dose.
        errors.append(off / np.hypot(found.sigma[:3], 0.012))
    assert np.sqrt(np.mean(np.square(errors))) < 2


def test_what_is_inside_the_disk_does_not_move_its_edge():
    row, column = np.indices((96, 96))
    clean = disk((96, 96), Ellipse((47.3, 45.6)), 25.4)
    structure = 1 + 0.4 * np.cos(column / 5) * np.cos(row / 7) + (row - 47) / 100
    found = find_disk(1000 * clean * structure)
    np.testing.assert_allclose(found.ellipse.centre, (47.3, 45.6), atol=0.06)
    assert found.radius == pytest.approx(25.4, abs=0.06)


def test_hot_and_dead_pixels_do_not_matter():
    rng, clean = np.random.default_rng(3), disk((64, 64), Ellipse((30.3, 33.8)), 11.2)
    pattern = rng.poisson(100 * clean).astype(float)
    before = find_disk(pattern)
    pattern[5, 5], pattern[50, 20], pattern[51, 20], pattern[19, 33] = (
        6e4,
        6e4,
        5e4,
        6e4,
    )
    pattern[30, 30], pattern[34, 44] = 0, 0
    assert np.argwhere(hot_pixels(pattern)).tolist() == [
        [5, 5],
        [19, 33],
        [50, 20],
        [51, 20],
    ]
    found = find_disk(pattern)
    np.testing.assert_allclose(found.ellipse.centre, before.ellipse.centre, atol=0.03)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (np.zeros((32, 32)), "no counts"),
        (np.full((32, 32), 7.0), "no edge"),
        (np.ones((4, 5)), "frames below 8 pixels"),
        (500 * disk((64, 64), Ellipse((2.0, 30.0)), 15.0), LEAVES),
        (np.random.default_rng(0).poisson(2, (64, 64)).astype(float), "no edge"),
    ],
)
def test_where_there_is_no_disk_the_reason_is_said(pattern, reason):
    assert reason in find_disk(pattern).reason


# -- descan -------------------------------------------------------------------------


def test_planes_survive_a_few_wrong_places():
    rng = np.random.default_rng(5)
    places = np.argwhere(np.ones((6, 8))).astype(float)
    truth = np.array([[30.0, 0.1, -0.2], [33.0, 0.05, 0.15]])
    centres = truth[:, 0] + places @ truth[:, 1:].T + rng.normal(0, 0.01, (48, 2))
    centres[[3, 17, 40]] += 5
    centres[8] = np.nan
    found = fit_descan(places, centres, np.full((48, 2), 0.01))
    np.testing.assert_allclose(found.planes, truth, atol=0.02)
    assert (np.abs(found.planes - truth) < 5 * found.sigma).all()


def test_a_slope_that_is_chance_is_none():
    places = np.argwhere(np.ones((2, 8))).astype(float)
    noise = np.random.default_rng(1).normal(0, 0.05, (16, 2))
    found = fit_descan(places, 30 + noise, np.full((16, 2), 0.05))
    assert not found.planes[:, 1:].any()


def test_a_single_row_tells_no_slope_along_rows():
    places = np.column_stack([np.zeros(8), np.arange(8.0)])
    centres = np.column_stack([np.full(8, 9.0), 5 + 0.3 * np.arange(8)])
    found = fit_descan(places, centres, np.full((8, 2), 0.01))
    assert found.planes.tolist() == pytest.approx(np.array([[9, 0, 0], [5, 0, 0.3]]))
    assert np.isinf(found.sigma[:, 1]).all()


def test_too_few_places_are_too_few():
    assert "fewer than 4" in fit_descan(*(np.ones((3, 2)),) * 3).reason


def vacuum(scan, shape, planes, radius=6.0):
    rng, planes = np.random.default_rng(0), np.asarray(planes)
    frames = np.empty((*scan, *shape), np.uint16)
    for row, column in np.ndindex(scan):
        centre = planes @ [1, row, column]
        lam = 40 * disk(shape, Ellipse(tuple(centre)), radius, fine=4)
        frames[row, column] = rng.poisson(lam)
    return frames


def test_a_vacuum_scan_gives_centre_and_descan():
    planes = [[14.0, 0.2, -0.1], [17.0, 0.05, 0.25]]
    found = results(vacuum((8, 9), (32, 33), planes), rows="all")
    np.testing.assert_allclose(found["descan"].data, planes, atol=0.03)
    middle = np.array(planes) @ [1, 3.5, 4.0]
    np.testing.assert_allclose(found["centre"].data, middle, atol=0.05)
    assert found["radius"].data == pytest.approx(6.0, abs=0.05)
    assert found["calibration"].data["descan_px"] == found["descan"].data.tolist()
    assert found["rotation"].reason


def test_a_beam_that_leaves_the_detector_is_said_to():
    frames = vacuum((4, 4), (32, 32), [[2.0, 0, 0], [16.0, 0, 0]], radius=8)
    found = results(frames)
    assert {found[n].reason for n in ("centre", "radius", "descan")} == {LEAVES}
    assert found["calibration"].reason == LEAVES


def test_frames_where_the_beam_is_gone_do_not_spoil_the_others():
    planes = [[16.0, 0.1, 0.0], [16.0, 0.0, 0.1]]
    frames = vacuum((4, 12), (32, 32), planes)
    frames[:, 10:] = 0
    found = results(frames)
    np.testing.assert_allclose(found["descan"].data, planes, atol=0.1)


# -- rotation -----------------------------------------------------------------------


def deflections(shape=(48, 52)):
    """The gradient of a potential with sharp peaks: atoms, which attract."""
    row, column = np.indices(shape).astype(float)
    potential = np.zeros(shape)
    for y, x in np.random.default_rng(4).uniform(4, 44, (30, 2)):
        potential += np.exp(-((row - y) ** 2 + (column - x) ** 2) / 8)
    return np.stack(np.gradient(potential), axis=-1)


def as_seen(field, angle, flip):
    known = {"scan_rotation_rad": angle, "flip": flip}
    about = Acquisition("a", (4, 4), np.dtype("u2"), calibration=known)
    return field @ np.linalg.inv(Calibration.of(about).to_scan()).T


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("degrees", [-170, -95, -20, 0, 45, 90, 133, 180])
def test_rotation_and_parity_are_found(degrees, flip):
    row, column = np.indices((48, 52))
    seen = as_seen(deflections(), math.radians(degrees), flip)
    seen += np.stack([31.5 + 0.01 * row, 30.0 - 0.02 * column], axis=-1)
    seen += np.random.default_rng(0).normal(0, 0.02, seen.shape)
    found = find_rotation(seen)
    assert not found.reason
    assert found.flip is flip
    assert found.sign_is_known
    off = (found.angle_rad - math.radians(degrees) + math.pi) % (2 * math.pi) - math.pi
    assert abs(off) < max(0.02, 5 * found.sigma)
    # To the scan's axes and back: the same field.
    np.testing.assert_allclose(
        as_seen(as_seen(deflections(), 0.7, flip), 0, False),
        as_seen(deflections(), 0.7, flip),
    )


@pytest.mark.parametrize("rows", [4, 64])
def test_noise_has_no_rotation(rows):
    rng = np.random.default_rng(9)
    for _ in range(20):
        assert (
            "hardly deflected" in find_rotation(rng.normal(size=(rows, 64, 2))).reason
        )


def test_a_flat_centre_of_mass_has_no_rotation():
    assert "hardly deflected" in find_rotation(np.full((16, 16, 2), 31.5)).reason


def test_lines_have_no_parity():
    field = np.zeros((32, 32, 2))
    field[..., 1] = np.sin(np.arange(32) / 2)
    field += np.random.default_rng(0).normal(0, 0.01, field.shape)
    assert "flipped" in find_rotation(field).reason
    assert abs(find_rotation(field, flip=False).angle_rad) < 0.02


def test_too_small_a_scan_has_no_rotation():
    assert "neighbours" in find_rotation(np.ones((2, 40, 2))).reason
    assert "neighbours" in find_rotation(np.full((9, 9, 2), np.nan)).reason


def test_a_hot_pixel_does_not_turn_the_scan():
    field = 1.5 * deflections((24, 24)) / np.abs(deflections()).max()
    seen = as_seen(field, 0.6, False) + 15.5
    flat = seen.reshape(-1, 2)
    frames = np.stack([50 * disk((32, 32), Ellipse(tuple(c)), 6, 4) for c in flat])
    frames = np.random.default_rng(0).poisson(frames).astype(np.uint16)
    frames[:, 2, 29] = 60000
    found = results(frames.reshape(24, 24, 32, 32), rows=8)
    assert found["rotation"].data == pytest.approx(0.6, abs=0.05)
    assert found["centre"].meta["hot"] == 1


# -- camera length ------------------------------------------------------------------


def test_gold_diffracts_at_the_known_distances():
    expected = [2.3544, 2.039, 1.4418, 1.2296, 1.1772, 1.0195]
    assert np.multiply(spacings_m("Au", 6), 1e10) == pytest.approx(expected, abs=1e-4)
    angle = scattering_angles((2.3544e-10,), wavelength_m(200e3))[0]
    assert angle == pytest.approx(10.652e-3, abs=1e-6)


def ring_pattern(angles, ellipse, rad_per_px, shape=(160, 168)):
    row, column = np.indices(shape).reshape(2, -1).astype(float)
    rho = radii(ellipse, row, column)[0].reshape(shape)
    image = 2000 * np.exp(-rho / 12) + 20
    for k, angle in enumerate(angles[:5]):
        image += 150 / (1 + k) * np.exp(-0.5 * ((rho - angle / rad_per_px) / 1.6) ** 2)
    return np.random.default_rng(0).poisson(image).astype(float), image


def test_rings_give_scale_centre_and_roundness():
    angles = scattering_angles(spacings_m("Au"), wavelength_m(200e3))
    truth = stretched((78.4, 85.2), 1.03, 0.5)
    pattern, _ = ring_pattern(angles, truth, 3.2e-4)
    found = find_rings(pattern, np.zeros(pattern.shape, bool), angles, (78.7, 84.9), 6)
    assert not found.reason
    assert found.rad_per_px == pytest.approx(3.2e-4, rel=1e-3)
    np.testing.assert_allclose(found.ellipse.centre, truth.centre, atol=0.05)
    np.testing.assert_allclose(found.ellipse.stretch, truth.stretch, atol=1.5e-3)


def test_without_rings_none_are_found():
    angles = scattering_angles(spacings_m("Au"), wavelength_m(200e3))
    _, image = ring_pattern(angles[:0], Ellipse((78.4, 85.2)), 3.2e-4)
    pattern = np.random.default_rng(1).poisson(image).astype(float)
    found = find_rings(pattern, np.zeros(pattern.shape, bool), angles, (78.4, 85.2), 6)
    assert "no ring" in found.reason


@pytest.mark.data
def test_a_gold_cross_grating_gives_the_camera_length():
    tifffile = pytest.importorskip("tifffile")
    pattern = tifffile.imread(real("stem/au_xgrating_20cm.tif"))
    known = {"beam_energy_eV": 200e3}
    found = results(pattern[None], known, ring="Au")
    per_angstrom = found["rad_per_px"].data / wavelength_m(200e3) * 1e-10
    np.testing.assert_allclose(per_angstrom, 0.01, rtol=2e-3)
    assert found["ellipse"].meta["of"] == "ring"
    assert found["ellipse"].data[0] == pytest.approx(1.036, abs=0.003)


def test_a_known_semi_angle_gives_the_angle_per_pixel():
    frames = vacuum((4, 4), (32, 32), [[15.0, 0, 0], [16.0, 0, 0]], radius=8)
    found = results(frames, {"semi_angle_rad": 0.02})
    np.testing.assert_allclose(found["rad_per_px"].data, 0.0025, rtol=0.01)
    assert "semi_angle_rad" in results(frames)["rad_per_px"].reason


def test_rings_need_the_energy():
    with pytest.raises(ConfigError, match="calibrate needs beam_energy_eV"):
        results(np.ones((4, 16, 16), np.uint8), ring="Au")


def test_rings_are_said_once():
    with pytest.raises(ConfigError, match="ring or ring_d_m"):
        validate(Calibrate.Params, {"ring": "Au", "ring_d_m": [2e-10]}, where="c")


# -- the processor ------------------------------------------------------------------

SMALL = vacuum((4, 4), (24, 26), [[11.0, 0.3, 0.0], [12.0, 0.0, 0.2]])


@pytest.mark.parametrize(
    ("frames", "params"),
    [
        (SMALL, {}),
        (SMALL, {"rows": 2, "rotation_rows": 3}),
        (SMALL[:2].astype(np.float32) * np.float32(0.37), {}),
        (SMALL.reshape(16, 24, 26).astype(np.int32), {}),
        (np.zeros((4, 4, 8, 9), np.uint8), {}),
        (np.ones((2, 3, 1, 1), np.uint8), {}),
    ],
    ids=["scan", "rows", "floats", "movie", "empty", "one-pixel"],
)
def test_keeps_the_laws_of_a_processor(frames, params):
    check_processor(Calibrate, frames, params=params)


def test_it_stands_on_the_first_rows():
    found = results(SMALL, rows=2)
    assert (found["centre"].first, found["centre"].frame) == (0, 7)
    assert found["centre"].complete
    assert (found["rotation"].first, found["rotation"].used) == (0, 16)
    assert found["calibration"].meta["rotation"] == [0, 15, 16]


def test_listed_positions_are_taken_in_the_order_of_visit():
    path = np.random.default_rng(0).permutation(16).astype("<u4")
    scan = Scan((4, 4), "positions", visited=path.tobytes())
    about = Acquisition("a", (24, 26), SMALL.dtype, kind="scan4d", scan=scan)
    frames = SMALL.reshape(16, 24, 26)[path]
    found = results(frames, about, rows=3)
    assert (found["descan"].used, found["descan"].frame) == (12, 11)
    expected = [[11.0, 0.3, 0.0], [12.0, 0.0, 0.2]]
    np.testing.assert_allclose(found["descan"].data, expected, atol=0.1)


def test_before_the_first_frame_nothing_is_known():
    about = Acquisition("a", (24, 26), SMALL.dtype, kind="scan4d", scan=Scan((4, 4)))
    for result in Calibrate(about, Calibrate.Params()).results():
        assert result.reason == "no frame of the first rows"


def test_fly_back_is_not_looked_at():
    about = Acquisition(
        "a", (24, 26), SMALL.dtype, kind="scan4d", scan=Scan((2, 2), flyback=1)
    )
    frames = np.full((6, 24, 26), 9, np.uint16)
    frames[[0, 1, 3, 4]] = SMALL[:2, :2].reshape(4, 24, 26)
    index = np.arange(6)
    one = Calibrate(about, Calibrate.Params())
    one.process(Batch(frames, index, index))
    centre = next(iter(one.results()))
    assert centre.used == 4
    np.testing.assert_allclose(centre.data, (11.15, 12.1), atol=0.05)


def test_a_broken_pixel_in_float_frames_is_left_out():
    frames = SMALL.astype(np.float32)
    frames[..., 3, 4] = np.nan
    found = results(frames)
    np.testing.assert_allclose(found["centre"].data, (11.45, 12.3), atol=0.05)
    assert found["rotation"].meta == {
        "outside": 0,
        "invalid": {"a pixel that is no number": 16},
    }


def test_pixels_beyond_exact_sums_are_said():
    frames = np.full((4, 9, 9), 1 << 62, np.int64)
    assert "too large" in results(frames)["centre"].reason


def test_its_table_is_one_that_an_acquisition_takes():
    found = results(SMALL, {"semi_angle_rad": 0.02})["calibration"]
    about = Acquisition("a", (24, 26), SMALL.dtype, calibration=found.data)
    known = Calibration.of(about).known
    assert known.centre_px == tuple(found.data["centre_px"])
    assert known.descan_px is not None
    detectors = {"bf": {"disk": [8]}}
    (image,) = scopeside.apply(
        "virtual", SMALL, found.data, detectors=detectors, centre="calibration"
    )
    np.testing.assert_array_equal(image.data, SMALL.sum(axis=(2, 3)))


@pytest.mark.data
def test_the_simulated_graphene_is_calibrated_as_it_was_made():
    counts = np.load(real("stem/simulated/graphene80.npz"))["counts"]
    found = results(counts, {"semi_angle_rad": 0.025})
    np.testing.assert_allclose(found["centre"].data, (32, 32), atol=0.02)
    # 2.425 and 2.450 mrad a pixel: the disk is longer along the rows by 1 %.
    assert found["rad_per_px"].data[0] == pytest.approx(2.4375e-3, rel=0.025)
    assert found["ellipse"].data == pytest.approx([1.0104, np.pi / 2], abs=0.06)
    assert found["rotation"].data == pytest.approx(0, abs=0.08)
    assert found["calibration"].data["flip"] is False
    assert "descan_px" not in found["calibration"].data


@pytest.mark.data
def test_the_simulated_strain_set_wanders_as_it_was_made():
    data = np.load(real("stem/simulated/nbed_strain.npz"))
    found = results(data["counts"], rows="all")
    row, column = np.indices((32, 32))
    terms = np.stack([np.ones(1024), row.ravel(), column.ravel()], axis=1)
    truth = np.stack([data["cy"].ravel(), data["cx"].ravel()], axis=1)
    planes = np.linalg.lstsq(terms, truth, rcond=None)[0].T
    off = terms @ (found["descan"].data - planes).T
    assert np.abs(off).max() < 0.02
    assert found["radius"].data == pytest.approx(float(data["R"]), abs=0.02)

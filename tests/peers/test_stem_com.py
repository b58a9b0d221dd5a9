"""com and dpc against LiberTEM's centre of mass and masks, on the same data."""

import numpy as np
import pytest
from tests.processors.phase_object import phase_object
from tests.real_data import real

import scopeside

pytestmark = [
    pytest.mark.peers,
    # LiberTEM and what it stands on warn of each other's changes.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def libertem():
    api = pytest.importorskip("libertem.api", reason="libertem is missing")
    return api.Context.make_with("inline")


def theirs(context, frames, **params):
    from libertem.udf.com import CoMUDF

    dataset = context.load("memory", data=frames, sig_dims=2)
    found = context.run_udf(dataset=dataset, udf=CoMUDF.with_params(**params))
    return {name: found[name].data for name in found}


def ours(frames, of, known=None, **params):
    results = scopeside.apply("com", frames, known or {}, of=of, **params)
    return {result.name: result for result in results}


def counts():
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:24, :28]
    row, column = np.mgrid[:16, :18]
    centre_y = 11 + 0.05 * row + 1.5 * np.sin(column / 3)
    centre_x = 14 - 0.03 * column + 1.5 * np.cos(row / 2)
    away = (y - centre_y[..., None, None]) ** 2 + (x - centre_x[..., None, None]) ** 2
    return rng.poisson(30 * np.exp(-away / 40)).astype(np.uint16)


def graphene():
    path = real("stem/simulated/graphene80.npz")
    with np.load(path) as found:
        return found["counts"]


@pytest.mark.parametrize("of", [counts, graphene])
def test_centres_are_those_of_libertem(libertem, of):
    frames = of()
    found = ours(frames, ["com"])["com"].data
    # It adds in float32.
    np.testing.assert_allclose(found, theirs(libertem, frames)["raw_com"], atol=2e-4)


def test_a_mask_is_libertems_disk(libertem):
    frames = counts()
    expected = theirs(libertem, frames, cy=11, cx=14, r=6.5)
    found = ours(frames, ["com"], mask={"disk": [11, 14, 6.5]}, centre=[11, 14])
    np.testing.assert_allclose(found["com"].data, expected["raw_shifts"], atol=2e-4)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("degrees", [0.0, 30.0, -110.0])
def test_the_field_and_its_divergence_are_libertems(libertem, degrees, flip):
    frames = counts()
    expected = theirs(
        libertem, frames, cy=11, cx=14, scan_rotation=degrees, flip_y=flip
    )
    # It turns displacements clockwise by the angle; ours is that of the scan's axes.
    known = {"scan_rotation_rad": -np.radians(degrees), "flip": flip}
    found = ours(frames, ["field", "charge"], known, centre=[11, 14])
    field = found["field"].data
    np.testing.assert_allclose(field, expected["field"], atol=2e-4)
    divergence = -found["charge"].data
    np.testing.assert_allclose(divergence, expected["divergence"], atol=5e-4)
    curl = np.gradient(field[..., 0], axis=1) - np.gradient(field[..., 1], axis=0)
    np.testing.assert_allclose(curl, expected["curl"], atol=5e-4)


def test_descan_is_libertems_linear_regression(libertem):
    frames = counts()
    expected = theirs(libertem, frames, cy=11, cx=14, regression=1)
    found = ours(frames, ["field"], descan="fit")["field"]
    np.testing.assert_allclose(found.data, expected["field"], atol=2e-4)
    # Its regression is of what is left of (cy, cx), transposed.
    plane = np.array(found.meta["descan_px"]) - [[11, 0, 0], [14, 0, 0]]
    np.testing.assert_allclose(plane.T, expected["regression"], atol=2e-3)


def test_segments_are_libertems_masks(libertem):
    from libertem.udf.masks import ApplyMasksUDF

    frames = counts()
    params = {"segments": 4, "inner_px": 2, "outer_px": 9, "centre": [11.5, 14.5]}
    (segments,) = scopeside.apply(
        "dpc", frames, of=["segments"], disk_radius_px=6, **params
    )
    y, x = np.mgrid[:24, :28] - np.array([11.5, 14.5])[:, None, None]
    ring = (np.hypot(y, x) > 2) & (np.hypot(y, x) <= 9)
    quadrant = np.degrees(np.arctan2(y, x)) % 360 // 90
    masks = [lambda k=k: (ring & (quadrant == k)).astype(float) for k in range(4)]
    dataset = libertem.load("memory", data=frames, sig_dims=2)
    found = libertem.run_udf(dataset=dataset, udf=ApplyMasksUDF(mask_factories=masks))
    np.testing.assert_array_equal(segments.data, found["intensity"].data)


def test_the_phase_of_libertems_centres_is_ours(libertem):
    from scopeside_processors.stem.calibration import wavelength_m
    from scopeside_processors.stem.integrate import integrate

    known = phase_object()
    about = known.acquisition
    shifts = theirs(libertem, known.patterns, cy=24, cx=24)["raw_shifts"]
    angle = shifts * np.array(about["detector_rad_per_px"])
    gradient = angle * 2 * np.pi / wavelength_m(about["beam_energy_eV"])
    expected = integrate(gradient, tuple(about["scan_step_m"]))
    found = ours(known.patterns, ["icom"], about)["icom"].data
    np.testing.assert_allclose(found, expected, atol=1e-6)

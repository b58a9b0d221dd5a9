"""The deflection from segments, by hand, against shifted disks, and by the laws."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.processors.phase_object import agreement, phase_object

import scopeside
from scopeside.acquisition import Acquisition, Scan
from scopeside.batch import Batch
from scopeside.errors import ConfigError, ShapeError
from scopeside.messages import validate
from scopeside.testing import check_processor
from scopeside_processors.stem.dpc import Dpc
from scopeside_processors.stem.segments import of_disk, of_ideal_disk

SHAPE = (64, 64)
EVERY = ["field", "field_colour", "idpc", "ddpc", "segments", "validity"]
KNOWN = {
    "beam_energy_eV": 2e5,
    "semi_angle_rad": 20e-3,
    "detector_rad_per_px": [1e-3, 1e-3],
    "scan_step_m": [1e-10, 2e-10],
}


def disk(centre, radius, shape=SHAPE, fine=8):
    """A disk whose pixels hold the share of them that it covers, ×10⁴."""
    side = [(np.arange(n * fine) + 0.5) / fine - 0.5 for n in shape]
    away = np.hypot(side[0][:, None] - centre[0], side[1][None] - centre[1])
    inside = (away <= radius).reshape(shape[0], fine, shape[1], fine)
    return np.rint(1e4 * inside.mean(axis=(1, 3)))


def shifted(shifts, centre=(31.5, 31.5), radius=20.0):
    frames = [disk((centre[0] + y, centre[1] + x), radius) for y, x in shifts]
    return np.array(frames).astype(np.uint16)


def new(params=None, scan=(2, 3), shape=SHAPE, dtype="u2", **known):
    path = None if scan is None else Scan(scan)
    about = Acquisition("a", shape, np.dtype(dtype), scan=path, calibration=known)
    return Dpc(about, validate(Dpc.Params, params or {}, where="dpc"))


def fed(params, frames, scan=None, **known):
    processor = new(params, scan, frames.shape[1:], frames.dtype, **known)
    index = np.arange(len(frames))
    processor.process(Batch(frames, index, index))
    return {result.name: result for result in processor.results()}


# -- the response -------------------------------------------------------------------


def test_quadrants_of_an_ideal_disk_by_hand():
    # All counts move to the right half: d = π R / 4 · (right - left) / total.
    response = of_ideal_disk(4, 0.0)
    shift = response.shift(np.array([2.0, 0.0, 0.0, 2.0]))
    np.testing.assert_allclose(shift, [0, math.pi / 4], atol=1e-15)


def test_halves_of_a_shifted_disk_differ_as_the_formula_says():
    # A strip 2 R d / (π R²) of the counts changes sides.
    n, d = 64, 1e-3
    angle = 2 * np.pi * (np.arange(n) + 0.5) / n
    share = 1 / n + 2 * math.sin(math.pi / n) / math.pi * np.cos(angle) * d
    shift = of_ideal_disk(n, 0.0).shift(share)
    np.testing.assert_allclose(shift, [0, d], atol=1e-12)


def test_no_counts_have_no_shift():
    shift = of_ideal_disk(4, 0.0).shift(np.zeros((4, 2)))
    assert np.isnan(shift).all()


@settings(deadline=None, max_examples=25)
@given(
    st.integers(3, 9),
    st.floats(-360, 360),
    st.floats(-0.4, 0.4),
    st.floats(-0.4, 0.4),
    st.sampled_from([0.0, 8.0]),
)
def test_small_shifts_are_found_by_any_ring(segments, start, y, x, inner):
    params = {"segments": segments, "start_deg": start, "inner_px": inner}
    params |= {"outer_px": 30.0, "disk_radius_px": 20.0, "of": ["field"]}
    found = fed(params, shifted([(y, x)]))["field"]
    assert found.units == "px"
    np.testing.assert_allclose(found.data[0], [y, x], atol=0.02)


def test_a_ring_that_does_not_lie_in_the_middle_says_no_shift():
    params = {"centre": [30.2, 33.1], "disk_radius_px": 20.0, "of": ["field"]}
    found = fed(params, shifted([(0, 0), (0.3, 0)], centre=(30.2, 33.1)))["field"]
    np.testing.assert_allclose(found.data, [[0, 0], [0.3, 0]], atol=0.01)


def test_pixels_answer_as_an_ideal_disk_where_there_are_many():
    masks = np.array(
        [
            [
                [(y < 0) == up and (x < 0) == left for x in range(-99, 101)]
                for y in range(-99, 101)
            ]
            for up, left in ((False, False), (False, True), (True, True), (True, False))
        ]
    )
    pixels = of_disk(masks, (98.5, 98.5), (60.0, 60.0)).weight
    np.testing.assert_allclose(pixels, 60 * of_ideal_disk(4, 0.0).weight, rtol=0.02)


def test_an_elliptic_disk_of_oblong_pixels_gives_angles():
    known = KNOWN | {"detector_rad_per_px": [1e-3, 2e-3]}
    radius = np.array([20.0, 10.0])
    row, column = np.ogrid[:512, :512]
    fine = [(n + 0.5) / 8 - 0.5 for n in (row, column)]
    inside = np.hypot((fine[0] - 31.7) / radius[0], (fine[1] - 31.4) / radius[1]) <= 1
    frame = np.rint(1e4 * inside.reshape(64, 8, 64, 8).mean(axis=(1, 3))).astype("u2")
    found = fed({"of": ["field"]}, frame[None], **known)["field"]
    assert found.units == "mrad"
    np.testing.assert_allclose(found.data[0], [0.2, -0.2], atol=0.02)


def test_the_image_of_the_aperture_stands_in_for_its_radius():
    soft = disk((31.5, 31.5), 20.0)
    for _ in range(3):  # blurred: no radius describes it
        soft = sum(np.roll(soft, k, axis) for k in (-1, 0, 1) for axis in (0, 1)) / 6
    frames = np.array([soft, np.roll(soft, 1, 0), np.roll(soft, -1, 1)])
    found = fed({"of": ["field"]}, frames, aperture=soft.tolist())["field"]
    np.testing.assert_allclose(found.data, [[0, 0], [1, 0], [0, -1]], atol=1e-9)
    assert found.units == "px"


def test_without_any_radius_the_field_is_in_radii():
    frames = shifted([(0, 0.2)])
    found = fed({"of": ["field"]}, frames)["field"]
    assert found.units == "disk radii"
    np.testing.assert_allclose(found.data[0], [0, 0.01], atol=5e-4)
    angles = fed({"of": ["field"]}, frames, semi_angle_rad=20e-3)["field"]
    assert angles.units == "mrad"
    np.testing.assert_allclose(angles.data, 20 * found.data)


# -- images -------------------------------------------------------------------------


def test_the_phase_of_a_smooth_object_is_that_of_com():
    known = phase_object(smooth_m=0.25e-9, semi_angle=40e-3)
    acquisition = known.acquisition
    idpc, ddpc = scopeside.apply(
        "dpc", known.patterns, acquisition, of=["idpc", "ddpc"], segments=8
    )
    correlation, slope = agreement(idpc.data, known.truth)
    assert correlation > 0.999
    assert slope == pytest.approx(1, abs=0.1)
    (charge,) = scopeside.apply("com", known.patterns, acquisition, of=["charge"])
    assert agreement(ddpc.data, charge.data)[0] > 0.98
    assert (idpc.units, ddpc.units) == ("rad", "C/m^2")


def test_segments_are_those_of_virtual():
    frames = np.random.default_rng(0).poisson(3, (6, *SHAPE)).astype(np.uint16)
    params = {"segments": 3, "inner_px": 4, "outer_px": 20, "start_deg": -30}
    params |= {"centre": [30, 33], "disk_radius_px": 9, "of": ["segments"]}
    found = fed(params, frames, (2, 3))["segments"]
    names = {"a": (-30, 90), "b": (90, 210), "c": (210, 330)}
    detectors = {
        name: {"segment": [30, 33, 4, 20, *degrees]} for name, degrees in names.items()
    }
    virtual = scopeside.apply("virtual", frames, {"scan": [2, 3]}, detectors=detectors)
    for k, image in enumerate(virtual):
        np.testing.assert_array_equal(found.data[..., k], image.data)
    assert found.data.dtype == np.int64
    assert found.axes == ("scan_y", "scan_x", "segment")


def test_descan_is_removed_as_from_com():
    shifts = [
        (0.1 * row, 0.2 - 0.1 * column) for row in range(2) for column in range(3)
    ]
    params = {"descan": "fit", "disk_radius_px": 20.0, "of": ["field"]}
    found = fed(params, shifted(shifts), (2, 3))["field"]
    np.testing.assert_allclose(found.data, 0, atol=0.02)
    plane = [[31.5, 0.1, 0], [31.7, 0, -0.1]]
    known = {"descan_px": plane}
    found = fed(params | {"descan": "auto"}, shifted(shifts), (2, 3), **known)["field"]
    np.testing.assert_allclose(found.data, 0, atol=0.02)
    with pytest.raises(ConfigError, match="needs the deflection in pixels"):
        new({"descan": "calibration"}, **known)


def test_each_position_says_why_it_has_no_deflection():
    frames = shifted([(0, 0)] * 6).astype(np.float32)
    frames[1] = 0
    frames[2, 30, 30] = np.nan
    frames[3, 30, 30] = 1e5
    found = fed({"of": EVERY, "saturation": 1e5}, frames, (2, 3), **KNOWN)
    assert found["validity"].data.tolist() == [[0, 1, 2], [3, 0, 0]]
    for name in ("field", "idpc"):
        mask = found[name].mask.reshape(2, 3, -1).all(axis=-1)
        assert mask.tolist() == [[True, False, False], [False, True, True]], name
        assert np.isfinite(found[name].data[mask]).all()


def test_parameters_of_what_is_shown_change_live():
    frames = shifted([(0.1, 0), (0, 0.3), (0, 0), (0.2, 0), (0, -0.2), (0.1, 0.1)])
    processor = new({"of": EVERY}, **KNOWN)
    index = np.arange(6)
    processor.process(Batch(frames, index, index))
    list(processor.results())
    params = {"of": EVERY, "descan": "fit", "boundary": "mirror", "disk_radius_px": 19}
    processor.change(validate(Dpc.Params, params, where="dpc"))
    expected = fed(params, frames, (2, 3), **KNOWN)
    for result in processor.results():
        np.testing.assert_array_equal(result.data, expected[result.name].data)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"segments": 8}, "dpc: segments says what is measured"),
        ({"outer_px": 9.0}, "dpc: outer_px says what is measured"),
        ({"disk_radius_px": 1e9}, "no shift|in no segment|choose inner_px"),
    ],
)
def test_a_change_that_cannot_be_is_refused_and_changes_nothing(params, message):
    frames = shifted([(0.1, 0)] * 6)
    processor = new({"of": ["field"]}, **KNOWN)
    processor.process(Batch(frames, np.arange(6), np.arange(6)))
    (before,) = processor.results()
    params = {"of": ["field"], **params}
    with pytest.raises(ConfigError, match=message):
        processor.change(validate(Dpc.Params, params, where="dpc"))
    (after,) = processor.results()
    np.testing.assert_array_equal(before.data, after.data)


@pytest.mark.parametrize(
    ("params", "known", "message"),
    [
        ({"segments": 2}, {}, r"dpc\.segments"),
        ({"inner_px": 9, "outer_px": 8}, {}, "inner_px = 9 must be below outer_px = 8"),
        ({"inner_px": 3}, {}, "set disk_radius_px, or semi_angle_rad and"),
        ({"inner_px": 25, "outer_px": 30}, KNOWN, "choose inner_px below its radius"),
        ({"outer_px": 15}, KNOWN, "choose inner_px below its radius"),
        ({"centre": "find"}, {}, "segments rest"),
        ({"centre": "calibration"}, {}, "needs centre_px"),
        ({"inner_px": 200, "outer_px": 201}, {}, "segment_0 holds no pixel"),
        ({"of": ["icom"]}, {}, r"dpc\.of\[0\]: found 'icom'"),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(params, known, message):
    with pytest.raises(ConfigError, match=message):
        new(params, **known)


def test_frames_that_were_not_announced_are_refused():
    frames, index = np.ones((1, 3, 3), np.uint16), np.arange(1)
    with pytest.raises(ShapeError, match=r"the acquisition has \(64, 64\)"):
        new().process(Batch(frames, index, index))


def test_before_the_first_frame_there_is_nothing():
    for result in new({"of": EVERY}).results():
        assert not result.valid
        assert result.reason == "no frame with a position yet"


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("scan", [(3, 4), None])
def test_keeps_the_laws_of_a_processor(dtype, scan):
    frames = np.random.default_rng(2024).poisson(0.6, (12, 9, 10)).astype(dtype)
    about = Acquisition(
        "laws",
        (9, 10),
        np.dtype(dtype),
        scan=None if scan is None else Scan(scan),
        calibration=KNOWN | {"semi_angle_rad": 3e-3},
        frames=12,
    )
    params = {"of": EVERY, "segments": 5, "saturation": 4}
    check_processor(Dpc, frames, scan=scan, params=params, acquisition=about)

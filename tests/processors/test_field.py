"""What com makes of the centres: field, phase, charge, colour; and what it lacks."""

import numpy as np
import pytest
from tests.processors.phase_object import agreement, phase_object

import scopeside
from scopeside.acquisition import Acquisition, Scan
from scopeside.batch import Batch
from scopeside.errors import ConfigError
from scopeside.events import EventBatch, pack_events
from scopeside.messages import validate
from scopeside.testing import check_processor
from scopeside_processors.stem.com import CentreOfMass, centre_of_mass, event_centres
from scopeside_processors.stem.deflection import charge_per_divergence
from scopeside_processors.stem.detectors import Detector
from scopeside_processors.stem.region import region_of

EVERY = ["com", "total", "field", "field_colour", "icom", "charge", "validity"]
KNOWN = {
    "beam_energy_eV": 2e5,
    "detector_rad_per_px": [1e-3, 2e-3],
    "scan_step_m": [1e-10, 3e-10],
    "centre_px": [3, 4],
}
FRAMES = np.random.default_rng(7).poisson(2.0, (12, 7, 8)).astype(np.uint16)


def new(params, scan=(3, 4), shape=(7, 8), dtype="u2", encoding="frames", **known):
    about = Acquisition(
        "a",
        shape,
        np.dtype(dtype),
        scan=None if scan is None else Scan(scan),
        calibration=known,
        encoding=encoding,
    )
    return CentreOfMass(about, validate(CentreOfMass.Params, params, where="com"))


def fed(params, frames=FRAMES, index=None, scan=(3, 4), **known):
    processor = new(params, scan, frames.shape[1:], frames.dtype, **known)
    index = np.arange(len(frames)) if index is None else np.array(index)
    processor.process(Batch(frames, index, index))
    return {result.name: result for result in processor.results()}


def spots(at, shape=(7, 8), dtype="u2"):
    """One frame for each of `at`, with all counts in that pixel."""
    frames = np.zeros((len(at), *shape), dtype)
    for frame, place in zip(frames, at, strict=True):
        frame[place] = 5
    return frames


# -- against the truth --------------------------------------------------------------


def test_the_phase_of_a_thin_object_is_the_one_convolved_with_the_probe():
    known = phase_object()
    found = list(scopeside.apply("com", known.patterns, known.acquisition))
    assert [one.name for one in found] == ["com", "field", "icom"]
    icom = found[2]
    correlation, slope = agreement(icom.data, known.truth)
    assert correlation > 1 - 1e-9
    assert slope == pytest.approx(1, abs=1e-6)
    assert (icom.units, icom.data.shape, icom.complete) == ("rad", (24, 24), True)
    assert abs(icom.data.mean()) < 1e-12
    assert icom.meta["boundary"] == "periodic"


@pytest.mark.parametrize("boundary", ["periodic", "mirror"])
def test_a_strong_phase_in_counts_is_within_the_target(boundary):
    known = phase_object(strength=1.0)
    counts = np.rint(1e6 * known.patterns).astype(np.uint32)
    (icom,) = scopeside.apply(
        "com", counts, known.acquisition, of=["icom"], boundary=boundary
    )
    correlation, slope = agreement(icom.data, known.truth)
    assert correlation > (0.9999 if boundary == "periodic" else 0.95)
    assert slope == pytest.approx(1, abs=0.02 if boundary == "periodic" else 0.2)


def test_a_turned_and_flipped_camera_changes_nothing():
    known = phase_object()
    plain = {
        r.name: r for r in scopeside.apply("com", known.patterns, known.acquisition)
    }
    # The camera is turned by a quarter and its rows run the other way.
    seen = np.rot90(known.patterns, axes=(2, 3))[:, :, ::-1]
    per_px = known.acquisition["detector_rad_per_px"][::-1]
    matrix = np.array([[0.0, 1.0], [1.0, 0.0]])  # (y, x) of the camera to the scan's
    about = known.acquisition | {
        "detector_rad_per_px": per_px,
        "centre_px": [24, 24],
        "flip": True,
        "scan_rotation_rad": -np.pi / 2,
    }
    turned = {r.name: r for r in scopeside.apply("com", seen, about)}
    expected = plain["com"].data - 24
    np.testing.assert_allclose(
        (turned["com"].data - 24) @ matrix.T, expected, atol=1e-9
    )
    np.testing.assert_allclose(turned["field"].data, plain["field"].data, atol=1e-9)
    np.testing.assert_allclose(turned["icom"].data, plain["icom"].data, atol=1e-9)


def test_charge_is_minus_the_divergence_of_the_deflection():
    found = fed({"of": EVERY}, **KNOWN)
    field = found["field"].data * 1e-3
    expected = np.gradient(field[..., 0], 1e-10, axis=0)
    expected += np.gradient(field[..., 1], 3e-10, axis=1)
    expected *= -charge_per_divergence(2e5)
    np.testing.assert_allclose(found["charge"].data, expected, rtol=1e-9)
    assert found["charge"].units == "C/m^2"


# -- units --------------------------------------------------------------------------


def test_a_deflection_worked_out_by_hand():
    found = fed({"of": ["com", "field"]}, spots([(5, 3)] * 12), **KNOWN)
    assert found["com"].data[0, 0].tolist() == [5, 3]
    assert (found["com"].units, found["field"].units) == ("px", "mrad")
    np.testing.assert_allclose(found["field"].data[2, 3], [2, -2])
    turned = fed(
        {"of": ["field"]}, spots([(5, 3)] * 12), scan_rotation_rad=np.pi / 2, **KNOWN
    )
    # Turned back by a quarter: what points down (+y) points right (+x) ...
    np.testing.assert_allclose(turned["field"].data[0, 0], [2, 2], atol=1e-12)


def test_angles_count_from_the_centre():
    found = fed(
        {"of": ["com", "com_x"], "units": "mrad"}, spots([(5, 3)] * 12), **KNOWN
    )
    np.testing.assert_allclose(found["com"].data[1, 1], [2, -2])
    np.testing.assert_allclose(found["com_x"].data[1, 1], -2)
    assert found["com"].units == "mrad"
    own = {"of": ["com"], "units": "auto", "centre": [5, 5]}
    np.testing.assert_allclose(
        fed(own, spots([(5, 3)] * 12), **KNOWN)["com"].data[1, 1], [0, -4]
    )


def test_without_a_calibration_the_field_is_in_pixels_from_the_middle():
    found = fed({"of": ["field", "com", "charge"], "units": "auto"})
    middle = [3, 3.5]
    np.testing.assert_array_equal(found["field"].data, found["com"].data - middle)
    assert (found["field"].units, found["com"].units) == ("px", "px")
    assert found["charge"].units == "px/position"
    assert found["field"].meta["centre_px"] == middle


@pytest.mark.parametrize(
    ("missing", "units"),
    [("beam_energy_eV", "rad/m"), ("scan_step_m", "mrad/position")],
)
def test_charge_is_in_the_units_that_are_known(missing, units):
    known = {key: value for key, value in KNOWN.items() if key != missing}
    found = fed({"of": ["charge"]}, **known)["charge"]
    assert found.units == units
    assert np.isfinite(found.data).all()


@pytest.mark.parametrize(
    "key", ["beam_energy_eV", "scan_step_m", "detector_rad_per_px"]
)
def test_a_phase_without_its_calibration_says_what_is_missing(key):
    known = {name: value for name, value in KNOWN.items() if name != key}
    found = fed({}, **known)
    assert not found["icom"].valid
    assert f"set {key} in the table [acquisition.calibration]" in found["icom"].reason
    assert found["com"].valid
    assert found["field"].valid


def test_a_movie_has_a_field_and_no_phase():
    found = fed({"of": EVERY}, scan=None, **KNOWN)
    assert found["field"].kind == "series"
    assert found["field"].data.shape == (12, 2)
    assert found["field_colour"].data.shape == (12, 3)
    for name in ("icom", "charge"):
        assert found[name].reason == (
            f"{name} is an image of the scan, and the acquisition has none"
        )


# -- descan -------------------------------------------------------------------------


def test_descan_is_fitted_and_said():
    at = [(1 + row, 2 + column) for row in range(3) for column in range(4)]
    params = {"of": ["field", "com"], "descan": "fit"}
    found = fed(params, spots(at), **KNOWN)
    np.testing.assert_allclose(found["field"].data, 0, atol=1e-12)
    np.testing.assert_allclose(
        found["field"].meta["descan_px"], [[1, 1, 0], [2, 0, 1]], atol=1e-12
    )
    assert found["com"].data[2, 3].tolist() == [3, 5]


@pytest.mark.parametrize("descan", ["auto", "calibration"])
def test_descan_that_the_calibration_says_is_removed(descan):
    at = [(1 + row, 2 + column) for row in range(3) for column in range(4)]
    plane = [[1, 1, 0], [1, 0, 1]]
    found = fed({"descan": descan}, spots(at), descan_px=plane, **KNOWN)
    np.testing.assert_allclose(found["field"].data, np.tile([0, 2], (3, 4, 1)))
    kept = fed({"descan": "none"}, spots(at), descan_px=plane, **KNOWN)
    np.testing.assert_allclose(kept["field"].data[0, 0], [-2, -4])


@pytest.mark.parametrize(
    ("params", "scan", "message"),
    [
        ({"descan": "calibration"}, (3, 4), "com with descan .* needs descan_px"),
        ({"descan": "fit"}, None, "descan = 'fit' needs a scan"),
        ({"units": "mrad"}, (3, 4), "com needs detector_rad_per_px"),
        ({"high_pass_per_m": -1.0}, (3, 4), "high_pass_per_m"),
        ({"boundary": "open"}, (3, 4), "boundary"),
        ({"descan": "fitted"}, (3, 4), "descan"),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(params, scan, message):
    with pytest.raises(ConfigError, match=message):
        new(params, scan)


# -- live ---------------------------------------------------------------------------


def test_a_part_of_the_scan_has_a_phase_of_its_own():
    known = phase_object()
    frames = known.patterns.reshape(-1, 48, 48)
    about = Acquisition(
        "a", (48, 48), frames.dtype, scan=Scan((24, 24)), calibration=known.acquisition
    )
    processor = CentreOfMass(about, CentreOfMass.Params(of=("icom", "charge")))
    index = np.arange(18 * 24)
    processor.process(Batch(frames[: len(index)], index, index))
    icom, charge = processor.results()
    assert icom.mask[:18].all()
    assert not icom.mask[18:].any()
    assert "unscanned" in icom.meta["unknown"]
    correlation, _ = agreement(icom.data[2:16], known.truth[2:16])
    assert correlation > 0.9
    assert np.isfinite(charge.data[:18]).all()
    index = np.arange(18 * 24, 24 * 24)
    processor.process(Batch(frames[index], index, index))
    icom, charge = processor.results()
    assert agreement(icom.data, known.truth)[0] > 1 - 1e-9
    assert icom.mask is None
    assert "unknown" not in icom.meta


def test_the_phase_is_integrated_again_only_when_more_was_seen(monkeypatch):
    from scopeside_processors.stem import field

    calls = []
    whole = field.integrate
    monkeypatch.setattr(
        field, "integrate", lambda *given: calls.append(1) or whole(*given)
    )
    processor = new({}, **KNOWN)
    index = np.arange(6)
    processor.process(Batch(FRAMES[:6], index, index))
    for _ in range(3):
        list(processor.results())
    assert len(calls) == 1
    processor.process(Batch(FRAMES[6:], index + 6, index))
    list(processor.results())
    assert len(calls) == 2


def test_several_scans_have_a_phase_each():
    scan = Scan((2, 3), scans=2)
    about = Acquisition("a", (7, 8), np.dtype("u2"), scan=scan, calibration=KNOWN)
    processor = CentreOfMass(about, CentreOfMass.Params(of=("icom", "charge")))
    index = np.arange(12)
    processor.process(Batch(FRAMES, index, index))
    icom, charge = processor.results()
    assert icom.data.shape == charge.data.shape == (2, 2, 3)
    first = fed({"of": ["icom"]}, FRAMES[:6], scan=(2, 3), **KNOWN)["icom"]
    np.testing.assert_array_equal(icom.data[0], first.data)


def test_parameters_of_what_is_shown_change_live():
    processor = new({"of": EVERY}, **KNOWN)
    index = np.arange(12)
    processor.process(Batch(FRAMES, index, index))
    list(processor.results())
    params = {
        "of": EVERY,
        "centre": [3, 3],
        "descan": "fit",
        "boundary": "mirror",
        "high_pass_per_m": 1e9,
    }
    processor.change(validate(CentreOfMass.Params, params, where="com"))
    expected = fed(params, **KNOWN)
    for result in processor.results():
        np.testing.assert_array_equal(result.data, expected[result.name].data)
        assert result.meta == expected[result.name].meta


@pytest.mark.parametrize(
    ("params", "key"),
    [
        ({"mask": {"disk": [3, 3, 2]}}, "mask"),
        ({"margin_px": 1.0}, "margin_px"),
        ({"saturation": 9.0}, "saturation"),
    ],
)
def test_what_was_measured_cannot_change(params, key):
    processor = new({})
    with pytest.raises(ConfigError, match=f"com: {key} says what is measured"):
        processor.change(validate(CentreOfMass.Params, params, where="com"))


def test_a_mask_around_the_centre_holds_it():
    processor = new({"mask": {"disk": [2]}, "centre": [3, 3]})
    params = {"mask": {"disk": [2]}, "centre": [3, 4]}
    with pytest.raises(ConfigError, match="com: centre says what is measured"):
        processor.change(validate(CentreOfMass.Params, params, where="com"))


# -- bad input ----------------------------------------------------------------------


def test_each_position_says_why_it_has_no_centre():
    frames = np.ones((6, 7, 8), np.float32)
    frames[1] = 0
    frames[2, 3, 3] = np.nan
    frames[3, 3, 3] = 100
    frames[4] = spots([(0, 4)], dtype="f4")[0]
    params = {"of": EVERY, "saturation": 100, "margin_px": 1}
    found = fed(params, frames, scan=(2, 3), **KNOWN)
    validity = found["validity"]
    assert validity.data.tolist() == [[0, 1, 2], [3, 4, 0]]
    assert [validity.meta["reasons"][k] for k in "1234"] == [
        "no counts",
        "not a number",
        "saturated",
        "beam at the edge of the camera",
    ]
    for name in ("com", "field", "icom"):
        mask = found[name].mask.reshape(2, 3, -1).all(axis=-1)
        assert mask.tolist() == [[True, False, False], [False, False, True]], name
        assert np.isfinite(found[name].data[mask]).all()
        assert np.isnan(found[name].data[~mask]).all()
        assert found[name].meta["invalid"] == dict.fromkeys(
            validity.meta["reasons"].values(), 1
        )
    assert not found["field_colour"].data[0, 1].any()


def test_a_hole_leaves_the_phase_around_it_alone():
    known = phase_object()
    frames = known.patterns.reshape(-1, 48, 48).copy()
    frames[300] = np.nan
    (icom,) = scopeside.apply("com", frames, known.acquisition, of=["icom"])
    assert icom.mask.sum() == 575
    assert np.isnan(icom.data[12, 12])
    seen = icom.mask
    assert agreement(icom.data[seen], known.truth[seen])[0] > 0.999


def test_saturated_pixels_outside_the_mask_do_not_count():
    frames = np.ones((12, 7, 8), np.uint16)
    frames[3, 3, 3] = frames[5, 0, 0] = 65535
    params = {"of": ["validity"], "saturation": 65535, "mask": {"disk": [3, 3, 2]}}
    flags = fed(params, frames)["validity"].data.ravel()
    assert np.flatnonzero(flags).tolist() == [3]


# -- events -------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [None, {"annulus": [3, 4, 1, 3]}])
def test_events_bring_the_centres_of_their_frames_bit_for_bit(mask):
    rng = np.random.default_rng(1)
    words = pack_events(
        rng.integers(0, 5, 400), rng.integers(1, 90, 400), rng.integers(0, 56, 400)
    )
    index = np.arange(6)
    events = EventBatch(words, index, index, (7, 8), np.dtype("u2"))
    region = region_of(mask and Detector.model_validate(mask), (7, 8), None)
    com, total = event_centres(events, region)
    expected = centre_of_mass(events.dense().pixels, region)
    np.testing.assert_array_equal(com, expected[0])
    np.testing.assert_array_equal(total, expected[1])
    assert np.isnan(com[5]).all()


def test_events_outside_of_the_frame_or_batch_are_left_out():
    words = np.array([(1 << 64) - 1, 2 << 40 | 1 << 24 | 3, 1 << 24 | 56], np.uint64)
    index = np.arange(2)
    events = EventBatch(words, index, index, (7, 8), np.dtype("u2"))
    for mask in (None, Detector(disk=(3, 3, 2))):
        _, total = event_centres(events, region_of(mask, (7, 8), None))
        assert total.tolist() == [0, 0]


def test_a_saturated_pixel_is_found_in_events():
    words = pack_events([1, 1, 2], [60, 50, 99], [9, 9, 10])
    index = np.arange(4)
    processor = new({"of": ["validity"], "saturation": 100}, (2, 2), encoding="events")
    processor.process_events(EventBatch(words, index, index, (7, 8), np.dtype("u2")))
    (validity,) = processor.results()
    assert validity.data.ravel().tolist() == [1, 3, 0, 1]


# -- the laws -----------------------------------------------------------------------

LAWFUL = np.random.default_rng(2024).poisson(0.3, (12, 7, 8))


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("scan", [(3, 4), None])
def test_keeps_the_laws_of_a_processor(dtype, scan):
    shape = (7, 8)
    about = Acquisition(
        "laws",
        shape,
        np.dtype(dtype),
        scan=None if scan is None else Scan(scan),
        calibration=KNOWN,
        frames=12,
    )
    params = {"of": EVERY, "margin_px": 1, "saturation": 3}
    params |= {"descan": "fit", "boundary": "mirror"} if scan else {}
    check_processor(
        CentreOfMass, LAWFUL.astype(dtype), scan=scan, params=params, acquisition=about
    )


def test_keeps_the_laws_with_a_mask_and_events():
    params = {"mask": {"annulus": [3, 3, 1, 3]}, "of": ["com", "total", "field"]}
    check_processor(CentreOfMass, LAWFUL.astype("u2"), scan=(3, 4), params=params)

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import nbed

from scopeside.acquisition import Acquisition, Scan
from scopeside.batch import Batch
from scopeside.errors import ConfigError, ShapeError
from scopeside.messages import validate
from scopeside.testing import check_processor
from scopeside_processors.kernels.disks import brightest, highest, locate
from scopeside_processors.stem.disk_filters import disk, filters_of, slope
from scopeside_processors.stem.disks import Disks
from scopeside_processors.stem.templates import correlate, spectrum_of

VECTORS = nbed.REFERENCE.tolist()
SMALL = nbed.scan((2, 3), side=72, wander=0.3)
BY_HAND = {"disk_radius_px": 5, "max_peaks": 12}


def new(params=None, shape=(72, 72), dtype="u2", **acquisition):
    about = Acquisition("a", shape, np.dtype(dtype), **acquisition)
    return Disks(about, validate(Disks.Params, params or BY_HAND, where="disks"))


def batch(frames, index=None):
    index = np.arange(len(frames)) if index is None else np.asarray(index)
    return Batch(frames, index, 1000 * index)


def results(processor):
    return {result.name: result for result in processor.results()}


def drawn(
    at, radius=5.0, edge=0.6, *, amplitude=100.0, side=48, slope=(0, 0), floor=1.0
):
    """A frame with one disk, its texture blurred with its edge; no noise."""
    y, x = np.mgrid[:side, :side] - np.reshape(at, (2, 1, 1))
    r = np.hypot(y, x) + 1e-9
    texture = 1 + slope[0] * y + slope[1] * x
    outwards = (slope[0] * y + slope[1] * x) / r
    fall = np.exp(-0.5 * ((r - radius) / edge) ** 2) / (edge * np.sqrt(2 * np.pi))
    return floor + amplitude * (
        disk(r, radius, edge) * texture - edge**2 * fall * outwards
    )


def placed(frame, start, spread=np.inf, **filters):
    filters = filters_of(**{"radius": 5.0, "edge": 0.6, **filters})
    starts = np.array([[start]], np.float64)
    found, _ = locate(frame[None], starts, filters, np.inf, 3.0, 5.0, spread)
    return found[0, 0]


# -- one disk -----------------------------------------------------------------------


def test_the_slope_is_the_derivative_of_the_disk():
    r, step = np.linspace(3, 7, 41), 1e-5
    found = (disk(r + step, 5, 0.6) - disk(r - step, 5, 0.6)) / (2 * step)
    np.testing.assert_allclose(slope(r, 5, 0.6), found, atol=1e-8)


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.floats(20, 27), st.floats(20, 27)),
    st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
    st.sampled_from([(3.0, 0.5), (5.0, 0.6), (8.0, 1.2)]),
)
def test_a_disk_is_found_within_a_hundredth_of_a_pixel(at, off, shape):
    radius, edge = shape
    found = placed(drawn(at, radius, edge), np.add(at, off), radius=radius, edge=edge)
    np.testing.assert_allclose(found[:2], at, atol=0.01)
    assert found[2] == pytest.approx(100 * np.pi * radius**2, rel=0.03)
    assert found[3] > 0.99


@settings(max_examples=20, deadline=None)
@given(st.tuples(st.floats(-0.08, 0.08), st.floats(-0.08, 0.08)))
def test_a_linear_texture_is_no_displacement(texture):
    found = placed(drawn((23.4, 24.7), slope=texture), (23, 25))
    np.testing.assert_allclose(found[:2], (23.4, 24.7), atol=0.02)


def test_a_sloping_background_is_no_displacement():
    frame = drawn((23.4, 24.7)) + 0.5 * np.arange(48)[:, None]
    np.testing.assert_allclose(placed(frame, (23, 25))[:2], (23.4, 24.7), atol=0.01)


def test_the_scatter_of_a_disk_is_what_its_noise_says():
    rng, filters = np.random.default_rng(1), filters_of(5.0, 0.6)
    frames = rng.poisson(drawn((23.4, 24.7), amplitude=8.0), (400, 48, 48))
    starts = np.tile([23.0, 25.0], (400, 1, 1))
    found, _ = locate(frames, starts, filters, np.inf, 3.0, 0.0, np.inf)
    few, many = (n[0] / 8 + n[1] * 1 / 64 + n[4] for n in filters.noise[1:])
    scatter = np.var(found[:, 0, :2], axis=0)
    assert (0.6 * min(few, many) < scatter).all()
    assert (scatter < 1.6 * max(few, many)).all()


def test_with_few_counts_a_disk_stays_near_where_it_is_expected():
    frame = np.random.default_rng(2).poisson(drawn((23, 25), amplitude=0.8, floor=0.05))
    free, bound = placed(frame, (23, 25)), placed(frame, (23, 25), spread=0.1)
    assert np.hypot(*(bound[:2] - (23, 25))) < 0.3 * np.hypot(*(free[:2] - (23, 25)))


def test_what_is_too_far_saturated_outside_or_faint_is_no_disk():
    filters, frame = filters_of(5.0, 0.6), drawn((23.4, 24.7))
    starts = np.array([[[19.0, 24.7], [23.4, 24.7], [3.0, 3.0], [np.nan, 1]]])
    found, saturated = locate(frame[None], starts, filters, np.inf, 2.0, 5.0, np.inf)
    assert np.isnan(found[0, :, 0]).tolist() == [True, False, True, True]
    assert saturated.tolist() == [0]
    found, saturated = locate(frame[None], starts, filters, 90.0, 2.0, 5.0, np.inf)
    assert np.isnan(found).all()
    assert saturated.tolist() == [1]
    flat = np.ones((1, 48, 48))
    assert np.isnan(locate(flat, starts, filters, np.inf, 2.0, 5.0, np.inf)[0]).all()


# -- correlation --------------------------------------------------------------------


@pytest.mark.parametrize("template", ["disk", "ring"])
@pytest.mark.parametrize("power", [1.0, 0.5])
def test_correlation_is_highest_where_the_disk_is(template, power):
    spectrum = spectrum_of(template, 5.0, 0.6, (48, 48))
    found = highest(correlate(drawn((23.0, 25.0))[None], spectrum, power)[0], 8, 7.5, 3)
    np.testing.assert_allclose(found[0], (23, 25), atol=0.1)


def test_a_flat_frame_correlates_with_nothing():
    spectrum = spectrum_of("disk", 5.0, 0.6, (31, 45))
    found = correlate(np.full((1, 31, 45), 7, np.uint8), spectrum)
    assert np.abs(found).max() < 1e-4


def test_maxima_come_by_height_and_not_too_near_to_each_other():
    image = np.zeros((20, 30), np.float32)
    image[5, 5], image[5, 8], image[12, 20], image[1, 28] = 3, 2, 5, 9
    assert highest(image, 2, 4.0, 3)[:2].tolist() == [[12, 20], [5, 5]]
    assert np.isnan(highest(image, 2, 4.0, 3)[2]).all()
    assert highest(image, 2, 2.0, 2).tolist() == [[12, 20], [5, 5]]


def test_the_brighter_of_two_disks_in_one_place_is_kept():
    nothing = [np.nan] * 4
    rows = [[5, 5, 10, 1], [5, 6, 20, 1], nothing, [15, 5, 15, 1]]
    peaks = np.array([rows], np.float32)
    brightest(peaks, 3.0)
    assert peaks[0, :2, 2].tolist() == [20, 15]
    assert np.isnan(peaks[0, 2:]).all()


# -- the stream ---------------------------------------------------------------------


@pytest.mark.parametrize("params", [{}, {"template": "ring"}, {"lattice": VECTORS}])
def test_disks_are_found_where_they_were_put(params):
    processor = new({**BY_HAND, **params}, scan=Scan((2, 3)))
    processor.process(batch(SMALL.frames.reshape(-1, 72, 72)))
    peaks, count = results(processor).values()
    assert (peaks.data.shape, peaks.data.dtype) == ((2, 3, 12, 4), np.float32)
    assert peaks.axes == ("scan_y", "scan_x", "peak", "yxis")
    assert peaks.mask is None
    np.testing.assert_array_equal(
        count.data, np.count_nonzero(~np.isnan(peaks.data[..., 0]), axis=2)
    )
    assert count.data.min() >= 6
    for rows, truth in zip(
        peaks.data.reshape(6, 12, 4), SMALL.positions.reshape(6, -1, 2), strict=True
    ):
        found = rows[~np.isnan(rows[:, 0])]
        away = np.hypot(*(found[:, None, :2] - truth).transpose(2, 0, 1)).min(axis=1)
        assert np.median(away) < 0.25
        assert np.mean(away < 1.2) > 0.85  # at the margin a cut one may be taken


def test_without_a_lattice_the_brightest_come_first():
    processor = new(scan=Scan((2, 3)))
    processor.process(batch(SMALL.frames.reshape(-1, 72, 72)))
    bright = results(processor)["peaks"].data[0, 0, :, 2]
    bright = bright[~np.isnan(bright)]
    assert (np.diff(bright) <= 0).all()


def test_with_a_lattice_each_disk_has_its_place():
    processor = new({**BY_HAND, "lattice": VECTORS}, scan=Scan((2, 3)))
    processor.process(batch(SMALL.frames.reshape(-1, 72, 72)))
    peaks = results(processor)["peaks"]
    orders = np.array(peaks.meta["orders"])
    assert orders[0].tolist() == [0, 0]
    expected = SMALL.centre[1, 2] + orders @ nbed.REFERENCE
    found = peaks.data[1, 2, : len(orders), :2]
    assert np.nanmax(np.abs(found - expected)) < 2.5


def test_a_frame_without_disks_has_none_and_one_without_counts_is_invalid():
    frames = np.ones((3, 72, 72), np.float32)
    frames[1] = 0
    frames[2, 5, 5] = np.nan
    processor = new(dtype="f4")
    processor.process(batch(frames))
    peaks, count = results(processor).values()
    assert count.data.tolist() == [0, 0, 0]
    assert count.mask.tolist() == [True, False, False]
    assert peaks.meta["invalid"] == {"no counts": 1, "not a number": 1}


@pytest.mark.parametrize("params", [{}, {"lattice": VECTORS}])
def test_a_saturated_frame_is_invalid(params):
    frames = SMALL.frames.reshape(-1, 72, 72)[:2].copy()
    frames[1] = np.where(frames[1] > 0, 500, 0)
    processor = new({**BY_HAND, **params, "saturation": 400})
    processor.process(batch(frames))
    assert results(processor)["peaks"].meta["invalid"] == {"saturated": 1}
    assert results(processor)["count"].mask.tolist() == [True, False]


def test_the_radius_may_come_from_the_calibration():
    angles = {"semi_angle_rad": 5e-3, "detector_rad_per_px": 1e-3}
    found = []
    for calibration in (angles, {"aperture": drawn((36, 36), side=72, floor=0)}):
        processor = new({"max_peaks": 12}, calibration=calibration)
        processor.process(batch(SMALL.frames.reshape(-1, 72, 72)))
        found.append(results(processor)["count"].data.min())
    assert min(found) >= 6


def test_the_aperture_may_be_the_template():
    known = {"aperture": drawn((30, 40), side=72, floor=0)}
    processor = new({**BY_HAND, "template": "aperture"}, calibration=known)
    processor.process(batch(SMALL.frames.reshape(-1, 72, 72)))
    assert results(processor)["count"].data.min() >= 6


def test_before_the_first_frame_there_are_none():
    processor = new(scan=Scan((2, 3)))
    processor.process(batch(np.empty((0, 72, 72), np.uint16)))
    assert results(processor)["peaks"].reason == "no frame with a position yet"


def test_frames_that_were_not_announced_are_refused():
    with pytest.raises(ShapeError, match=r"the acquisition has \(72, 72\)"):
        new().process(batch(np.ones((1, 7, 8), np.uint16)))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"max_peaks": 5}, r"disks needs disk_radius_px: set it, or set aperture"),
        ({"disk_radius_px": 40}, r"radius 40\.0 px do not fit into frames"),
        (
            {"disk_radius_px": 5, "template": "aperture"},
            r"set aperture in the table \[acquisition\.calibration\]",
        ),
        (
            {"disk_radius_px": 5, "lattice": [[0, 9], [9, 0]]},
            r"radius 5\.0 px overlap in a lattice of 9\.0 px",
        ),
        (
            {"disk_radius_px": 5, "lattice": [[0, 20], [0, 40]]},
            r"lattice: its two vectors are in line",
        ),
        (
            {"disk_radius_px": 5, "lattice": [[0, 70], [70, 0]], "centre": [1, 1]},
            r"no disk of the lattice around .* lies whole",
        ),
        ({"disk_radius_px": 0}, r"disks\.disk_radius_px"),
        ({"disk_radius_px": 5, "power": 2}, r"disks\.power"),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(params, message):
    with pytest.raises(ConfigError, match=message):
        new(params)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("params", [{}, {"lattice": VECTORS}])
def test_keeps_the_laws_of_a_processor(dtype, params):
    frames = np.minimum(SMALL.frames, 250).astype(dtype)
    wanted = {**BY_HAND, **params, "of": ["peaks", "count", "validity"]}
    check_processor(Disks, frames, params=wanted)

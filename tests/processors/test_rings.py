"""Sums over rings, and which pixels a ring holds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scopeside.acquisition import Acquisition, Scan
from scopeside.errors import ConfigError
from scopeside_processors.kernels import radial as kernels
from scopeside_processors.stem.calibration import Calibration
from scopeside_processors.stem.ring_bins import Axis, RingMaps, RingParams, axis_of

INTEGERS = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"]


def acquisition(shape=(7, 8), scan=None, **calibration):
    return Acquisition("a", shape, np.dtype("u2"), scan=scan, calibration=calibration)


def axis(shape=(7, 8), calibration=None, **params):
    known = Calibration.of(acquisition(shape, **(calibration or {})))
    return axis_of(RingParams(**params), known, "radial")


def maps(params=None, scan=None, shape=(7, 8), **calibration):
    found = acquisition(shape, scan, **calibration)
    return RingMaps(RingParams(**(params or {})), found, "radial")


def by_loop(frames, label, rings, power=1):
    """Sums as Python's integers, which have no largest."""
    wide = frames.astype(object) ** power
    return [
        [frame[label == ring].sum() if (label == ring).any() else 0 for ring in rings]
        for frame in wide
    ]


# -- the kernel ---------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(INTEGERS),
    st.tuples(st.integers(0, 20), st.integers(1, 9), st.integers(1, 40)),
    st.integers(0, 2**32 - 1),
    st.integers(1, 12),
)
def test_sums_of_integers_are_exact(dtype, shape, seed, rings):
    rng = np.random.default_rng(seed)
    # Sums of 8 bytes, and squares of 4, are exact as long as they fit.
    limits = np.iinfo(dtype)
    most = min(int(limits.max), 2**20)
    frames = rng.integers(max(int(limits.min), -most), most, shape, dtype)
    label = rng.integers(-1, rings, shape[1:])
    found = kernels.ring_sums(frames, kernels.rings_of(label, rings), squares=True)
    for power, sums in enumerate(found, 1):
        assert sums.dtype == np.int64
        assert sums.tolist() == by_loop(frames, label, range(rings), power)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4"])
@pytest.mark.parametrize("shape", [(257, 513), (3, 70000), (70000, 1), (300, 256)])
@pytest.mark.parametrize("end", ["min", "max"])
def test_saturated_frames_do_not_overflow(dtype, shape, end):
    value = int(getattr(np.iinfo(dtype), end))
    frames = np.full((5, *shape), value, dtype)
    rings = kernels.rings_of(np.zeros(shape, np.int64), 1)
    sums, _ = kernels.ring_sums(frames, rings)
    assert sums.ravel().tolist() == [value * shape[0] * shape[1]] * 5


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_floats_are_added_in_float64(dtype):
    rng = np.random.default_rng(3)
    frames = rng.normal(1, 0.3, (21, 31, 67)).astype(dtype)
    label = rng.integers(-1, 9, (31, 67))
    sums, squares = kernels.ring_sums(frames, kernels.rings_of(label, 9), squares=True)
    wide = frames.astype(np.float64)
    for ring in range(9):
        inside = wide[:, label == ring]
        np.testing.assert_allclose(sums[:, ring], inside.sum(axis=1), rtol=1e-12)
        np.testing.assert_allclose(squares[:, ring], (inside**2).sum(1), rtol=1e-12)


@pytest.mark.parametrize("dtype", [*INTEGERS, "f4", "f8"])
def test_one_by_one_and_side_by_side_give_the_same_bits(dtype):
    rng = np.random.default_rng(4)
    frames = (100 * rng.random((19, 70, 530))).astype(dtype)
    rings = kernels.rings_of(rng.integers(-1, 30, (70, 530)), 30)
    whole = kernels.ring_sums(frames, rings, squares=True)
    for first in range(0, 19, 3):
        part = kernels.ring_sums(frames[first : first + 3], rings, squares=True)
        for one, other in zip(part, whole, strict=True):
            np.testing.assert_array_equal(one, other[first : first + 3])


def test_frames_may_be_chosen():
    rng = np.random.default_rng(5)
    frames = rng.poisson(3, (30, 6, 11)).astype(np.uint16)
    rings = kernels.rings_of(rng.integers(0, 4, (6, 11)), 4)
    whole, _ = kernels.ring_sums(frames, rings)
    which = np.arange(29, -1, -2)
    np.testing.assert_array_equal(
        kernels.ring_sums(frames, rings, which)[0], whole[which]
    )


def test_pixels_without_a_ring_do_not_matter_even_if_they_are_no_number():
    frames = np.ones((18, 5, 9), np.float32)
    frames[:, 0, 0], frames[:, 4, 8] = np.nan, np.inf
    label = np.zeros((5, 9), np.int64)
    label[0, 0] = label[4, 8] = -1
    sums, _ = kernels.ring_sums(frames, kernels.rings_of(label, 1))
    assert sums.ravel().tolist() == [43.0] * 18


def test_frames_that_cannot_be_written_or_are_not_aligned_are_read():
    raw = np.zeros(8 * 5 * 9 * 2 + 1, np.uint8)
    frames = raw[1:].view("<u2").reshape(8, 5, 9)
    frames[...] = np.arange(8)[:, None, None]
    frames.flags.writeable = False
    rings = kernels.rings_of(np.zeros((5, 9), np.int64), 1)
    for given_as in (frames, frames.astype(">u2"), frames[:, ::-1]):
        sums, _ = kernels.ring_sums(given_as, rings)
        assert sums.ravel().tolist() == [45 * k for k in range(8)]


def test_nothing_is_compiled_once_it_is_warm():
    kernels.warm(np.dtype("u2"))
    compiled = (
        len(kernels._side_by_side.signatures),
        len(kernels._one_by_one.signatures),
    )
    rings = kernels.rings_of(np.zeros((3, 4), np.int64), 1)
    for n in (1, 20):
        for squares in (False, True):
            frames = np.ones((n, 3, 4), np.uint16)
            kernels.ring_sums(frames, rings, squares=squares)
            frames.flags.writeable = False
            kernels.ring_sums(frames, rings, squares=squares)
    assert compiled == (
        len(kernels._side_by_side.signatures),
        len(kernels._one_by_one.signatures),
    )


# -- which pixel is in which bin ----------------------------------------------------


def test_a_pixel_belongs_to_the_bin_whose_middle_is_nearest():
    found = Axis(0.0, 1.0, 4, "px", (1.0, 1.0))
    assert found.middles.tolist() == [0.5, 1.5, 2.5, 3.5]
    label = found.label((1, 6), (0.0, 0.0))
    assert label.tolist() == [[0, 1, 2, 3, -1, -1]]  # halfway, the upper one has it
    assert found.label((1, 4), (0.0, -0.25)).tolist() == [[0, 1, 2, 3]]


@settings(max_examples=50, deadline=None)
@given(
    st.tuples(st.floats(-3, 12), st.floats(-3, 12)),
    st.floats(0, 3),
    st.floats(0.3, 4),
    st.integers(1, 9),
)
def test_bins_tile_the_range_and_share_no_pixel(centre, r_min, step, bins):
    found = Axis(r_min, step, bins, "px", (1.0, 1.0))
    label, radius = found.label((9, 10), centre), found.radius((9, 10), centre)
    inside = (radius >= r_min + 1e-9) & (radius < r_min + bins * step - 1e-9)
    assert (label[inside] >= 0).all()
    distance = np.abs(radius[..., None] - found.middles).min(axis=-1)
    assert (distance[label >= 0] <= step / 2 + 1e-9).all()


def test_an_ellipse_becomes_a_circle():
    ratio, angle = 1.3, 0.4
    turn = np.linspace(0, 2 * np.pi, 50)
    long, short = 20 * np.sqrt(ratio), 20 / np.sqrt(ratio)
    along, across = long * np.cos(turn), short * np.sin(turn)
    x = along * np.cos(angle) - across * np.sin(angle)
    y = along * np.sin(angle) + across * np.cos(angle)
    found = Axis(0.0, 1.0, 30, "px", (1.0, 1.0), (ratio, angle))
    for row, column in zip(y, x, strict=True):
        radius = found.radius((1, 1), (-row, -column))[0, 0]
        assert radius == pytest.approx(20, abs=1e-9)


def test_without_a_calibration_bins_are_pixels_to_the_furthest_edge():
    found = axis(shape=(192, 180))
    assert (found.units, found.step, found.bins) == ("px", 1.0, 96)
    assert axis(shape=(192, 180), centre=(0, 0)).bins == 192


def test_units_follow_from_the_calibration():
    known = {"detector_rad_per_px": [2e-3, 1e-3]}
    found = axis(calibration=known)
    assert (found.units, found.scale) == ("mrad", (2.0, 1.0))
    known["beam_energy_eV"] = 200e3
    found = axis(calibration=known)
    assert found.units == "1/Å"
    assert found.scale[1] == pytest.approx(1e-3 / 0.025079, rel=1e-4)
    q = axis(calibration=known, units="rad/A")
    assert q.scale[1] == pytest.approx(2 * np.pi * found.scale[1])
    assert axis(calibration=known, units="px").scale == (1, 1)


@pytest.mark.parametrize(
    ("params", "bins", "step", "end"),
    [
        ({"bins": 5}, 5, 0.8, 4.0),
        ({"step": 0.5}, 8, 0.5, 4.0),
        ({"bins": 3, "step": 2.0}, 3, 2.0, 6.0),
        ({"r_max": 3.0, "bins": 6}, 6, 0.5, 3.0),
        ({"r_min": 1.0, "r_max": 3.5}, 3, 1.0, 4.0),
    ],
)
def test_bins_are_as_many_as_asked_for(params, bins, step, end):
    found = axis(**params)
    assert (found.bins, found.step) == (bins, pytest.approx(step))
    assert found.r_min + found.bins * found.step == pytest.approx(end)


def test_masks_and_dead_pixels_do_not_count(tmp_path):
    dead = np.zeros((7, 8), np.uint8)
    dead[3, 3] = 1
    np.save(tmp_path / "dead.npy", dead)
    plain = maps({"centre": (3, 3)}).fixed.pixels
    for params in ({"dead": ((3, 3),)}, {"dead": tmp_path / "dead.npy"}):
        less = maps({"centre": (3, 3), **params}).fixed.pixels
        assert (plain - less).tolist() == [1, 0, 0, 0, 0]
    held = maps({"centre": (3, 3), "mask": {"rectangle": [0, 0, 4, 8]}})
    assert held.fixed.pixels.sum() < plain.sum()


def test_split_pixels_are_shared_out_by_area():
    area = np.pi * np.diff(np.array([0, 4, 8, 12]) ** 2)
    wanted = {"bins": 3, "r_max": 12.0, "centre": (20.2, 19.6)}
    whole = maps(wanted, shape=(41, 41)).fixed.pixels
    split = maps({**wanted, "split": 8}, shape=(41, 41)).fixed.pixels / 64
    np.testing.assert_allclose(split, area, rtol=2e-3)
    assert np.abs(whole / area - 1).max() > 5e-3


def test_centres_follow_descan_in_quarters_of_a_pixel():
    plane = [[3, 0.3, 0.0], [4, 0.0, 0.1]]
    found = maps(scan=Scan((2, 3)), descan_px=plane)
    assert found.moves
    assert found.centres(np.arange(6)).tolist() == [
        [3, 4], [3, 4], [3, 4.25], [3.25, 4], [3.25, 4], [3.25, 4.25],
    ]  # fmt: skip
    assert maps(scan=Scan((2, 3)), descan_px=[[3, 0, 0], [4, 0, 0]]).moves is False
    assert maps({"centre": (3, 4)}, scan=Scan((2, 3)), descan_px=plane).moves is False


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"r_min": 50.0}, r"r_min = 50 must be below r_max = 4 px"),
        ({"bins": 2, "step": 1.0, "r_max": 3.0}, "bins, step and r_max give two"),
        ({"step": 1e-6}, r"step = 1e-06 px makes 4000000 bins; at most 65534"),
        ({"units": "mrad"}, r"radial needs detector_rad_per_px.*set detector_rad_per"),
        ({"centre": "calibration"}, r"radial needs centre_px.*acquisition\.calibrat"),
        ({"centre": (90, 90), "r_max": 5.0}, r"no pixel .* around the centre \(90, 90"),
        ({"dead": ((7, 0),)}, r"dead: pixel \[7, 0\] is not in frames of \(7, 8\)"),
        ({"dead": "/none.npy"}, r"radial: dead: .*none\.npy"),
        ({"mask": {"mask": "/none.npy"}}, r"mask\.mask: .*none\.npy"),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(params, message):
    with pytest.raises(ConfigError, match=message):
        maps(params)


def test_weights_are_no_mask(tmp_path):
    np.save(tmp_path / "w.npy", np.full((7, 8), 0.5))
    with pytest.raises(ConfigError, match=r"mask\.mask: .*w\.npy holds weights"):
        maps({"mask": {"mask": str(tmp_path / "w.npy")}})
    with pytest.raises(ConfigError, match=r"dead: .*w\.npy holds more than 0 and 1"):
        maps({"dead": tmp_path / "w.npy"})

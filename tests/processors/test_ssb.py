import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.processors.weak_objects import (
    SEMI,
    WAVELENGTH,
    agreement,
    aperture_of,
    calibration,
    direct,
    patterns,
    phase_of,
    seen,
)

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.errors import ConfigError, ShapeError
from scopeside.messages import validate
from scopeside.scan import Scan
from scopeside.testing import check_processor
from scopeside_processors.kernels import ssb as kernels
from scopeside_processors.stem.calibration import Calibration, Known
from scopeside_processors.stem.overlaps import cells_of, overlaps_of
from scopeside_processors.stem.probe import Aberrations, disk_of
from scopeside_processors.stem.ssb import SingleSideBand
from scopeside_processors.stem.ssb_cost import cost_of, image_every
from scopeside_processors.stem.trotters import trotters_of

N, RADIUS, SIZE = 16, 5.0, 32
"""Positions along a side of the usual scan, pixels of its disk, and of its frames."""
SOFT = aperture_of(64, RADIUS)
KNOWN = calibration(RADIUS, N, 64, SIZE, aperture=SOFT)
PHASE = phase_of(64, softest=0.1)
FRAMES = patterns(np.exp(1j * PHASE), SOFT, N, SIZE)
EACH = {"every_rows": 1}
FINE = WAVELENGTH / (4.2 * SEMI)
"""A step, m, with which the scan shows all that the beam can."""


def about(frames=FRAMES, known=KNOWN, **scan):
    shape = scan.pop("shape", frames.shape[:2])
    return Acquisition(
        "a",
        frames.shape[-2:],
        frames.dtype,
        kind="scan4d",
        scan=Scan(shape, **scan),
        calibration=known,
    )


def new(frames=FRAMES, known=KNOWN, params=None, **scan):
    found = validate(SingleSideBand.Params, params or {}, where="ssb")
    return SingleSideBand(about(frames, known, **scan), found)


def batch(frames, index=None):
    flat = frames.reshape(-1, *frames.shape[-2:])
    index = np.arange(len(flat)) if index is None else np.asarray(index)
    return Batch(flat, index, 1000 * index)


def run(frames=FRAMES, known=KNOWN, params=None, index=None, **scan):
    processor = new(frames, known, params, **scan)
    processor.process(batch(frames, index))
    return {result.name: result for result in processor.results()}


def transmission(**kwargs):
    found = run(**kwargs)
    return found["amplitude"].data * np.exp(1j * found["phase"].data)


# -- the answer that is known -------------------------------------------------------


def test_without_a_sample_the_phase_is_0_and_the_amplitude_1():
    frames = patterns(np.ones((64, 64)), SOFT, N, SIZE)
    found = run(frames)
    np.testing.assert_allclose(found["phase"].data, 0, atol=1e-6)
    np.testing.assert_allclose(found["amplitude"].data, 1, atol=1e-6)


def test_the_phase_of_a_weak_object_is_found():
    found = run()
    assert found["phase"].data.dtype == np.float32
    assert (found["phase"].units, found["amplitude"].units) == ("rad", "")
    correlation, slope = agreement(found["phase"].data, seen(PHASE, N, RADIUS))
    assert correlation > 0.9999
    assert slope == pytest.approx(1, abs=0.005)


def test_a_phase_that_grows_with_x_is_positive_at_large_x():
    x = np.arange(64) / 64
    phase = np.tile(0.02 * np.sin(2 * np.pi * x), (64, 1))
    frames = patterns(np.exp(1j * phase), SOFT, N, SIZE)
    found = run(frames)["phase"].data
    np.testing.assert_allclose(found, phase[::4, ::4], atol=2e-4)


def test_the_amplitude_of_a_weak_absorber_is_found():
    absorbed = phase_of(64, seed=3, softest=0.1)
    frames = patterns(np.exp(-absorbed), SOFT, N, SIZE)
    found = run(frames)
    truth = seen(np.exp(-absorbed), N, RADIUS)
    correlation, slope = agreement(found["amplitude"].data, truth)
    assert correlation > 0.999
    assert slope == pytest.approx(1, abs=0.02)
    assert found["phase"].data.std() < 0.02 * absorbed.std()


def test_disks_may_move_by_parts_of_a_pixel():
    period, sharp = phase_of(32, seed=5, softest=0.13), aperture_of(96, 18, sharp=True)
    wide = patterns(np.exp(1j * np.tile(period, (3, 3))), sharp, 3 * N, 48)[:N, :N]
    # A frequency of the scan moves the disk by 3 pixels, of which 2 are put together.
    known = calibration(9, N, 96, 24, centre_px=(11.75, 11.75))
    known["scan_step_m"] = WAVELENGTH * 18 / SEMI / 3 / N
    empty = patterns(np.ones((96, 96)), sharp, 1, 48)
    for said in ({}, {"aperture": halved(empty)[0, 0]}):
        found = run(halved(wide), {**known, **said})["phase"].data
        correlation, slope = agreement(found, seen(period, N, 6))
        assert correlation > 0.9995
        assert slope == pytest.approx(1, abs=0.02)


def halved(frames):
    rows, columns, height, width = frames.shape
    cut = frames.reshape(rows, columns, height // 2, 2, width // 2, 2)
    return cut.sum(axis=(3, 5))


def test_the_dose_has_no_part_in_it():
    one, other = run()["phase"].data, run(1000 * FRAMES)["phase"].data
    np.testing.assert_allclose(one, other, atol=2e-6)


@pytest.mark.parametrize(
    "given",
    [
        Aberrations(defocus_m=15e-9),
        Aberrations(astigmatism_m=(6e-9, -9e-9)),
        Aberrations(spherical_m=50e-6),
        Aberrations(-8e-9, (4e-9, 4e-9), 20e-6),
    ],
    ids=["defocus", "astigmatism", "spherical", "all"],
)
def test_aberrations_are_taken_off(given):
    frames = patterns(np.exp(1j * PHASE), aperture_of(64, RADIUS, chi_of(given)), N, 32)
    truth = seen(PHASE, N, RADIUS)
    found = run(frames, params=params_of(given))["phase"].data
    correlation, slope = agreement(found, truth)
    assert correlation > 0.999
    assert slope == pytest.approx(1, abs=0.03)
    assert agreement(run(frames)["phase"].data, truth)[0] < 0.9


def params_of(given):
    return {
        "defocus_m": given.defocus_m,
        "astigmatism_m": given.astigmatism_m,
        "spherical_m": given.spherical_m,
    }


def chi_of(given):
    (real, imag), wave = given.astigmatism_m, 2 * np.pi / WAVELENGTH

    def chi(y, x):
        second = given.defocus_m * (y * y + x * x) + real * (x * x - y * y)
        second = second + imag * 2 * x * y
        return wave * (second / 2 + given.spherical_m * (y * y + x * x) ** 2 / 4)

    return chi


def test_the_defocus_may_come_from_the_calibration():
    blurred = aperture_of(64, RADIUS, chi_of(Aberrations(15e-9)))
    frames = patterns(np.exp(1j * PHASE), blurred, N, 32)
    told = run(frames, {**KNOWN, "defocus_m": 15e-9})["phase"].data
    asked = run(frames, params={"defocus_m": 15e-9})["phase"].data
    np.testing.assert_array_equal(told, asked)


@pytest.mark.parametrize(
    ("turned", "known"),
    [
        (lambda f: f[..., ::-1, :], {"flip": True, "centre_px": (15, 16)}),
        # With π/2, y and x of the scan are -x and y of the camera.
        (
            lambda f: np.swapaxes(f, 2, 3)[..., ::-1],
            {"scan_rotation_rad": np.pi / 2, "centre_px": (16, 15)},
        ),
        (
            lambda f: np.pad(f, ((0, 0), (0, 0), (2, 1), (0, 3))),
            {"centre_px": (18, 16)},
        ),
    ],
    ids=["flip", "rotation", "odd"],
)
def test_the_camera_may_lie_in_any_way(turned, known):
    found = transmission(frames=turned(FRAMES).copy(), known={**KNOWN, **known})
    np.testing.assert_allclose(found, transmission(), atol=2e-5)


# -- against the direct evaluation --------------------------------------------------


def poisson(shape, seed=0, mean=5.0, dtype=np.uint16):
    return np.random.default_rng(seed).poisson(mean, shape).astype(dtype)


@pytest.mark.parametrize("shape", [(12, 15), (15, 12), (1, 9), (9, 2)])
def test_it_is_the_direct_evaluation(shape):
    known = calibration(4.3, 14, 64, 20, centre_px=(9.3, 10.6))
    known["detector_rad_per_px"] = (SEMI / 4.3, SEMI / 4.6)
    known["scan_rotation_rad"] = 0.3
    frames = poisson((*shape, 20, 23))
    acquisition = about(frames, known)
    where = overlaps_of(Calibration.of(acquisition), shape)
    m = where.margin
    disk = where.disk[m:-m, m:-m]

    def angles_of(ky, kx):
        step = known["scan_step_m"]
        return WAVELENGTH / step * np.array([ky / shape[0], kx / shape[1]])

    def shift_of(ky, kx):
        cos, sin = np.cos(0.3), np.sin(0.3)
        y, x = angles_of(ky, kx)
        return (y * cos + x * sin) * 4.3 / SEMI, (x * cos - y * sin) * 4.6 / SEMI

    found = transmission(frames=frames, known=known)
    expected = direct(frames, disk, shift_of, angles_of)
    assert np.abs(np.angle(found * expected.conj())).max() < 1e-5
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_it_is_the_direct_evaluation_with_aberrations():
    given = Aberrations(12e-9, (5e-9, 3e-9), 30e-6)
    frames = poisson((12, 12, 20, 20))
    known = calibration(4.3, 14, 64, 20)
    pitch, step = known["detector_rad_per_px"], known["scan_step_m"]
    m = overlaps_of(Calibration.of(about(frames, known)), (12, 12)).margin
    disk, _ = disk_of(Calibration.of(about(frames, known)), m, "ssb")
    expected = direct(
        frames,
        disk[m:-m, m:-m],
        lambda ky, kx: np.array([ky, kx]) * WAVELENGTH / (12 * step) / pitch,
        lambda ky, kx: np.array([ky, kx]) * WAVELENGTH / (12 * step),
        chi=chi_of(given),
        to_px=lambda y, x: ((y - 10) * pitch, (x - 10) * pitch),
    )
    found = transmission(frames=frames, known=known, params=params_of(given))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.integers(1, 4),
    st.sampled_from(["u1", "u2", "u4", "i2", "f4", "f8"]),
    st.integers(0, 2**32 - 1),
)
def test_cells_are_sums_of_pixels(origin, side, dtype, seed):
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 100, (3, 21, 22)).astype(dtype)
    rows = np.array([[0, 1, 3], [1, 0, 4], [2, 2, 4]])
    out, totals = np.zeros((5, 9), np.float32), np.zeros(5)
    flags = np.full(5, 255, np.uint8)
    most = np.dtype(dtype).type(np.inf if dtype[0] == "f" else np.iinfo(dtype).max)
    where = np.array([3, 0, 4])
    kernels.gather(
        frames, where, rows, np.array(origin), side, most, out, totals, flags
    )
    cut = frames[:, origin[0] :, origin[1] :][:, : 4 * side, : 4 * side]
    cells = cut.reshape(3, 4, side, 4, side).sum(axis=(2, 4))
    expected = np.concatenate([cells[:, r, a:b] for r, a, b in rows], axis=1)
    np.testing.assert_array_equal(out[where, 1:], expected)
    np.testing.assert_array_equal(totals[where], expected.sum(axis=1))
    assert flags.tolist() == [0, 255, 255, 0, 0]
    assert not out[:, 0].any()


@settings(max_examples=20, deadline=None)
@given(
    st.floats(4.5, 6.0),
    st.floats(-0.5, 0.5),
    st.integers(1, 2),
    st.integers(0, 2**32 - 1),
)
def test_sums_over_the_ends_of_runs_are_sums_over_lenses(radius, off, side, seed):
    known = calibration(radius, 9, 64, 20, centre_px=(10 + off, 9.5))
    known["scan_step_m"] = FINE
    found = Calibration(Known.model_validate(known), (20, 20))
    where = overlaps_of(found, (9, 9))
    cells = cells_of(where, side)
    plain = trotters_of(where, cells, Aberrations(), 0.01)
    weighed = trotters_of(where, cells, Aberrations(defocus_m=1e-30), 0.01)
    pixels = np.random.default_rng(seed).random((9, 1 + cells.count), np.float32)
    pixels[:, 0] = 0
    turn = np.exp(1j * np.arange(9))
    one, other = np.zeros((2, len(plain.lines), 2), complex)
    spectrum = np.fft.rfft(pixels, axis=0)
    kernels.add_weighed(
        *(np.ascontiguousarray(s, np.float32) for s in (spectrum.real, spectrum.imag)),
        *(plain.columns, plain.lines, turn, weighed.runs, weighed.bounds),
        *weighed.weights,
        other,
    )
    kernels.sum_along(pixels, cells.rows)
    sums = np.fft.rfft(pixels, axis=0).astype(np.complex64)
    kernels.add_lenses(
        sums, plain.columns, plain.lines, turn, plain.edges, plain.edge_bounds, one
    )
    np.testing.assert_allclose(one, other, atol=1e-3)
    np.testing.assert_allclose(plain.inverse, weighed.inverse, rtol=1e-6)


# -- the stream ---------------------------------------------------------------------


def test_an_image_of_half_a_scan_shows_the_half():
    whole, half = run(), run(FRAMES[:9], params=EACH, shape=(N, N))
    there = ~np.isnan(half["phase"].data)
    np.testing.assert_array_equal(there, half["phase"].mask)
    assert there.all(axis=1).tolist() == [True] * 9 + [False] * 7
    inner = slice(2, 7)
    agree = agreement(half["phase"].data[inner], whole["phase"].data[inner])
    assert agree[0] > 0.95
    assert (half["phase"].used, half["phase"].expected) == (9 * N, N * N)
    assert not half["phase"].complete
    assert whole["phase"].complete


def test_the_edge_of_what_was_scanned_does_not_show():
    known = {**KNOWN, "centre_px": (15.6, 16.3)}
    frames = patterns(np.ones((64, 64)), SOFT, N, SIZE)
    found = run(frames[:9], known, params=EACH, shape=(N, N))
    np.testing.assert_allclose(found["phase"].data[:9], 0, atol=1e-5)
    np.testing.assert_allclose(found["amplitude"].data[:9], 1, atol=1e-5)


def test_images_come_every_so_many_rows_and_at_the_end():
    processor, rows = new(params={"every_rows": 5}), []
    for k in range(N):
        processor.process(batch(FRAMES[k], np.arange(N) + k * N))
        rows += [r.meta["rows"] for r in processor.results() if r.name == "phase"]
    assert rows == [5, 10, 15, 16]


def test_a_snake_scan_with_flyback_gives_the_same_image():
    snake = FRAMES.copy()
    snake[1::2] = snake[1::2, ::-1]
    flown = np.pad(snake, ((0, 0), (0, 2), (0, 0), (0, 0)), constant_values=7)
    found = run(flown, pattern="snake", flyback=2, shape=(N, N))["phase"]
    np.testing.assert_array_equal(found.data, run()["phase"].data)
    assert found.meta["outside"] == 2 * (N - 1)


def test_every_scan_begins_anew():
    other = patterns(np.exp(-1j * PHASE), SOFT, N, SIZE)
    found = run(np.stack([other, FRAMES]), scans=2, shape=(N, N))["phase"]
    np.testing.assert_array_equal(found.data, run()["phase"].data)
    assert found.meta["scan"] == 1


def test_frames_of_a_row_may_come_in_any_order():
    index = np.arange(N * N).reshape(N, N)
    index[:-1] = np.random.default_rng(0).permuted(index[:-1], axis=1)
    frames = FRAMES.reshape(-1, SIZE, SIZE)[index]
    found = run(frames, index=index.ravel())["phase"].data
    np.testing.assert_array_equal(found, run()["phase"].data)


def test_what_is_missing_is_flagged_and_the_rest_hardly_changes():
    keep = np.ones(N * N, bool)
    keep[[3 * N + 5, 7 * N + 15, 7 * N + 14]] = False
    flat = FRAMES.reshape(-1, SIZE, SIZE)[keep]
    params = {"of": ["phase", "validity"]}
    found = run(flat, params=params, index=np.flatnonzero(keep), shape=(N, N))
    phase, validity = found["phase"], found["validity"].data
    assert np.argwhere(~phase.mask).tolist() == [[3, 5], [7, 14], [7, 15]]
    assert np.isnan(phase.data).sum() == 3
    assert validity[3, 5] == 1
    assert found["validity"].meta["reasons"]["1"] == "the frame is missing"
    assert phase.meta["invalid"] == {"the frame is missing": 3}
    assert (phase.used, phase.frame) == (N * N - 3, N * N - 1)
    good, whole = phase.mask, run()["phase"].data
    assert agreement(phase.data[good], whole[good])[0] > 0.97


def test_the_last_frame_closes_its_row():
    index = np.delete(np.arange(N * N), [N * N - 3, N * N - 7])
    found = run(FRAMES.reshape(-1, SIZE, SIZE)[index], index=index, shape=(N, N))
    assert found["phase"].meta["rows"] == N
    assert (~found["phase"].mask).sum() == 2


def test_frames_that_come_too_late_are_counted():
    processor = new(params=EACH)
    flat = FRAMES.reshape(-1, SIZE, SIZE)
    index = np.r_[1 : 3 * N, 0, 3 * N : 4 * N]
    processor.process(batch(flat[index], index))
    found = next(iter(processor.results()))
    assert found.meta["late"] == 1
    assert found.meta["invalid"] == {"the frame is missing": 1}


def test_a_third_row_closes_the_first():
    processor = new(params=EACH)
    flat = FRAMES.reshape(-1, SIZE, SIZE)
    index = np.r_[0:5, N : N + 5, 2 * N]
    processor.process(batch(flat[index], index))
    found = next(iter(processor.results()))
    assert (found.meta["rows"], found.used, found.frame) == (1, 5, 4)


@pytest.mark.parametrize(
    ("spoilt", "dtype", "reason"),
    [
        (np.nan, "f4", "a pixel of the bright field is no number"),
        (np.inf, "f8", "a pixel of the bright field is no number"),
        (65535, "u2", "a pixel of the bright field is saturated"),
        (None, "u2", "no counts in the bright field"),
    ],
)
def test_frames_of_no_use_are_flagged_with_the_reason(spoilt, dtype, reason):
    frames = (10 * FRAMES).astype(dtype)
    expected = run(frames)["phase"].data
    frames[4, 6] = 0
    if spoilt is not None:
        frames[4, 6, 15, 16] = spoilt
    found = run(frames)["phase"]
    assert np.argwhere(np.isnan(found.data)).tolist() == [[4, 6]]
    assert found.meta["invalid"] == {reason: 1}
    good = found.mask
    assert agreement(found.data[good], expected[good])[0] > 0.98


def test_a_frame_without_counts_is_a_frame_where_there_are_few():
    frames = poisson((N, N, SIZE, SIZE), mean=0.02)
    frames[2, 3] = 0
    assert run(frames)["phase"].mask is None


def test_a_saturated_pixel_beside_the_disk_is_none_of_its_business():
    frames = (10 * FRAMES).astype(np.uint16)
    frames[..., 0, 0] = 65535
    assert run(frames)["phase"].mask is None


def test_without_counts_there_is_no_image():
    found = run(np.zeros((N, N, SIZE, SIZE), np.uint16))
    assert not found["phase"].valid
    assert found["phase"].reason == "no counts in the bright field"


@pytest.mark.parametrize("dtype", ["u1", "u4", "i4", "u8", "f2"])
def test_pixels_may_be_of_any_dtype(dtype):
    whole = np.rint(FRAMES)
    found = run(whole.astype(dtype))["phase"].data
    np.testing.assert_allclose(found, run(whole)["phase"].data, atol=1e-6)


def test_aberrations_may_be_changed_between_rows():
    blurred = aperture_of(64, RADIUS, chi_of(Aberrations(15e-9)))
    frames = patterns(np.exp(1j * PHASE), blurred, N, 32)
    processor = new(frames, params=EACH)
    right = SingleSideBand.Params(every_rows=1, defocus_m=15e-9)
    processor.process(batch(frames[:4]))
    processor.change(right)
    processor.process(batch(frames[4:], np.arange(4 * N, N * N)))
    found = next(iter(processor.results()))
    said = [(e["from_row"], e["defocus_m"]) for e in found.meta["aberrations"]]
    assert said == [(0, 0.0), (4, 15e-9)]
    truth = seen(PHASE, N, RADIUS)
    assert agreement(found.data[7:13], truth[7:13])[0] > 0.95
    moved = new(frames)
    moved.restore(processor.snapshot())
    assert moved.snapshot() == processor.snapshot()


def test_aberrations_that_were_always_the_same_leave_no_trace():
    processor = new(params={"defocus_m": 5e-9, **EACH})
    processor.process(batch(FRAMES[:2]))
    processor.change(SingleSideBand.Params(defocus_m=5e-9, every_rows=1))
    processor.process(batch(FRAMES[2:], np.arange(2 * N, N * N)))
    found = next(iter(processor.results()))
    expected = run(params={"defocus_m": 5e-9})["phase"].data
    np.testing.assert_array_equal(found.data, expected)


@pytest.mark.parametrize("key", ["binning", "positions_per_s", "cutoff"])
def test_what_cannot_change_in_mid_scan_is_refused(key):
    with pytest.raises(ConfigError, match=f"ssb.{key} cannot be changed"):
        new().change(SingleSideBand.Params(**{key: 1 if key == "binning" else 0.5}))


# -- binning and cost ---------------------------------------------------------------


def test_binned_pixels_give_nearly_the_same():
    phase, sharp = phase_of(64, softest=0.08), aperture_of(64, 12, sharp=True)
    frames = patterns(np.exp(1j * phase), sharp, 32, 32)
    known = calibration(12, 32, 64, 32, aperture=sharp)
    for binning in (1, 2, 3):
        found = run(frames, known, {"binning": binning})["phase"]
        assert found.meta["binning"] == binning
        correlation, slope = agreement(found.data, seen(phase, 32, 12))
        assert correlation > 0.999
        assert slope == pytest.approx(1, abs=0.02)


def test_bins_are_as_large_as_they_need_to_be_to_keep_up(caplog):
    frames, known = np.zeros((N, N, 128, 128), np.uint16), calibration(30, N, 128, 128)
    known["scan_step_m"] = FINE
    slow, fast = (new(frames, known, {"positions_per_s": rate}) for rate in (1e3, 1e5))
    assert slow._cells.side == 1
    assert fast._cells.side > 1
    assert slow._cost.positions_per_s < 1e5 <= fast._cost.positions_per_s
    assert not caplog.records
    hopeless = new(frames, known, {"positions_per_s": 1e9})
    assert 1 < hopeless._cells.side < 7
    assert "not 1000000000" in caplog.text


def test_the_cost_is_stated():
    cost = run()["phase"].meta["cost"]
    assert cost["positions_per_s"] > 0
    assert cost["operations"] > 100
    acquisition = about()
    where = overlaps_of(Calibration.of(acquisition), (N, N))
    plain, weighted = (
        cost_of(where, cells_of(where, 1), weighted=w) for w in (False, True)
    )
    assert weighted.positions_per_s < plain.positions_per_s
    assert weighted.table_bytes > plain.table_bytes


def test_images_are_rarer_where_rows_are_fast():
    assert image_every((256, 256), 1e3) == 1
    assert 2 < image_every((256, 256), 25e3) < 20
    assert image_every((4, 1000), 1e9) == 4


def test_a_snapshot_holds_the_open_row_as_far_as_it_was_seen():
    processor = new()
    empty = len(processor.snapshot())
    processor.process(batch(FRAMES[0, :3]))
    cells = processor._cells.count
    assert 0 < len(processor.snapshot()) - empty < 3 * 4 * cells + 300


# -- the aperture -------------------------------------------------------------------


def test_the_aperture_may_be_an_image_or_in_fft_order(tmp_path):
    sharp = aperture_of(64, RADIUS, sharp=True)
    empty = patterns(np.ones((64, 64)), sharp, 1, SIZE)[0, 0]
    np.save(tmp_path / "a.npy", sharp)
    found = [
        run(known={**KNOWN, "aperture": said})["phase"].data
        for said in (sharp, empty, str(tmp_path / "a.npy"))
    ]
    np.testing.assert_allclose(found[1], found[0], atol=1e-5)
    np.testing.assert_array_equal(found[2], found[0])


@pytest.mark.parametrize(
    ("aperture", "says"),
    [
        ("/none.npy", "none.npy"),
        (np.full((4, 4), np.nan), "holds NaN"),
        (np.zeros((32, 32)), "holds NaN, negative"),
        (np.ones(5), "is no image"),
        (np.pad(np.ones((3, 3)), 4), r"aperture is \(11, 11\), frames are \(32, 32\)"),
    ],
)
def test_an_aperture_of_no_use_is_refused(aperture, says):
    with pytest.raises(ConfigError, match=says):
        new(known={**KNOWN, "aperture": aperture})


# -- what cannot be -----------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        "beam_energy_eV",
        "semi_angle_rad",
        "scan_step_m",
        "detector_rad_per_px",
        "centre_px",
    ],
)
def test_what_is_not_known_is_named(key):
    known = {k: v for k, v in KNOWN.items() if k != key}
    with pytest.raises(ConfigError, match=f"ssb needs {key}"):
        new(known=known)


@pytest.mark.parametrize(
    ("known", "says"),
    [
        ({"centre_px": (40, 16)}, r"centre_px .* lies outside of frames"),
        ({"scan_step_m": 1e-9}, "scan_step_m .* is too coarse"),
        ({"scan_step_m": 1e-13}, "no disks overlap"),
        ({"aperture": None, "detector_rad_per_px": 0.04}, r"the disk holds \d cells"),
    ],
)
def test_what_cannot_be_seen_is_refused(known, says):
    with pytest.raises(ConfigError, match=says):
        new(known={**KNOWN, **known})


def test_frequencies_that_come_back_as_others_are_told():
    coarse = {**KNOWN, "scan_step_m": WAVELENGTH / (3 * SEMI)}
    assert run(known=coarse)["phase"].meta["aliased"]
    assert "aliased" not in run(known={**KNOWN, "scan_step_m": 3e-11})["phase"].meta


def test_a_movie_and_listed_positions_have_no_rows():
    movie = Acquisition("a", (32, 32), np.dtype("u2"), calibration=KNOWN)
    path = np.arange(4, dtype="<u4").tobytes()
    listed = about(shape=(N, N), pattern="positions", visited=path)
    for acquisition in (movie, listed):
        with pytest.raises(ConfigError, match="ssb takes whole rows of a scan"):
            SingleSideBand(acquisition, SingleSideBand.Params())


def test_frames_that_were_not_announced_are_refused():
    with pytest.raises(ShapeError, match=r"the acquisition has \(32, 32\)"):
        new().process(batch(np.ones((1, 7, 8), np.float32)))


def test_what_cameras_deliver_is_prepared_for():
    before = kernels.gather.nopython_signatures
    SingleSideBand.prepare()
    SingleSideBand.prepare(about())
    assert len(kernels.gather.nopython_signatures) >= max(3, len(before))


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("params", [{}, {"every_rows": 2, "defocus_m": 9e-9}])
def test_keeps_the_laws_of_a_processor(dtype, params):
    known = calibration(3, 14, 64, 12)
    frames = poisson((5, 6, 12, 12), dtype=dtype)
    frames[1, 2] = 0
    wanted = {"of": ["phase", "amplitude", "validity"], **params}
    check_processor(
        SingleSideBand, frames, params=wanted, acquisition=about(frames, known)
    )


def test_keeps_the_laws_with_flyback_and_several_scans():
    frames = poisson((2 * 4 * 7, 12, 12))
    acquisition = about(
        frames, calibration(3, 14, 64, 12), shape=(4, 6), flyback=1, scans=2, offset=1
    )
    check_processor(SingleSideBand, frames, params=EACH, acquisition=acquisition)

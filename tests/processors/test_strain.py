import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import nbed

import scopeside
from scopeside.acquisition import Acquisition, Scan
from scopeside.batch import Batch
from scopeside.errors import ConfigError, ShapeError
from scopeside.messages import validate
from scopeside.testing import check_processor
from scopeside_processors.kernels import lattices as kernels
from scopeside_processors.stem.disk_filters import filters_of
from scopeside_processors.stem.indexing import Wishes, learn
from scopeside_processors.stem.lattice import (
    find_lattice,
    orders_of,
    reduced,
    strain_of,
    to_basis_of,
)
from scopeside_processors.stem.strain import REASONS, STRAINS, Strain

VECTORS = nbed.REFERENCE.tolist()
ALL = [*STRAINS, "centre", "lattice", "disks", "residual", "validity"]
SCAN = nbed.scan((6, 8), electrons=100_000, wander=0.3)
FRAMES = SCAN.frames.reshape(-1, 128, 128)
SMALL = nbed.scan((3, 4), side=64, electrons=20_000, wander=0.3)
KNOWN = {"disk_radius_px": 5, "reference_lattice": VECTORS, "first": 5}


def new(params=None, shape=(128, 128), dtype="u2", **acquisition):
    about = Acquisition("a", shape, np.dtype(dtype), **acquisition)
    given = KNOWN if params is None else params
    return Strain(about, validate(Strain.Params, given, where="strain"))


def fed(frames=FRAMES, params=None, **acquisition):
    processor = new(params, frames.shape[1:], frames.dtype, **acquisition)
    index = np.arange(len(frames))
    processor.process(Batch(frames, index, index))
    return processor


def results(processor):
    return {result.name: result for result in processor.results()}


def strains(processor):
    found = results(processor)
    return np.stack([found[name].data for name in STRAINS], axis=-1)


def rms(found, truth):
    return np.sqrt(np.mean((found - truth) ** 2, axis=(0, 1)))


# -- lattices -----------------------------------------------------------------------


def test_a_crystal_that_is_longer_along_x_has_disks_nearer_along_x():
    found = strain_of(np.array([[0, 20 / 1.01], [30, 0.0]]), np.diag([30.0, 20])[::-1])
    np.testing.assert_allclose(found, [0.01, 0, 0, 0], atol=1e-12)


def test_a_positive_rotation_turns_columns_towards_rows():
    cos, sin = np.cos(0.1), np.sin(0.1)
    # A vector along x gets a positive row.
    turned = 20 * np.array([[sin, cos], [cos, -sin]])
    found = strain_of(turned, 20 * np.array([[0, 1.0], [1, 0]]))
    np.testing.assert_allclose(found, [0, 0, 0, 0.1], atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-0.2, 0.2), min_size=4, max_size=4))
def test_strain_is_what_the_lattice_was_deformed_by(strain):
    lattice = nbed.deformed(nbed.REFERENCE, np.array([strain]))
    found = strain_of(lattice, nbed.REFERENCE)[0]
    np.testing.assert_allclose(found, strain, atol=1e-12)


def test_strain_does_not_depend_on_the_basis():
    lattice = nbed.deformed(nbed.REFERENCE, np.array([[0.02, -0.01, 0.005, 0.03]]))
    turn = np.array([[1, 1], [0, -1]])
    np.testing.assert_allclose(
        strain_of(turn @ lattice, turn @ nbed.REFERENCE),
        strain_of(lattice, nbed.REFERENCE),
        atol=1e-12,
    )


def test_where_there_is_no_lattice_there_is_no_strain():
    assert np.isnan(strain_of(np.full((2, 2), np.nan), nbed.REFERENCE)).all()
    assert not np.isfinite(strain_of(np.zeros((2, 2)), nbed.REFERENCE)).any()


def test_another_basis_of_the_same_lattice_is_recognised():
    other = np.array([[1, 1], [0, 1]]) @ nbed.REFERENCE * 1.02
    turn = to_basis_of(nbed.REFERENCE, other)
    np.testing.assert_allclose(turn @ other, nbed.REFERENCE * 1.02)
    assert to_basis_of(nbed.REFERENCE, 2 * nbed.REFERENCE) is None
    assert to_basis_of(nbed.REFERENCE, np.array([[0, 25.0], [25, 0]])) is None


def test_the_shortest_vectors_are_found():
    found = reduced(np.array([[3.0, 0], [7, 1]]))
    assert abs(np.linalg.det(found)) == pytest.approx(3)
    assert np.linalg.norm(found, axis=1).tolist() == pytest.approx([2**0.5, 5**0.5])


def a_lattice_with_gaps(rng):
    """Its vectors, and the disks that are left of it, a fifth of a pixel off."""
    turn, angle = rng.uniform(0, 3.1), rng.uniform(1.0, 2.1)
    angles = np.array([turn, turn + angle])
    lengths = rng.uniform(14, 24, (2, 1))
    vectors = lengths * np.stack([np.sin(angles), np.cos(angles)], 1)
    orders = orders_of(vectors, np.array([64.0, 64]), (128, 128), 4, most=200)
    points = orders @ vectors + 64 + rng.normal(0, 0.2, orders.shape)
    weight = np.exp(-np.arange(len(points)) / 10)
    kept = rng.random(len(points)) < 0.85
    kept[:5] = True
    return vectors, np.column_stack([points, weight])[kept]


def test_a_lattice_is_found_though_disks_are_missing():
    # Now and then the disks that are left make another lattice as well: no method
    # finds the right one always, so the share counts.
    rng = np.random.default_rng(8)
    right = 0
    for _ in range(60):
        vectors, peaks = a_lattice_with_gaps(rng)
        found = find_lattice(peaks, np.array([63.0, 65]), 6.0)
        right += (
            found is not None and to_basis_of(reduced(vectors), found[0]) is not None
        )
    assert right >= 58


def test_points_in_disorder_are_no_lattice():
    rng = np.random.default_rng(4)
    peaks = np.column_stack([rng.uniform(0, 128, (12, 2)), np.ones(12)])
    assert find_lattice(peaks, np.array([64.0, 64]), 8.0) is None


def test_the_disks_next_to_the_beam_come_first():
    centre = np.array([64.0, 64])
    orders = orders_of(np.diag([20.0, 30]), centre, (128, 128), 8, most=100)
    assert orders[:3].tolist() == [[0, 0], [-1, 0], [1, 0]]
    assert len(orders) == 5 * 3
    inside = orders_of(
        np.diag([20.0, 30]), centre, (128, 128), 8, within=(25, 41), most=9
    )
    assert np.abs(inside).tolist() == [[0, 1], [0, 1], *[[1, 1]] * 4, [2, 0], [2, 0]]


# -- frames -------------------------------------------------------------------------


def fitted(frames, off=(0.0, 0.0), vectors=nbed.REFERENCE, reach=9):
    centre = SCAN.centre.reshape(-1, 2).mean(axis=0)
    orders = orders_of(vectors, centre, (128, 128), 8, most=60)
    expected = kernels.Expected(vectors, orders, 7, reach, 4, np.inf)
    centres = np.tile(centre + off, (len(frames), 1))
    return kernels.fit_lattices(frames, centres, expected, filters_of(5.0, 0.6, 20.0))


@pytest.mark.parametrize("off", [(0, 0), (3, -2), (-6, 4), (8, 8)])
def test_a_pattern_is_found_though_it_has_moved(off):
    lattices, _, flags = fitted(FRAMES, off)
    assert not flags.any()
    away = lattices[:, 2] - SCAN.centre.reshape(-1, 2)
    assert np.hypot(*away.T).max() < 0.1


def test_a_lattice_may_differ_by_a_few_parts_in_a_hundred():
    for strain in ([0.06, -0.05, 0, 0], [0, 0, 0, 0.1], [0.03, 0.03, 0.03, -0.05]):
        (vectors,) = nbed.deformed(nbed.REFERENCE, np.array([strain]))
        lattices, _, flags = fitted(FRAMES, vectors=vectors)
        assert not flags.any()
        found = strain_of(lattices[:, :2], nbed.REFERENCE)
        assert rms(found[None], SCAN.strain.reshape(1, -1, 4)).max() < 1.5e-3


def test_without_noise_the_lattice_is_exact():
    y, x = np.mgrid[:128, :128]
    frame = np.ones((128, 128))
    for h in range(-2, 3):
        for k in range(-2, 3):
            at = np.array([64.2, 63.6]) + [h, k] @ nbed.REFERENCE
            r = np.hypot(y - at[0], x - at[1])
            frame += 500 * nbed.disk(r, 5.0, 0.6)
    lattices, quality, flags = fitted(frame[None])
    assert flags.tolist() == [0]
    np.testing.assert_allclose(lattices[0, :2], nbed.REFERENCE, atol=2e-3)
    np.testing.assert_allclose(lattices[0, 2], [64.2, 63.6], atol=2e-3)
    assert quality[0, 1] < 0.01


def test_a_displaced_disk_is_outvoted():
    frames = FRAMES.copy()
    # The disk (0, 1) and what is around it go three pixels to the right.
    row, column = (
        (SCAN.centre.reshape(-1, 2)[0] + nbed.REFERENCE[0]).round().astype(int)
    )
    part = frames[:, row - 8 : row + 8, column - 8 : column + 8]
    part[:] = np.roll(part, 3, axis=2)
    plain, moved = fitted(FRAMES)[0], fitted(frames)[0]
    assert np.abs(plain - moved)[:, :2].max() < 0.12


def test_what_is_learnt_is_the_lattice_the_radius_and_the_edge():
    known = learn(FRAMES[:16], Wishes(5.0))
    assert to_basis_of(nbed.REFERENCE, known.vectors) is not None
    assert known.edge == pytest.approx(0.6, abs=0.06)
    blind = learn(FRAMES[:16], Wishes())
    assert blind.radius == pytest.approx(5.0, abs=0.1)
    assert blind.edge == pytest.approx(0.6, abs=0.12)


@pytest.mark.parametrize(("radius", "size"), [(1.5, 12), (3, 16), (9, 26)])
def test_disks_of_other_sizes_are_learnt(radius, size):
    vectors = np.array([[1.0, size], [size, -2.0]])
    scan = nbed.scan((2, 3), radius=radius, vectors=vectors, wander=0.3)
    found = learn(scan.frames.reshape(-1, 128, 128), Wishes())
    assert found.radius == pytest.approx(radius, abs=0.2)
    assert to_basis_of(vectors, found.vectors) is not None


def test_where_there_is_no_lattice_the_reason_is_said():
    rng = np.random.default_rng(0)
    assert "no lattice found" in learn(rng.poisson(5.0, (4, 64, 64)), Wishes(5.0))
    assert learn(np.ones((4, 64, 64)), Wishes(5.0)) == "no disk found"
    assert "larger than half a frame" in learn(FRAMES[:2], Wishes(70.0))
    crowd = nbed.scan((1, 2), radius=8, vectors=np.array([[1.0, 15], [14.5, 0]]))
    assert "disks overlap" in learn(crowd.frames[0], Wishes(8.0))


# -- the stream ---------------------------------------------------------------------


@pytest.mark.parametrize("params", [KNOWN, {"reference_lattice": VECTORS, "first": 20}])
def test_strain_is_found_and_nobody_says_where_the_beam_is(params):
    found = results(fed(params=params, scan=Scan((6, 8))))
    assert list(found) == list(STRAINS)
    assert [r.units for r in found.values()] == ["", "", "", "rad"]
    for result in found.values():
        assert (result.data.shape, result.data.dtype) == ((6, 8), np.float64)
        assert result.mask is None
        assert result.complete
    data = np.stack([found[name].data for name in STRAINS], axis=-1)
    assert rms(data, SCAN.strain).max() < 1.5e-3
    assert found["exx"].meta["disk_radius_px"] == pytest.approx(5.0, abs=0.1)


def test_without_a_reference_the_median_is_taken():
    found = results(fed(params={"disk_radius_px": 5}, scan=Scan((6, 8))))
    truth = np.median(SCAN.strain, axis=(0, 1))
    data = np.stack([found[name].data for name in STRAINS], axis=-1)
    assert rms(data + truth, SCAN.strain).max() < 4e-3
    assert np.abs(np.median(data, axis=(0, 1))).max() < 3e-3


def test_the_reference_region_may_change_while_it_runs():
    processor = fed(params={"disk_radius_px": 5}, scan=Scan((6, 8)))
    wanted = {"disk_radius_px": 5, "reference": [1, 2, 3, 5]}
    processor.change(validate(Strain.Params, wanted, where="strain"))
    once = fed(params=wanted, scan=Scan((6, 8)))
    np.testing.assert_array_equal(strains(processor), strains(once))
    assert np.abs(np.median(strains(once)[1:3, 2:5], axis=(0, 1))).max() < 3e-3
    wanted["first"] = 9
    with pytest.raises(ConfigError, match="first cannot change during an acquisition"):
        processor.change(validate(Strain.Params, wanted, where="strain"))


def test_an_empty_reference_region_makes_no_strain():
    frames = FRAMES.copy()
    frames[:8] = 0
    wanted = {**KNOWN, "reference_lattice": None, "reference": [0, 0, 1, 8]}
    found = results(fed(frames, {**wanted, "of": ["exx", "disks"]}, scan=Scan((6, 8))))
    assert not found["exx"].valid
    assert found["exx"].reason == "no lattice in the reference region [0, 0, 1, 8]"
    assert found["disks"].valid


def test_a_reference_of_another_lattice_is_refused():
    wanted = {**KNOWN, "reference_lattice": [[0, 33.0], [33.0, 0]]}
    found = results(fed(params=wanted, scan=Scan((6, 8))))
    assert "is not near reference_lattice" in found["exx"].reason


def test_a_frame_that_is_of_no_use_is_invalid_alone():
    frames = FRAMES.astype(np.float32)
    frames[20] = 0
    frames[21, 0, 0] = np.nan
    frames[22] = np.inf
    frames[23] = np.random.default_rng(1).poisson(3.0, (128, 128))
    frames[2], frames[3, 9, 9] = 0, np.nan  # before anything is learnt, too
    processor = fed(frames, {**KNOWN, "of": ["exx", "validity"]}, scan=Scan((6, 8)))
    exx, validity = results(processor).values()
    bad = [2, 3, 20, 21, 22, 23]
    held = np.flatnonzero(validity.data.ravel())
    assert held.tolist() == bad
    np.testing.assert_array_equal(np.isnan(exx.data), validity.data > 0)
    np.testing.assert_array_equal(exx.mask, validity.data == 0)
    said = [REASONS[k - 1] for k in validity.data.ravel()[bad]]
    assert said[:5] == ["no counts", "not a number", "no counts", *["not a number"] * 2]
    assert said[5] in {"too few disks", "lattice fit failed", REASONS[3]}
    clean = fed(FRAMES.astype(np.float32), {**KNOWN, "of": ["exx"]}, scan=Scan((6, 8)))
    good = validity.data == 0
    found, once = exx.data[good], results(clean)["exx"].data[good]
    np.testing.assert_allclose(found, once, atol=1e-3)  # other frames were learnt from


def test_a_beam_that_left_the_detector_is_not_found():
    frames = np.concatenate([FRAMES[:6], FRAMES[:2]])
    frames[6:] = 0
    frames[6:, 125:, 3:20] = 50
    validity = results(fed(frames, {**KNOWN, "of": ["exx", "validity"]}))["validity"]
    assert validity.data.tolist() == [0] * 6 + [4, 4]


def test_a_saturated_frame_is_invalid_and_one_saturated_disk_is_left_out():
    frames = FRAMES[:12].copy()
    frames[10] = np.where(frames[10] > 2, 700, frames[10])
    frames[11, 60:68, 60:68] = 700
    wanted = {**KNOWN, "of": ["exx", "validity"], "saturation": 690}
    exx, validity = results(fed(frames, wanted)).values()
    assert validity.data.tolist() == [0] * 10 + [3, 0]
    plain = results(fed(FRAMES[:12], {**wanted, "saturation": 60_000}))["exx"]
    assert abs(exx.data[11] - plain.data[11]) < 2e-3


def test_too_few_disks_are_said_to_be_so():
    wanted = {**KNOWN, "min_disks": 60, "of": ["validity"]}
    found = results(fed(params=wanted))["validity"]
    assert (
        "fewer than 60 disks lie whole in a frame"
        in results(fed(params={**wanted, "of": ["exx"]}))["exx"].reason
    )
    assert set(found.data.tolist()) == {0} or found.data.min() == len(REASONS)


def test_a_scan_that_begins_in_a_hole_is_learnt_later():
    rng = np.random.default_rng(3)
    hole = rng.poisson(1.0, (10, 128, 128)).astype(np.uint16)
    frames = np.concatenate([hole, FRAMES[:20]])
    wanted = {"disk_radius_px": 5, "first": 5, "of": ["exx", "validity"]}
    exx, validity = results(fed(frames, wanted)).values()
    assert validity.data.tolist() == [7] * 10 + [0] * 20
    assert exx.meta["invalid"] == {REASONS[6]: 10}


def test_before_enough_frames_are_there_what_there_is_is_shown():
    found = results(fed(FRAMES[:3], {**KNOWN, "first": 40}, scan=Scan((6, 8))))["exx"]
    assert found.valid
    assert found.used == 3
    assert np.count_nonzero(~np.isnan(found.data)) == 3


def test_descan_is_followed():
    frames = FRAMES.copy()
    shifts = np.arange(6) * 3
    for row, shift in enumerate(shifts):
        frames[8 * row : 8 * row + 8] = np.roll(
            frames[8 * row : 8 * row + 8], shift, axis=1
        )
    y, x = SCAN.centre[0, 0]
    known = {"descan_px": [[y, 3.0, 0.0], [x, 0.0, 0.0]]}
    wanted = {**KNOWN, "of": ["centre", *STRAINS]}
    processor = fed(frames, wanted, scan=Scan((6, 8)), calibration=known)
    found = results(processor)
    moved = (
        found["centre"].data - SCAN.centre - np.stack([shifts, 0 * shifts], 1)[:, None]
    )
    assert np.abs(moved).max() < 0.1
    assert rms(strains(processor), SCAN.strain)[1:].max() < 2e-3


def test_each_quantity_can_be_had():
    found = results(fed(params={**KNOWN, "of": ALL}, scan=Scan((6, 8))))
    assert list(found) == ALL
    assert found["centre"].data.shape == (6, 8, 2)
    assert np.abs(found["centre"].data - SCAN.centre).max() < 0.1
    assert found["lattice"].data.shape == (6, 8, 2, 2)
    assert found["lattice"].axes == ("scan_y", "scan_x", "vector", "yx")
    assert found["disks"].data.min() > 20
    assert found["residual"].data.max() < 0.5
    assert found["validity"].data.max() == 0


def test_before_the_first_frame_there_is_nothing():
    found = results(new(scan=Scan((6, 8))))["exx"]
    assert found.reason == "no frame with a position yet"


def test_frames_that_were_not_announced_are_refused():
    index = np.arange(1)
    with pytest.raises(ShapeError, match=r"the acquisition has \(128, 128\)"):
        new().process(Batch(np.ones((1, 7, 8), np.uint16), index, index))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"reference": [3, 0, 2, 4]}, r"reference is \[y0, x0, y1, x1\]"),
        ({"reference": [0, 0, 9, 4]}, r"lies beyond the scan of 6 rows and 8 columns"),
        ({"reference_lattice": [[1, 2], [2, 4]]}, r"its two vectors are in line"),
        ({"range_px": [9, 3]}, r"range_px is \[least, most\]"),
        ({"min_disks": 2}, r"strain\.min_disks"),
        ({"of": ["ezz"]}, r"strain\.of\[0\]: found 'ezz'"),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(params, message):
    with pytest.raises(ConfigError, match=message):
        new(params, scan=Scan((6, 8)))


def test_a_region_needs_a_scan():
    with pytest.raises(ConfigError, match="reference is a region of a scan"):
        new({"reference": [0, 0, 1, 1]})


def test_an_array_with_its_scan_is_all_that_a_notebook_needs():
    found = {r.name: r for r in scopeside.apply("strain", SCAN.frames)}
    assert all(result.complete for result in found.values())


@pytest.mark.parametrize("dtype", ["u2", "f4"])
@pytest.mark.parametrize("first", [1, 5, 32])
def test_keeps_the_laws_of_a_processor(dtype, first):
    wanted = {**KNOWN, "first": first, "of": ALL}
    check_processor(Strain, SMALL.frames.astype(dtype), params=wanted)

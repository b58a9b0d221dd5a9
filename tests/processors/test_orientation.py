import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.spot_patterns import (
    CALIBRATION,
    COPPER,
    K_MAX,
    MAGNESIUM,
    PX_PER_K,
    QUARTZ,
    SILICON,
    WAVELENGTH,
    draw,
    random_orientations,
    ring_pattern,
)

from scopeside.acquisition import Acquisition, Scan
from scopeside.batch import Batch
from scopeside.errors import ConfigError, MissingExtraError, ShapeError
from scopeside.messages import validate
from scopeside.testing import check_processor
from scopeside_processors.kernels import refine, ring
from scopeside_processors.stem.crystal import CrystalTable, crystal_of
from scopeside_processors.stem.crystal_templates import Beam, excited
from scopeside_processors.stem.harmonics import likely_fold
from scopeside_processors.stem.orientation import Orientation
from scopeside_processors.stem.rotations import (
    directions,
    from_bunge,
    looking_along,
    misorientation,
)

RING = {"r_in": 8, "r_out": 24, "centre": [31, 32.5], "units": "px"}
ALL = ["angle", "strength", "confidence", "colour", "validity"]
LIBRARY = {"method": "library", "crystal": COPPER, "s_max": 0.05, "step_deg": 1.5}
BEAM = Beam(WAVELENGTH, 0.05, PX_PER_K, 3, 62)


def new(params, shape=(64, 64), dtype="f8", **acquisition):
    about = Acquisition("a", shape, np.dtype(dtype), **acquisition)
    found = validate(Orientation.Params, params, where="orientation")
    return Orientation(about, found)


def run(frames, params, index=None, **acquisition):
    frames = np.asarray(frames)
    processor = new(params, frames.shape[1:], frames.dtype, **acquisition)
    index = np.arange(len(frames)) if index is None else np.asarray(index)
    processor.process(Batch(frames, index, 1000 * index))
    return {result.name: result for result in processor.results()}


def crystal(table, k_max=K_MAX):
    return crystal_of(CrystalTable.model_validate(table), k_max)


def patterns(table, n, seed=1, dose=20_000, beam=BEAM):
    """Frames of a crystal in random orientations, and those."""
    known = crystal(table)
    truth = random_orientations(n, seed)
    at, light = excited(known, truth, beam)
    return draw(at, light, dose, seed), truth, known


def index_patterns(frames, table, **more):
    params = {**LIBRARY, "crystal": table, **more}
    return run(frames, params, calibration=CALIBRATION)


# -- the angle of a lattice ---------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.floats(0, 1, exclude_max=True), st.floats(0.06, 0.5))
def test_the_angle_of_an_n_fold_ring_is_its_phase(fold, turn, strength):
    angle = turn * 2 * np.pi / fold
    frames = ring_pattern(angle, fold, strength)
    found = run(frames, {**RING, "fold": fold})
    off = np.exp(1j * fold * (found["angle"].data[0] - angle))
    assert abs(np.angle(off)) / fold < 2e-3
    assert found["strength"].data[0] == pytest.approx(strength, rel=0.02)
    assert 0 <= found["angle"].data[0] < 2 * np.pi / fold


def test_two_opposite_spots_worked_out_by_hand():
    frame = np.zeros((1, 64, 64), np.uint16)
    frame[0, 31 + 10, 32], frame[0, 31 - 10, 33] = 500, 500
    found = run(frame, {**RING, "fold": 2})
    assert found["angle"].data[0] == pytest.approx(np.arctan2(10, -0.5), abs=5e-3)
    assert found["strength"].data[0] == pytest.approx(1, abs=0.05)


def test_a_ring_that_only_falls_off_has_no_fold():
    frames = ring_pattern(0, 2, 0.0)
    found = run(frames, {**RING, "fold": 4, "of": ALL})
    assert found["validity"].data.tolist() == [5]
    assert np.isnan(found["angle"].data).all()
    assert found["colour"].data.tolist() == [[0, 0, 0]]
    assert found["angle"].meta["invalid"] == {"no anisotropy": 1}


def test_chance_order_of_few_counts_is_no_order():
    counts = ring_pattern(np.zeros(300), 2, 0.0, mean=0.2, seed=3)
    found = run(counts, {**RING, "fold": 6, "min_strength": 0, "min_confidence": 0.99})
    invalid = found["angle"].meta["invalid"]["no anisotropy"]
    assert 288 <= invalid < 300


@pytest.mark.parametrize("fold", [2, 4, 6])
def test_the_fold_is_found(fold):
    angles = np.linspace(0, 2, 6)[:, None] + 2 * np.pi / fold * np.arange(fold)
    at = 15 * np.stack([np.cos(angles), np.sin(angles)], axis=2)
    frames = draw(at, np.ones(at.shape[:2]), 900, fold, centre=(31, 32.5), side=64)
    found = run(frames, RING)
    assert found["angle"].meta["fold"] == fold
    off = np.exp(1j * fold * (found["angle"].data - np.linspace(0, 2, 6)))
    assert np.abs(np.angle(off)).max() / fold < 0.02


def test_the_first_of_like_harmonics_is_the_fold():
    assert likely_fold(np.array([0.9, 0.95, 0.92]), (2, 4, 6)) == 2
    assert likely_fold(np.array([0.1, 0.2, 0.5]), (2, 4, 6)) == 6


def test_dead_pixels_and_what_they_hold_do_not_matter(tmp_path):
    frames = ring_pattern([0.3, 0.8], 6)
    good = run(frames, {**RING, "fold": 6})["angle"].data
    dead = [[31, column] for column in range(42, 50)]
    frames[:, 31, 42:50] = np.nan
    found = run(frames, {**RING, "fold": 6, "dead": dead})["angle"].data
    np.testing.assert_allclose(found, good, atol=2e-3)
    mask = np.zeros((64, 64), np.uint8)
    mask[31, 42:50] = 1
    np.save(tmp_path / "dead.npy", mask)
    path = str(tmp_path / "dead.npy")
    again = run(frames, {**RING, "fold": 6, "dead": path})["angle"].data
    np.testing.assert_array_equal(again, found)


def test_each_bad_frame_is_invalid_by_itself():
    frames = ring_pattern(np.full(5, 0.4), 6).astype(np.float32)
    frames[1, 31, 45], frames[2] = np.nan, 0
    frames[3, 31, 45] = 500
    frames[4, 0, 0] = np.nan
    params = {**RING, "fold": 6, "of": ["angle", "validity"], "saturated_at": 500}
    found = run(frames, params)
    assert found["validity"].data.tolist() == [0, 1, 3, 2, 0]
    assert found["angle"].mask.tolist() == [True, False, False, False, True]
    assert found["angle"].data[4] == found["angle"].data[0]
    reasons = found["validity"].meta["reasons"]
    assert reasons["1"] == "a pixel on the ring is not a number"


def test_angles_are_those_of_the_scan():
    frames = ring_pattern(0.3, 6)
    turned = {"centre_px": [31, 32.5], "scan_rotation_rad": 0.1, "flip": True}
    params = {**RING, "centre": "calibration", "fold": 6}
    found = run(frames, params, calibration=turned)
    expected = (-0.3 - 0.1) % (np.pi / 3)
    assert found["angle"].data[0] == pytest.approx(expected, abs=1e-3)


def test_an_ellipse_is_made_a_circle():
    y, x = np.mgrid[:64, :64] - np.array([31, 32.5])[:, None, None]
    r = np.hypot(y * np.sqrt(1.1), x / np.sqrt(1.1))
    frames = 100 * np.exp(-(((r - 15) / 2) ** 2))[None]
    known = {"ellipse": [1.1, 0.0]}
    params = {**RING, "fold": 2, "of": ["strength"], "min_strength": 0}
    params |= {"min_confidence": 0}
    bent = run(frames, params)["strength"].data[0]
    straight = run(frames, params, calibration=known)["strength"].data[0]
    assert straight < 0.005 < bent


def test_descan_is_followed():
    one = ring_pattern(0.5, 6)[0]
    frames = np.stack([np.roll(one, k, axis=1) for k in range(4)])
    plane = [[31, 0, 0], [32.5, 0, 1]]
    params = {"r_in": 8, "r_out": 22, "fold": 6}
    found = run(frames, params, scan=Scan((1, 4)), calibration={"descan_px": plane})
    np.testing.assert_allclose(found["angle"].data, 0.5, atol=2e-3)


def test_a_beam_that_leaves_the_detector_is_invalid_where_it_does():
    frames = ring_pattern(np.full(4, 0.5), 6)
    plane = [[31, 0, 0], [32, 0, 15]]
    params = {**RING, "centre": "calibration", "fold": 6, "of": ["validity"]}
    found = run(frames, params, scan=Scan((1, 4)), calibration={"descan_px": plane})
    assert found["validity"].data[0, 3] == 4
    assert found["validity"].data[0, 0] != 4


def test_colour_turns_with_the_lattice():
    found = run(ring_pattern([0, np.pi / 6], 6), {**RING, "fold": 6, "of": ["colour"]})
    colour = found["colour"]
    assert (colour.data.shape, colour.data.dtype) == ((2, 3), np.uint8)
    assert colour.axes == ("frame", "rgb")
    assert colour.data[0].argmax() == 0
    assert (colour.data[1] >= [0, 250, 250]).all()


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "u8", "f4"])
@pytest.mark.parametrize("params", [{"fold": 6}, {}])
def test_lattice_keeps_the_laws_of_a_processor(dtype, params):
    frames = ring_pattern(np.linspace(0, 1, 8), 6, 0.4, seed=1)
    frames[3] = 0
    check_processor(
        Orientation,
        np.minimum(frames, 255).astype(dtype),
        scan=(2, 4),
        params={**RING, **params, "of": ALL},
        changed={**RING, **params, "of": ALL, "r_out": 20, "min_strength": 0.2},
    )


# -- crystals and rotations ---------------------------------------------------------


def test_structure_factors_of_diamond_follow_its_rules():
    known = crystal(SILICON)
    found = {
        tuple(hkl): one for hkl, one in zip(known.hkl, known.intensity, strict=True)
    }
    assert (1, 1, 1) in found
    assert (2, 0, 0) not in found
    assert (2, 2, 2) not in found
    assert len(known.laue) == 48
    length = np.linalg.norm(known.g, axis=1)
    np.testing.assert_allclose(
        length, np.linalg.norm(known.hkl, axis=1) / 5.431, rtol=1e-12
    )


def test_a_cif_gives_the_same_crystal(tmp_path):
    path = tmp_path / "cu.cif"
    path.write_text(
        "data_cu\n_cell_length_a 3.615\n_cell_length_b 3.615\n_cell_length_c 3.615\n"
        "_cell_angle_alpha 90\n_cell_angle_beta 90\n_cell_angle_gamma 90\n"
        "_symmetry_space_group_name_H-M 'F m -3 m'\nloop_\n_atom_site_label\n"
        "_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n"
        "_atom_site_fract_z\nCu1 Cu 0 0 0\n",
        encoding="utf-8",
    )
    read, said = crystal_of(path, K_MAX), crystal(COPPER)
    np.testing.assert_array_equal(read.hkl, said.hkl)
    np.testing.assert_allclose(read.intensity, said.intensity, rtol=1e-12)


@pytest.mark.parametrize(
    ("table", "order", "area"),
    [(COPPER, 48, 1 / 48), (MAGNESIUM, 24, 1 / 24), (QUARTZ, 12, 1 / 12)],
)
def test_zones_cover_what_the_laue_group_makes_all_of(table, order, area):
    laue = crystal(table, 1.0).laue
    assert len(laue) == order
    step = np.radians(1)
    zones = directions(step, 0, laue)
    assert len(zones) * step**2 == pytest.approx(4 * np.pi * area, rel=0.06)
    some = random_orientations(200, 3)[:, 0]
    cosine = np.einsum("kij,nj,mi->nmk", laue, some, zones).max(axis=(1, 2))
    assert np.degrees(np.arccos(cosine)).max() < 1.5


def test_bunges_angles_are_taken_apart_and_put_together():
    truth = random_orientations(50, 5)
    angles = np.zeros((50, 3))
    for one, out in zip(truth, angles, strict=True):
        refine.bunge_of(one, out)
    np.testing.assert_allclose(from_bunge(angles), truth, atol=1e-12)
    zones = truth[:, 0]
    seen = np.einsum("nij,nj->ni", looking_along(zones), zones)
    np.testing.assert_allclose(seen, np.tile([0, 0, 1], (50, 1)), atol=1e-12)


def test_the_mirror_image_is_the_pattern_of_the_opposite_zone():
    known = crystal(QUARTZ, 1.0)
    straight = random_orientations(5, 6)
    at, light = excited(known, straight, BEAM)
    mirrored = -np.diag([1.0, -1.0, 1.0]) @ straight
    other, and_light = excited(known, mirrored, BEAM)
    opposite = [
        int(np.flatnonzero((known.hkl == -hkl).all(axis=1))[0]) for hkl in known.hkl
    ]
    np.testing.assert_allclose(other[:, opposite], at * [1, -1], atol=1e-9)
    np.testing.assert_allclose(and_light[:, opposite], light, rtol=1e-6, atol=1e-9)


# -- the orientation of a crystal ---------------------------------------------------


@pytest.mark.parametrize("table", [COPPER, SILICON, MAGNESIUM])
def test_orientations_are_found_within_a_degree(table):
    frames, truth, known = patterns(table, 60)
    found = index_patterns(frames, table)
    error = misorientation(from_bunge(found["orientation"].data), truth, known.laue)
    error, sure = np.degrees(error), found["reliability"].data > 0.02
    assert error[sure].max() < 1
    assert np.median(error) < 0.35
    # The others look the same turned by 180° about the zone, see the documentation.
    assert (error < 1).mean() > 0.85


def test_angle_is_the_rotation_in_the_plane():
    frames, _, _ = patterns(COPPER, 6)
    turned = np.rot90(frames, -1, axes=(1, 2)).copy()  # x towards y
    calibration = {**CALIBRATION, "centre_px": [64.5, 63.75]}
    params = {**LIBRARY, "of": ["angle", "zone"]}
    one = run(frames, params, calibration=CALIBRATION)
    two = run(turned, params, calibration=calibration)
    same = one["zone"].data == two["zone"].data
    assert same.sum() >= 4
    off = two["angle"].data - one["angle"].data - np.pi / 2
    assert np.abs(np.angle(np.exp(1j * off[same]))).max() < np.radians(0.6)


def test_what_matches_nothing_is_invalid_and_what_is_empty_is_too():
    frames, _, _ = patterns(COPPER, 4)
    frames[1] = np.random.default_rng(1).poisson(0.5, frames[1].shape)
    frames[2] = 0
    found = index_patterns(frames, COPPER, of=["orientation", "zone", "validity"])
    assert found["validity"].data.tolist() == [0, 5, 3, 0]
    assert np.isnan(found["orientation"].data[1:3]).all()
    assert found["orientation"].data.shape == (4, 3)
    assert found["zone"].mask.tolist() == [True, False, False, True]


def test_dead_pixels_of_a_pattern_do_not_matter():
    frames, truth, known = patterns(COPPER, 4, seed=2)
    frames = frames.astype(np.float32)
    frames[:, 60:64, 90:94] = np.nan
    dead = [[row, column] for row in range(60, 64) for column in range(90, 94)]
    found = index_patterns(frames, COPPER, dead=dead)
    error = misorientation(from_bunge(found["orientation"].data), truth, known.laue)
    assert np.degrees(np.median(error)) < 0.5
    assert not found["orientation"].meta.get("invalid")


def test_nothing_is_compiled_once_it_is_warm():
    about = Acquisition("a", (128, 128), np.dtype("u2"))
    Orientation.prepare(about)
    kernels = (refine._best, ring._gather, ring._survey, ring._weighted_sums)
    compiled = [len(kernel.signatures) for kernel in kernels]
    frames, _, _ = patterns(COPPER, 5)
    frames.flags.writeable = False
    index_patterns(frames, COPPER)
    run(frames[1:], {"r_in": 5, "r_out": 20, "units": "px"})
    assert [len(kernel.signatures) for kernel in kernels] == compiled


def test_zones_are_named():
    frames, truth, known = patterns(COPPER, 3)
    found = index_patterns(frames, COPPER, of=["zone", "zones"])
    zones = found["zones"].data[found["zone"].data]
    seen = np.einsum("kij,nj->nki", known.laue, truth[:, 2])
    cosine = np.einsum("nki,ni->nk", seen, zones).max(axis=1)
    assert np.degrees(np.arccos(cosine)).max() < 2.5


@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_library_keeps_the_laws_of_a_processor(dtype):
    frames, _, _ = patterns(COPPER, 8)
    frames[3] = 0
    params = {**LIBRARY, "step_deg": 4, "of": ["angle", "orientation", "reliability"]}
    acquisition = Acquisition(
        "a", (128, 128), np.dtype(dtype), scan=Scan((2, 4)), calibration=CALIBRATION
    )
    check_processor(
        Orientation,
        frames.astype(dtype),
        acquisition=acquisition,
        params=params,
        changed={**params, "min_correlation": 0.4, "r_out": 1.5},
    )


@pytest.mark.parametrize("params", [{**RING, "r_out": 22}, {**LIBRARY, "step_deg": 4}])
def test_a_centre_that_wanders_keeps_the_laws(params):
    frames, _, _ = patterns(COPPER, 8)
    frames = np.stack([np.roll(frame, k, axis=1) for k, frame in enumerate(frames)])
    plane = [[63.25, 0.1, 0], [64.5, 0, 0.4]]
    acquisition = Acquisition(
        "a",
        (128, 128),
        frames.dtype,
        scan=Scan((2, 4)),
        calibration={**CALIBRATION, "descan_px": plane},
    )
    params = {**params, "centre": "calibration"}
    check_processor(Orientation, frames, acquisition=acquisition, params=params)


def test_a_library_follows_descan_and_turns_with_the_scan():
    frames, truth, known = patterns(COPPER, 4)
    frames = np.stack([np.roll(frame, 2 * k, axis=1) for k, frame in enumerate(frames)])
    calibration = {
        **CALIBRATION,
        "descan_px": [[63.25, 0, 0], [64.5, 0, 2]],
        "scan_rotation_rad": 0.4,
    }
    found = run(frames, LIBRARY, scan=Scan((1, 4)), calibration=calibration)
    cos, sin = np.cos(-0.4), np.sin(-0.4)
    turned = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ truth
    error = misorientation(from_bunge(found["orientation"].data[0]), turned, known.laue)
    assert np.degrees(np.median(error)) < 0.5


# -- the stream ---------------------------------------------------------------------


def test_before_the_first_frame_there_is_no_image():
    processor = new({**RING, "fold": 6}, scan=Scan((3, 4)))
    processor.process(Batch(np.zeros((0, 64, 64)), np.zeros(0, int), np.zeros(0, int)))
    angle, strength = processor.results()
    assert (angle.name, strength.name) == ("angle", "strength")
    assert angle.reason == "no frame with a position yet"


def test_frames_that_were_not_announced_are_refused():
    index = np.zeros(1, int)
    with pytest.raises(ShapeError, match=r"the acquisition has \(64, 64\)"):
        new({**RING, "fold": 6}).process(Batch(np.ones((1, 3, 3)), index, index))


def test_what_frames_depend_on_is_not_changed():
    processor = new({**RING, "fold": 6})
    other = validate(Orientation.Params, {**RING, "fold": 4}, where="orientation")
    with pytest.raises(ConfigError, match="fold can be changed only between"):
        processor.change(other)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "method = 'lattice' needs r_in and r_out"),
        ({"r_in": 9, "r_out": 8}, "r_in = 9 must be below r_out"),
        ({"method": "library"}, "method = 'library' needs crystal"),
        ({**RING, "of": ["zone"]}, "of: method = 'lattice' gives .*, not zone"),
        ({**RING, "r_out": 60}, r"orientation: .* % of the ring from 8 to 60 px lies"),
        (
            {**RING, "r_out": 8.4, "fold": 24},
            "pixels between r_in and r_out are too coarse",
        ),
        ({**RING, "units": "1/A"}, "orientation needs detector_rad_per_px"),
        ({**RING, "centre": "calibration"}, "orientation needs centre_px"),
        ({**RING, "dead": [[99, 0]]}, r"dead: pixel \[99, 0\] is not in frames"),
        ({**RING, "dead": "/none.npy"}, r"dead: .*none\.npy"),
        (LIBRARY, "orientation needs detector_rad_per_px"),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(params, message):
    with pytest.raises(ConfigError, match=message):
        new(params)


@pytest.mark.parametrize(
    ("crystal", "message"),
    [
        ("/none.cif", r"crystal: /none\.cif"),
        ({**COPPER, "spacegroup": "X 9"}, "expected a symbol such as"),
        ({**COPPER, "atoms": [{"element": "Qq", "at": [0, 0, 0]}]}, "no chemical"),
        ({**COPPER, "cell": [3, 3, 3, 90, 90]}, r"orientation\.crystal"),
    ],
)
def test_a_crystal_that_cannot_be_is_refused(crystal, message):
    with pytest.raises(ConfigError, match=message):
        new({**LIBRARY, "crystal": crystal}, (128, 128), calibration=CALIBRATION)


def test_a_library_without_gemmi_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gemmi", None)
    with pytest.raises(MissingExtraError, match=r"scopeside\[crystal\]"):
        crystal(COPPER, 0.9)


def test_rings_without_a_reflection_are_refused():
    params = {**LIBRARY, "r_in": 5, "r_out": 9, "units": "px"}
    with pytest.raises(ConfigError, match="no reflection lies"):
        new(params, (128, 128), calibration=CALIBRATION)

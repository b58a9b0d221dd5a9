"""Particles: what is one, its shape, and the groups of shapes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.errors import ConfigError, ShapeError
from scopeside.messages import validate
from scopeside.testing import check_processor
from scopeside_processors.insitu import segmentation
from scopeside_processors.insitu.grouping import Groups, harmonics
from scopeside_processors.insitu.particles import ALL_COLUMNS, Particles
from scopeside_processors.insitu.shapes import COLUMNS, Shapes, shapes_of
from scopeside_processors.insitu.track import Track
from scopeside_processors.kernels import basins, regions

SHAPE = (96, 112)
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]]


def disk(y, x, r):
    return np.hypot(Y - y, X - x) <= r


def bar(y, x, angle, length, width):
    along = (Y - y) * math.cos(angle) + (X - x) * math.sin(angle)
    across = (Y - y) * math.sin(angle) - (X - x) * math.cos(angle)
    return (np.abs(along) <= length / 2) & (np.abs(across) <= width / 2)


def frame(*masks, dose=200, depth=0.4, seed=0):
    mean = np.full(SHAPE, float(dose))
    for mask in masks:
        mean[mask] *= 1 - depth
    return np.random.default_rng(seed).poisson(mean).astype(np.uint16)


def run(frames, params=None, dtype="u2", **calibration):
    about = Acquisition("a", SHAPE, np.dtype(dtype), calibration=calibration)
    processor = Particles(about, validate(Particles.Params, params or {}, where="p"))
    index = np.arange(len(frames))
    shared = []
    results = []
    for k in index:
        batch = Batch(np.asarray(frames[k : k + 1]), index[k : k + 1], index[k : k + 1])
        processor.process(batch)
        results += processor.results()
        shared += batch.shared["particles"]
    return results, shared


def tables(frames, params=None, **more):
    return [r for r in run(frames, params, **more)[0] if r.name == "particles"]


def column(table, name):
    return np.asarray(table)[:, ALL_COLUMNS.index(name)]


def measured(mask, contrast=None):
    label, number = segmentation.label_regions(mask, None)
    weight = mask if contrast is None else contrast
    return shapes_of(label, number, np.asarray(weight, np.float32))


# -- shapes by hand -------------------------------------------------------------------


def test_a_rectangle_is_measured_as_one():
    mask = np.zeros(SHAPE, bool)
    mask[10:14, 20:32] = True
    (row,) = measured(mask).table
    found = dict(zip(COLUMNS, row, strict=True))
    assert (found["id"], found["y"], found["x"], found["area"]) == (1, 11.5, 25.5, 48)
    assert found["solidity"] == 1
    assert found["diameter"] == pytest.approx(math.sqrt(4 * 48 / math.pi))
    assert found["major_axis"] == pytest.approx(4 * math.sqrt(12**2 / 12))
    assert found["minor_axis"] == pytest.approx(4 * math.sqrt(4**2 / 12))
    assert found["aspect_ratio"] == pytest.approx(3)
    assert abs(found["orientation"]) == pytest.approx(math.pi / 2)
    assert found["contrast"] == 1
    assert found["edge"] == 0


@pytest.mark.parametrize("angle", [0.0, 0.4, 1.0, -0.7, 1.5])
def test_the_orientation_is_that_of_the_long_axis(angle):
    mask = bar(48, 56, angle, 40, 7)
    (row,) = measured(mask).table
    turned = (column([[*row, 0, 0]], "orientation")[0] - angle) % math.pi
    assert min(turned, math.pi - turned) < 0.02


@pytest.mark.parametrize("radius", [5, 9, 20])
def test_a_disk_has_the_perimeter_and_area_of_one(radius):
    found = measured(disk(48, 50, radius)).table[0]
    assert found[COLUMNS.index("perimeter")] == pytest.approx(
        2 * math.pi * radius, rel=0.09 if radius < 9 else 0.05
    )
    assert found[COLUMNS.index("eccentricity")] < 0.05
    assert found[COLUMNS.index("circularity")] == pytest.approx(1, abs=0.13)


def test_the_weighted_middle_is_that_of_the_contrast():
    mask = np.zeros(SHAPE, bool)
    mask[5, 5:9] = True
    (row,) = measured(mask, np.where(mask, X - 4, 0)).table
    found = dict(zip(COLUMNS, row, strict=True))
    assert (found["x"], found["x_weighted"]) == (6.5, (5 + 12 + 21 + 32) / 10)
    assert found["contrast"] == 2.5


def test_a_hole_has_a_perimeter_too():
    mask = np.zeros(SHAPE, bool)
    mask[20:40, 20:40] = True
    whole = measured(mask).table[0, COLUMNS.index("perimeter")]
    mask[28:32, 28:32] = False
    hole = np.zeros(SHAPE, bool)
    hole[28:32, 28:32] = True
    inner = measured(hole).table[0, COLUMNS.index("perimeter")]
    assert measured(mask).table[0, COLUMNS.index("perimeter")] == pytest.approx(
        whole + inner
    )


@given(
    arrays.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))),
)
def test_contours_are_made_of_neighbours_in_the_region(mask):
    label, number = segmentation.label_regions(mask, None)
    found = shapes_of(label, number, mask.astype(np.float32))
    assert found.table[:, COLUMNS.index("area")].sum() == mask.sum()
    for k in range(number):
        points = found.points[found.offset[k] : found.offset[k + 1]]
        assert len(points)
        assert (label[tuple(points.T)] == k + 1).all()
        steps = np.abs(points - np.roll(points, 1, axis=0)).max(axis=1)
        assert (steps <= 1).all()
        inside = label == k + 1
        rows, columns = np.nonzero(inside)
        assert set(points[:, 0]) >= {rows.min(), rows.max()}
        assert set(points[:, 1]) >= {columns.min(), columns.max()}
    assert (found.table[:, COLUMNS.index("solidity")] <= 1 + 1e-9).all()
    assert np.isfinite(found.fingerprint).all()


def test_a_fingerprint_does_not_turn_with_its_particle():
    prints = []
    for angle in (0.0, 0.6, 1.2, 2.5, 4.0):
        drop = bar(48, 56, angle, 40, 10) | disk(
            48 + 16 * math.cos(angle), 56 + 16 * math.sin(angle), 10
        )
        prints.append(measured(drop).fingerprint[0])
    first = prints[0]
    for other in prints[1:]:
        assert np.abs(other - first).mean() < 0.06
    assert np.abs(np.roll(first, 16) - first).mean() > 0.1


# -- cutting apart --------------------------------------------------------------------


def test_touching_disks_are_cut_apart_and_a_long_one_is_not():
    two = disk(40, 40, 12) | disk(40, 60, 12)
    assert segmentation.label_regions(two, None)[1] == 1
    label, number = segmentation.label_regions(two, 0.75)
    assert number == 2
    assert label[40, 40] != label[40, 60]
    assert abs((label == 1).sum() - (label == 2).sum()) < 20
    assert segmentation.label_regions(bar(40, 50, 1.2, 60, 9), 0.75)[1] == 1


def test_labels_of_pieces_are_all_there():
    chain = disk(20, 20, 9) | disk(20, 35, 9) | disk(20, 50, 9) | disk(70, 70, 10)
    label, number = segmentation.label_regions(chain, 0.75)
    assert number == 4
    assert sorted(np.unique(label)) == [0, 1, 2, 3, 4]
    kept, left = segmentation.kept(label, number, 300, 1e9)
    assert (left, kept.max()) == (1, 1)


@given(arrays.arrays(np.float32, (9, 11), elements=st.integers(0, 5).map(float)))
def test_basins_tile_what_is_above_the_ground(height):
    label, number = basins.split(height, 0.75)
    np.testing.assert_array_equal(label > 0, height > 0)
    assert sorted(np.unique(label[label > 0])) == list(range(1, number + 1))


# -- frames ---------------------------------------------------------------------------


def test_particles_are_found_where_they_are():
    shown = frame(disk(30, 30, 8), disk(60, 80, 12), disk(80, 20, 6))
    (result,) = tables([shown])
    assert result.meta["columns"] == list(ALL_COLUMNS)
    places = [(30, 30, 8), (60, 80, 12), (80, 20, 6)]
    found = result.data[np.argsort(column(result.data, "y"))]
    np.testing.assert_allclose(column(found, "y"), [p[0] for p in places], atol=0.4)
    np.testing.assert_allclose(column(found, "x"), [p[1] for p in places], atol=0.4)
    np.testing.assert_allclose(
        column(found, "radius_px"), [p[2] for p in places], atol=0.5
    )


@pytest.mark.parametrize("dose", [2, 10, 200, 10_000])
def test_an_empty_field_has_no_particles(dose):
    found = tables([frame(dose=dose, seed=k) for k in range(4)])
    assert [len(r.data) for r in found] == [0, 0, 0, 0]
    assert all(r.valid for r in found)


def test_bright_particles_are_found_when_asked_for():
    shown = frame(disk(40, 40, 10), depth=-0.5)
    assert len(tables([shown])[0].data) == 0
    (result,) = tables([shown], {"contrast": "bright"})
    assert len(result.data) == 1


@pytest.mark.parametrize("threshold", ["half", "otsu", 0.2, {"sigmas": 20}])
def test_every_threshold_finds_a_clear_particle(threshold):
    (result,) = tables([frame(disk(40, 40, 10), dose=2000)], {"threshold": threshold})
    (area,) = column(result.data, "area")
    assert area == pytest.approx(math.pi * 100, rel=0.06)


def test_the_outline_lies_at_half_of_each_ones_contrast():
    mean = np.full(SHAPE, 4000.0)
    for y, x, depth in ((30, 30, 0.6), (30, 80, 0.3), (70, 50, 0.08)):
        edge = np.clip((10 - np.hypot(Y - y, X - x)) / 4 + 0.5, 0, 1)
        mean *= 1 - depth * edge
    shown = np.random.default_rng(3).poisson(mean).astype(np.uint16)
    (result,) = tables([shown])
    np.testing.assert_allclose(column(result.data, "radius_px"), 10, atol=0.3)


def test_faint_particles_are_smoothed_until_they_show():
    shown = frame(disk(30, 30, 9), disk(60, 80, 10), dose=100, depth=0.1)
    (result,) = tables([shown])
    np.testing.assert_allclose(column(result.data, "radius_px"), [9, 10], atol=1)
    assert result.meta["smooth_px"] > 1.2
    clear = tables([frame(disk(30, 30, 9), dose=100, depth=0.6)])[0]
    assert clear.meta["smooth_px"] == 0.7


def test_a_crowd_leaves_the_background_where_it_is():
    places = [(y, x) for y in range(12, 96, 24) for x in range(12, 112, 24)]
    crowd = frame(*[disk(y, x, 7) for y, x in places])
    (result,) = tables([crowd])
    assert len(result.data) == len(places)
    radius = column(result.data, "radius_px")
    assert np.median(radius) == pytest.approx(7, abs=0.2)
    np.testing.assert_allclose(radius, 7, atol=1)


def test_half_a_field_of_one_particle_is_a_particle():
    (result,) = tables([frame(disk(48, 56, 40))])
    assert column(result.data, "area") == pytest.approx([math.pi * 1600], rel=0.02)


def test_bright_spots_are_no_background():
    spots = np.full(SHAPE, 200.0)
    spots[disk(20, 20, 6) | disk(70, 90, 6)] = 320
    spots[disk(60, 40, 8)] = 120
    shown = np.random.default_rng(4).poisson(spots).astype(np.uint16)
    (result,) = tables([shown])
    assert column(result.data, "x") == pytest.approx([40], abs=0.5)


def test_a_slow_slope_is_background():
    slope = (200 * (1 + 0.5 * X / SHAPE[1])).astype(np.uint16)
    assert len(tables([slope])[0].data) == 0
    with_disk = slope.copy()
    with_disk[disk(40, 60, 9)] //= 2
    assert len(tables([with_disk])[0].data) == 1


def test_an_average_shows_what_one_frame_does_not():
    frames = [
        frame(disk(40, 40, 6), dose=1, depth=0.35, seed=k).astype(np.uint8)
        for k in range(40)
    ]
    alone = tables(frames, {"correct_drift": False}, dtype="u1")
    both = {"average_frames": 31, "correct_drift": False}
    averaged = tables(frames, both, dtype="u1")
    near = [np.hypot(*(r.data[:, 1:3] - 40).T) < 2 for r in averaged[-5:]]
    assert all(n.sum() == 1 for n in near)
    assert sum(len(r.data) for r in alone[-5:]) < 5


def test_the_table_lies_in_the_batch_for_those_who_come_after():
    results, shared = run([frame(disk(40, 40, 10)), np.zeros(SHAPE, np.uint16)])
    given_table = next(r for r in results if r.name == "particles")
    np.testing.assert_array_equal(shared[0].data, given_table.data)
    assert (shared[1].valid, shared[1].reason) == (False, "no counts")


def test_track_follows_what_it_leaves_there():
    about = Acquisition("a", SHAPE, np.dtype("u2"))
    found, follow = (
        cls(about, validate(cls.Params, params, where="p"))
        for cls, params in (
            (Particles, {}),
            (Track, {"source": "particles", "correct_drift": False}),
        )
    )
    for k in range(12):
        one = np.array([k])
        shown = frame(disk(30, 30 + k, 8), disk(70, 80, 6), seed=k)
        batch = Batch(shown[None], one, one * 40_000_000)
        found.process(batch)
        follow.process(batch)
    tracks = next(r for r in follow.results() if r.name == "tracks").data
    tracks = tracks[np.argsort(tracks[:, 1])]
    np.testing.assert_allclose(tracks[:, 1:3], [[30, 41], [70, 80]], atol=1)
    np.testing.assert_allclose(tracks[:, 3], [8, 6], atol=0.6)


def test_contours_belong_to_their_particles():
    results, _ = run([frame(disk(30, 30, 8), disk(60, 80, 12))])
    contours = next(r.data for r in results if r.name == "contours")
    for number, y, x in ((1, 30, 30), (2, 60, 80)):
        mine = contours[contours[:, 0] == number][:, 1:]
        assert np.hypot(*(mine - [y, x]).T).min() > 6
    prints = next(r.data for r in results if r.name == "fingerprints")
    np.testing.assert_allclose(prints, 1, atol=0.15)
    assert not any(
        r.name in ("contours", "fingerprints")
        for r in run([frame(disk(30, 30, 8))], {"contours": False})[0]
    )


# -- physical units -------------------------------------------------------------------


def test_sizes_in_metres_are_told_where_pixels_have_a_size():
    shown = frame(disk(40, 40, 10))
    (plain,) = tables([shown])
    assert "diameter_m" not in plain.meta
    (result,) = tables([shown], pixel_size_m=0.5e-9)
    expected = column(result.data, "diameter") * 0.5e-9
    np.testing.assert_allclose(result.meta["diameter_m"], expected)
    area = column(result.data, "area") * 0.25e-18
    np.testing.assert_allclose(result.meta["area_m2"], area)


# -- groups ---------------------------------------------------------------------------


def test_disks_and_bars_are_two_groups():
    rng = np.random.default_rng(4)
    frames = [
        frame(
            disk(25 + rng.uniform(-3, 3), 25, 8 + rng.normal(0, 0.4)),
            bar(65, 75, rng.uniform(0, 3), 34 + rng.normal(0, 1), 8),
            seed=k,
        )
        for k in range(24)
    ]
    results, shared = run(frames, {"regroup_every": 20, "split": None})
    (groups,) = [r for r in results if r.name == "groups"]
    assert len(groups.data) == 2
    assert np.argmin(groups.meta["bic"]) == 1
    assert groups.data[:, -1].sum() == pytest.approx(40)
    np.testing.assert_allclose(groups.data[:, 0], 0.5, atol=0.1)
    last = shared[-1].data
    by_place = column(last, "group")[np.argsort(column(last, "y"))]
    assert by_place.tolist() == [0, 1]
    assert np.isnan(column(shared[0].data, "group")).all()


def shapes_with(table):
    ring = np.ones((len(table), 32))
    return Shapes(table, np.zeros(1, int), np.zeros((0, 2), np.int32), ring)


def test_harmonics_do_not_turn():
    angle = np.arange(32) * 2 * np.pi / 32
    square = 1 + 0.2 * np.cos(4 * angle)
    rings = np.stack([square, np.roll(square, 3), 1 + 0.1 * np.cos(2 * angle - 1)])
    expected = [[0, 0, 0.2, 0, 0], [0, 0, 0.2, 0, 0], [0.1, 0, 0, 0, 0]]
    np.testing.assert_allclose(harmonics(rings), expected, atol=1e-12)


def test_outlines_of_any_size_are_grouped_by_fingerprint():
    rng = np.random.default_rng(5)
    square = np.maximum(np.abs(Y - 70), np.abs(X - 80))
    frames = [
        frame(disk(30, 30, rng.uniform(8, 18)), square <= rng.integers(7, 16), seed=k)
        for k in range(30)
    ]
    asked = {"regroup_every": 25, "split": None, "group_by": "fingerprint"}
    results, shared = run(frames, asked)
    (groups,) = [r for r in results if r.name == "groups"]
    assert groups.meta["columns"][1] == "mean harmonic 2"
    for result in shared[29:]:
        order = np.argsort(column(result.data, "y"))
        upper, lower = column(result.data, "group")[order]
        assert upper != lower


def test_one_shape_is_one_group_and_few_particles_are_none():
    groups = Groups(5)
    rng = np.random.default_rng(6)
    table = np.ones((200, len(COLUMNS)))
    table[:, COLUMNS.index("area")] = np.exp(rng.normal(4, 0.2, 200))
    for name in ("circularity", "solidity"):
        table[:, COLUMNS.index(name)] = rng.normal(0.9, 0.02, 200)
    table[:, COLUMNS.index("aspect_ratio")] = np.exp(np.abs(rng.normal(0.3, 0.05, 200)))
    table[:, COLUMNS.index("edge")] = 0
    groups.take(shapes_with(table[:20]))
    groups.begin()
    assert not groups.go_on()
    groups.take(shapes_with(table))
    groups.begin()
    assert [groups.go_on() for _ in range(6)] == [False] * 4 + [True, False]
    assert len(groups.table()) == 1


# -- the laws, and what cannot be -----------------------------------------------------


def laws_movie():
    return np.stack(
        [frame(disk(30, 30 + k, 8), bar(65, 75, k, 30, 8), seed=k) for k in range(8)]
    )


@pytest.mark.parametrize(
    "params", [{}, {"average_frames": 5, "regroup_every": 3, "max_groups": 2}]
)
def test_it_keeps_the_laws(params):
    check_processor(
        Particles, laws_movie(), params=params, changed={"false_per_frame": 0.1}
    )


def test_a_bad_frame_is_invalid_and_harms_no_other():
    good = frame(disk(40, 40, 10))
    bad = np.zeros(SHAPE, np.uint16)
    found = tables([good, bad, good + 1])
    assert [r.valid for r in found] == [True, False, True]
    assert found[1].reason == "no counts"
    np.testing.assert_allclose(found[0].data[:, 1:4], found[2].data[:, 1:4], atol=0.3)


def test_a_frame_that_is_no_number_is_invalid():
    frames = np.ones((2, *SHAPE), np.float32) * 50
    frames[1, 3, 4] = np.nan
    found = tables(frames, dtype="f4")
    assert [(r.valid, r.reason) for r in found] == [(True, ""), (False, "not a number")]


def test_everything_dark_and_everything_particle_are_survived():
    half = np.full(SHAPE, 100, np.uint16)
    half[:, 40:] = 20
    edge = np.full(SHAPE, 100, np.uint16)
    edge[::2] = 1
    assert all(r.valid for r in tables([half, edge]))


def test_frames_of_another_size_are_refused():
    with pytest.raises(ShapeError):
        run(np.ones((1, 20, 20), np.uint16))


def test_a_model_that_is_not_there_is_refused(tmp_path):
    pytest.importorskip("onnxruntime", reason="it would be asked for first")
    with pytest.raises(ConfigError, match="there is no file"):
        run([frame()], {"model": {"path": str(tmp_path / "no.onnx")}})


def test_a_region_of_one_pixel_is_a_shape():
    mask = np.zeros((3, 3), bool)
    mask[1, 1] = True
    found = measured(mask)
    assert found.points.tolist() == [[1, 1]]
    assert found.table[0, COLUMNS.index("solidity")] == 1
    np.testing.assert_array_equal(found.fingerprint, 1)
    assert regions.perimeters(mask.astype(np.int32), 1)[0] > 0

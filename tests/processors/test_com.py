import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scopeside.acquisition import Acquisition, Scan
from scopeside.batch import Batch
from scopeside.errors import ConfigError, ShapeError
from scopeside.messages import validate
from scopeside.state import unpack
from scopeside.testing import check_processor
from scopeside_processors.kernels import com as kernels
from scopeside_processors.stem.com import CentreOfMass, centre_of_mass

INTEGERS = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"]
ALL = {"of": ["com", "com_y", "com_x", "total"]}
FRAMES = np.random.default_rng(2024).poisson(0.1, (12, 7, 8)).astype(np.uint16)


def new(params=None, dtype="u2", shape=(7, 8), **acquisition):
    about = Acquisition("a", shape, np.dtype(dtype), **acquisition)
    wanted = {"of": ["com"]} | (params or {})
    found = validate(CentreOfMass.Params, wanted, where="com")
    return CentreOfMass(about, found)


def batch(frames, index=None):
    index = np.arange(len(frames)) if index is None else np.asarray(index)
    return Batch(frames, index, 1000 * index)


def only(processor):
    (result,) = processor.results()
    return result


def exact_moments(frames, held=True):
    """Sums and moments as Python's integers, which have no largest."""
    counts = np.where(held, frames, 0).astype(object)
    row, column = np.mgrid[: frames.shape[1], : frames.shape[2]].astype(object)
    moments = np.stack(
        [(counts * row).sum(axis=(1, 2)), (counts * column).sum(axis=(1, 2))], axis=1
    )
    return counts.sum(axis=(1, 2)), moments


def whole_range(seed, shape, dtype):
    limits = np.iinfo(dtype)
    rng = np.random.default_rng(seed)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)


# -- the kernel ---------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["u1", "u2", "u4", "i1", "i2", "i4"]),
    st.tuples(st.integers(0, 3), st.integers(1, 9), st.integers(1, 40)),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.1, 0.5, 0.95]),
)
def test_moments_of_integers_are_exact(dtype, shape, seed, share):
    frames = whole_range(seed, shape, dtype)
    held = np.random.default_rng(seed).random(shape[1:]) < share
    total, moment = kernels.moments(frames, kernels.region_of(held))
    sums, moments = exact_moments(frames, held)
    assert (total.dtype, moment.dtype) == (np.int64, np.float64)
    np.testing.assert_array_equal(total, sums.astype(np.int64))
    np.testing.assert_array_equal(moment, moments.astype(np.float64))


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i1", "i2", "i4"])
@pytest.mark.parametrize("shape", [(257, 513), (512, 256), (3, 70000), (70000, 1)])
@pytest.mark.parametrize("end", ["min", "max"])
def test_saturated_frames_do_not_overflow(dtype, shape, end):
    value = int(getattr(np.iinfo(dtype), end))
    frames = np.full((1, *shape), value, dtype)
    height, width = shape
    total, moment = kernels.moments(frames, kernels.region_of(np.ones(shape, bool)))
    assert total[0] == value * height * width
    assert moment[0, 0] == float(value * width * (height * (height - 1) // 2))
    assert moment[0, 1] == float(value * height * (width * (width - 1) // 2))


def test_a_moment_beyond_64_bits_is_exact():
    shape = (2048, 4096)
    frames = np.full((1, *shape), 2**32 - 1, np.uint32)
    _, moment = kernels.moments(frames, kernels.region_of(np.ones(shape, bool)))
    exact = (2**32 - 1) * 2048 * (4096 * 4095 // 2)
    assert exact > 2**65
    assert moment[0, 1] == float(exact)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_a_region_holds_each_of_its_pixels_once(height, width, seed):
    held = np.random.default_rng(seed).random((height, width)) < 0.6
    region = kernels.region_of(held)
    counted = np.zeros((height + 1, width), int)
    pairs = region.bounds[1]
    for number, (row, first, stop) in enumerate(region.parts):
        counted[row : row + (2 if number < pairs else 1), first:stop] += 1
    np.testing.assert_array_equal(counted[:height], held)
    assert not counted[height].any()


def test_a_whole_frame_is_taken_two_rows_at_a_time():
    region = kernels.region_of(np.ones((6, 300), bool))
    columns = [(0, 256), (256, 300)]
    assert region.parts.tolist() == [
        [row, *two] for row in (0, 2, 4) for two in columns
    ]
    assert region.bounds.tolist() == [0, 6, 6]


def test_a_row_without_a_partner_is_single():
    region = kernels.region_of(np.ones((257, 2), bool))
    assert region.parts[-1].tolist() == [256, 0, 2]
    assert region.bounds.tolist() == [0, 128, 128, 128, 129]


def test_nothing_is_compiled_once_it_is_warm():
    kernels.warm(np.dtype("u2"))
    compiled = len(kernels._ADD_INTEGERS["u2"].signatures)
    frames = np.ones((2, 4, 4), np.uint16)
    centre_of_mass(frames)
    frames.flags.writeable = False
    centre_of_mass(frames[1:])
    centre_of_mass(frames.astype(">u2"))
    assert len(kernels._ADD_INTEGERS["u2"].signatures) == compiled


# -- the quantity -------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [*INTEGERS, "f2", "f4", "f8"])
def test_the_centre_is_the_mean_position_of_the_counts(dtype):
    frames = np.zeros((4, 3, 5), dtype)
    frames[0, 2, 4] = 7
    frames[1, [0, 1], [1, 3]] = [1, 3]
    frames[2] = 2
    com, total = centre_of_mass(frames)
    assert com[:3].tolist() == [[2, 4], [0.75, 2.5], [1, 2]]
    assert total.tolist() == [7, 4, 30, 0]
    assert np.isnan(com[3]).all()


def test_counts_that_cancel_have_no_centre():
    frames = np.array([[[3, -3]], [[-1, 0]]], np.int16)
    com, total = centre_of_mass(frames)
    assert np.isnan(com).all()
    assert total.tolist() == [0, -1]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_floats_are_added_in_float64(dtype):
    frames = np.random.default_rng(3).normal(1, 0.3, (5, 31, 67)).astype(dtype)
    com, total = centre_of_mass(frames)
    wide = frames.astype(np.float64)
    np.testing.assert_allclose(total, wide.sum(axis=(1, 2)), rtol=1e-13)
    row = (wide.sum(axis=2) @ np.arange(31)) / wide.sum(axis=(1, 2))
    np.testing.assert_allclose(com[:, 0], row, rtol=1e-12)


def test_a_pixel_that_is_no_number_spoils_its_frame_alone():
    frames = np.ones((3, 4, 4), np.float32)
    frames[0, 1, 1], frames[1, 1, 1] = np.nan, np.inf
    com, _ = centre_of_mass(frames)
    assert np.isnan(com[:2]).all()
    assert com[2].tolist() == [1.5, 1.5]


# -- the stream ---------------------------------------------------------------------


def test_a_scan_gives_an_image_of_vectors():
    processor = new(scan=Scan((3, 4)))
    processor.process(batch(FRAMES))
    image = only(processor)
    com, _ = centre_of_mass(FRAMES)
    np.testing.assert_array_equal(image.data, com.reshape(3, 4, 2))
    assert (image.name, image.kind, image.units) == ("com", "image", "px")
    assert image.axes == ("scan_y", "scan_x", "yx")
    assert (image.first, image.frame, image.used, image.expected) == (0, 11, 12, 12)
    assert image.mask is None
    assert image.complete


def test_each_quantity_can_be_had():
    processor = new(ALL, scan=Scan((3, 4)))
    processor.process(batch(FRAMES))
    com, y, x, total = processor.results()
    assert [r.name for r in (com, y, x, total)] == ALL["of"]
    np.testing.assert_array_equal(com.data, np.stack([y.data, x.data], axis=-1))
    np.testing.assert_array_equal(total.data.ravel(), FRAMES.sum(axis=(1, 2)))
    assert (total.data.dtype, total.units) == (np.int64, "counts")


def test_what_was_not_seen_is_masked_and_so_is_what_was_empty_with_its_reason():
    frames = FRAMES[:2].copy()
    frames[1] = 0
    processor = new({"of": ["com", "total", "validity"]}, scan=Scan((3, 4)))
    processor.process(batch(frames, [9, 4]))
    image, total, validity = processor.results()
    assert np.argwhere(image.mask.all(axis=-1)).tolist() == [[2, 1]]
    assert image.mask.sum() == 2
    assert np.argwhere(~np.isnan(image.data[..., 0])).tolist() == [[2, 1]]
    assert image.meta["invalid"] == {"no counts": 1}
    assert np.argwhere(total.mask).tolist() == [[1, 0], [2, 1]]
    assert total.data[1, 0] == 0
    assert (validity.data[1, 0], validity.data[2, 1], validity.data[0, 0]) == (
        1,
        0,
        255,
    )


def test_the_centre_is_subtracted():
    plain, centred = new(), new({"centre": [3, 3.5]})
    for processor in (plain, centred):
        processor.process(batch(FRAMES))
    np.testing.assert_array_equal(only(centred).data, only(plain).data - [3, 3.5])


def test_the_centre_may_come_from_the_calibration():
    centred = new({"centre": "calibration"}, calibration={"centre_px": [1, 2]})
    frame = np.zeros((1, 7, 8), np.uint16)
    frame[0, 5, 4] = 9
    centred.process(batch(frame))
    assert only(centred).data.tolist() == [[4, 2]]


def test_only_pixels_in_the_mask_count():
    frame = np.zeros((1, 7, 8), np.uint16)
    frame[0, [0, 2, 3], [0, 2, 4]] = [50, 1, 1]
    processor = new({"mask": {"disk": [3, 3, 2]}, **ALL})
    processor.process(batch(frame))
    com, _, _, total = processor.results()
    assert com.data.tolist() == [[2.5, 3.0]]
    assert total.data.tolist() == [2]


def test_the_mask_may_lie_around_the_centre():
    frame = np.ones((1, 7, 8), np.uint16)
    processor = new({"mask": {"disk": [2]}, "centre": [3, 4]})
    processor.process(batch(frame))
    assert only(processor).data.tolist() == [[0, 0]]


def test_frames_without_a_position_are_counted():
    processor = new(scan=Scan((2, 3), flyback=1))
    processor.process(batch(FRAMES[:11]))
    image = only(processor)
    assert (image.used, image.expected, image.frame) == (6, 6, 6)
    assert image.meta == {"outside": 5}


@pytest.mark.parametrize(("frames", "length"), [(None, 6), (8, 8)])
def test_a_movie_gives_a_series(frames, length):
    processor = new(frames=frames)
    processor.process(batch(FRAMES[:2], [2, 5]))
    series = only(processor)
    assert (series.kind, series.axes) == ("series", ("frame", "yx"))
    assert series.data.shape == (length, 2)
    assert np.flatnonzero(series.mask[:, 0]).tolist() == [2, 5]


def test_before_the_first_frame_there_is_no_image():
    processor = new(scan=Scan((3, 4)))
    processor.process(batch(FRAMES[:0]))
    image = only(processor)
    assert not image.valid
    assert image.reason == "no frame with a position yet"
    assert (image.used, image.expected) == (0, 12)


def test_pixels_too_large_for_int64_make_the_image_invalid():
    processor = new(dtype="u8", scan=Scan((3, 4)))
    processor.process(batch(np.full((1, 7, 8), 2**63, np.uint64)))
    assert only(processor).reason == "pixels too large for exact sums of 64 bits"
    fits = new(dtype="u8", scan=Scan((3, 4)))
    fits.process(batch(np.full((1, 7, 8), 2**50, np.uint64)))
    assert only(fits).data[0, 0].tolist() == [3, 3.5]


@pytest.mark.parametrize("frames", [np.ones((1, 3, 3), "u2"), np.ones((1, 7, 8), "f4")])
def test_frames_that_were_not_announced_are_refused(frames):
    with pytest.raises(ShapeError, match=r"the acquisition has \(7, 8\)"):
        new().process(batch(frames))


def test_a_snapshot_holds_only_what_was_seen():
    processor = new(scan=Scan((1000, 1000)))
    processor.process(batch(FRAMES[:2], [500, 7]))
    state = processor.snapshot()
    assert unpack(state)["tables"]["places"].ravel().tolist() == [500, 7]
    assert len(state) < 500


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"centre": "find"}, r"com: .*centre is \[cy, cx\] or 'calibration'"),
        ({"centre": "middle"}, r"com\.centre: found 'middle'"),
        ({"mask": {"disk": [3]}}, r"mask leaves its centre out: put cy, cx"),
        ({"mask": {"dsik": [3]}}, r"com\.mask: found 'dsik'"),
        ({"mask": {"disk": [50, 3, 2]}}, r"mask holds no pixel .* rows 48 to 52"),
        ({"mask": {"mask": "/none.npy"}}, r"mask\.mask: .*none\.npy"),
        ({"of": ["con"]}, r"com\.of\[0\]: found 'con'"),
        ({"of": []}, r"com\.of"),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(params, message):
    with pytest.raises(ConfigError, match=message):
        new(params)


def test_weights_are_no_mask(tmp_path):
    np.save(tmp_path / "w.npy", np.full((7, 8), 0.5))
    with pytest.raises(ConfigError, match=r"mask\.mask: .*w\.npy holds weights"):
        new({"mask": {"mask": str(tmp_path / "w.npy")}})


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i2", "f4", "f8"])
@pytest.mark.parametrize("scan", [(3, 4), (2, 3), None])
def test_keeps_the_laws_of_a_processor(dtype, scan):
    check_processor(CentreOfMass, FRAMES.astype(dtype), scan=scan, params=ALL)


def test_keeps_the_laws_with_a_mask():
    params = {"mask": {"annulus": [3, 3, 1, 3]}, "centre": [3, 3]}
    check_processor(CentreOfMass, FRAMES, scan=(3, 4), params=params)

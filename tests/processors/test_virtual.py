import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.errors import ConfigError, ShapeError
from scopeside.scan import Scan
from scopeside.state import unpack
from scopeside.testing import check_processor
from scopeside_processors.stem.layout import layout_of
from scopeside_processors.stem.virtual import Virtual, virtual_sums

PARAMS = {
    "detectors": {
        "bf": {"disk": [3, 3, 2]},
        "adf": {"annulus": [3, 3, 2, 3.5]},
        "corner": {"rectangle": [0, 0, 2, 2]},
    }
}
BF = {"detectors": {"bf": {"disk": [3, 3, 2]}}}
FRAMES = np.random.default_rng(2024).poisson(3, (12, 7, 8)).astype(np.uint16)


def new(params=BF, dtype="u2", shape=(7, 8), **acquisition):
    about = Acquisition("a", shape, np.dtype(dtype), **acquisition)
    return Virtual(about, Virtual.Params.model_validate(params))


def batch(frames, index=None):
    index = np.arange(len(frames)) if index is None else np.asarray(index)
    return Batch(frames, index, 1000 * index)


def only(processor):
    (result,) = processor.results()
    return result


@settings(max_examples=50, deadline=None)
@given(
    arrays.arrays(
        st.sampled_from(["u1", "u2", "u4", "i1", "i2", "i4"]),
        st.tuples(st.integers(1, 3), st.just(7), st.just(9)),
    ),
    arrays.arrays(np.bool_, st.tuples(st.integers(1, 4), st.just(7), st.just(9))),
)
def test_sums_are_exact(tmp_path_factory, frames, masks):
    masks[:, 0, 0] = True
    folder = tmp_path_factory.mktemp("masks")
    params = {"detectors": {}}
    for i, mask in enumerate(masks):
        np.save(folder / f"{i}.npy", mask)
        params["detectors"][f"m{i}"] = {"mask": folder / f"{i}.npy"}
    processor = new(params, frames.dtype, (7, 9))
    processor.process(batch(frames))
    found = np.stack([result.data for result in processor.results()])
    expected = np.einsum("nyx,kyx->kn", frames.astype(np.int64), masks.astype(np.int64))
    np.testing.assert_array_equal(found, expected)


def test_a_frame_is_the_sum_of_its_pixels_in_the_disk():
    frame = np.arange(25, dtype=np.uint8).reshape(1, 5, 5)
    processor = new({"detectors": {"bf": {"disk": [2, 2, 1]}}}, "u1", (5, 5))
    processor.process(batch(frame))
    assert only(processor).data.tolist() == [12 + 11 + 13 + 7 + 17]


def test_saturated_frames_do_not_overflow():
    frames = np.full((2, 256, 256), 65535, np.uint16)
    params = {"detectors": {"all": {"rectangle": [0, 0, 256, 256]}}}
    processor = new(params, shape=(256, 256))
    processor.process(batch(frames))
    assert only(processor).data.tolist() == [65535 * 65536] * 2


def test_a_scan_gives_an_image():
    processor = new(scan=Scan((3, 4)))
    processor.process(batch(FRAMES))
    image = only(processor)
    sums, _ = virtual_sums(FRAMES, processor._layout)
    np.testing.assert_array_equal(image.data, sums.reshape(3, 4))
    assert (image.name, image.kind, image.units) == ("bf", "image", "counts")
    assert (image.data.dtype, image.axes) == (np.int64, ("scan_y", "scan_x"))
    assert (image.first, image.frame, image.used, image.expected) == (0, 11, 12, 12)
    assert image.mask is None
    assert image.complete


def test_what_was_not_seen_is_masked():
    processor = new(scan=Scan((3, 4)))
    processor.process(batch(FRAMES[:2], [9, 4]))
    image = only(processor)
    assert np.argwhere(image.mask).tolist() == [[1, 0], [2, 1]]
    assert not image.data[~image.mask].any()
    assert (image.first, image.frame, image.used) == (4, 9, 2)


def test_frames_without_a_position_are_counted():
    processor = new(scan=Scan((2, 3), flyback=1))
    processor.process(batch(FRAMES[:11]))
    image = only(processor)
    assert (image.used, image.expected, image.frame) == (6, 6, 6)
    assert image.meta == {"outside": 5}
    assert image.mask is None


def test_a_snake_turns_every_second_row():
    processor = new(scan=Scan((2, 3), "snake"))
    processor.process(batch(FRAMES[:6]))
    straight = new(scan=Scan((2, 3)))
    straight.process(batch(FRAMES[:6]))
    expected = only(straight).data
    expected[1] = expected[1, ::-1]
    np.testing.assert_array_equal(only(processor).data, expected)


@pytest.mark.parametrize(("frames", "length"), [(None, 6), (8, 8)])
def test_a_movie_gives_a_series(frames, length):
    processor = new(frames=frames)
    processor.process(batch(FRAMES[:2], [2, 5]))
    series = only(processor)
    assert (series.kind, series.axes, series.expected) == ("series", ("frame",), frames)
    assert series.data.shape == (length,)
    assert np.flatnonzero(series.mask).tolist() == [2, 5]


@pytest.mark.parametrize(("frames", "beyond"), [(None, 2**40), (8, 8), (None, -1)])
def test_a_frame_beyond_the_movie_is_outside(frames, beyond):
    processor = new(frames=frames)
    processor.process(batch(FRAMES[:2], [0, beyond]))
    assert only(processor).meta == {"outside": 1}
    assert only(processor).used == 1


def test_before_the_first_frame_there_is_no_image():
    processor = new(scan=Scan((3, 4)))
    processor.process(batch(FRAMES[:0]))
    image = only(processor)
    assert not image.valid
    assert image.reason == "no frame with a position yet"
    assert (image.used, image.expected, image.meta) == (0, 12, {"outside": 0})


def test_weights_give_float64_and_leave_others_exact(tmp_path):
    np.save(tmp_path / "w.npy", np.full((7, 8), 0.5))
    weighted = {"w": {"mask": tmp_path / "w.npy"}, **BF["detectors"]}
    processor = new({"detectors": weighted}, scan=Scan((3, 5)))
    processor.process(batch(FRAMES))
    image, plain = processor.results()
    assert (image.name, plain.name) == ("w", "bf")
    assert (image.data.dtype, plain.data.dtype) == (np.float64, np.int64)
    expected = FRAMES.sum(axis=(1, 2)) * 0.5
    np.testing.assert_array_equal(image.data.ravel()[:12], expected)
    assert np.isnan(image.data.ravel()[12:]).all()


def test_a_detector_that_is_centred_by_find_follows_the_beam():
    frames = np.zeros((3, 9, 9), np.uint16)
    for frame, (y, x) in zip(frames, [(4, 4), (2, 6), (0, 0)], strict=True):
        frame[y, x] = 10
        frame[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] += 1
    params = {
        "detectors": {"bf": {"disk": [1]}, "fixed": {"disk": [4, 4, 0]}},
        "centre": "find",
    }
    processor = new(params, shape=(9, 9))
    processor.process(batch(frames))
    moving, fixed = processor.results()
    assert moving.data.tolist() == [15, 15, 13]
    assert fixed.data.tolist() == [11, 0, 0]


def test_pixels_too_large_for_int64_make_the_image_invalid():
    processor = new(dtype="u8", scan=Scan((3, 4)))
    processor.process(batch(np.full((1, 7, 8), 2**63, np.uint64)))
    assert only(processor).reason == "pixels too large for exact sums of 64 bits"
    fits = new(dtype="u8", scan=Scan((3, 4)))
    fits.process(batch(np.full((1, 7, 8), 2**50, np.uint64)))
    assert only(fits).data[0, 0] == 13 * 2**50


@pytest.mark.parametrize("frames", [np.ones((1, 3, 3), "u2"), np.ones((1, 7, 8), "f4")])
def test_frames_that_were_not_announced_are_refused(frames):
    with pytest.raises(
        ShapeError, match=r"frames are .*; the acquisition has \(7, 8\)"
    ):
        new().process(batch(frames))


def test_a_snapshot_holds_only_what_was_seen():
    processor = new(PARAMS, scan=Scan((1000, 1000)))
    processor.process(batch(FRAMES[:2], [500, 7]))
    state = processor.snapshot()
    assert unpack(state)["tables"]["places"].ravel().tolist() == [500, 7]
    assert len(state) < 500


def test_a_layout_is_made_once():
    params = Virtual.Params.model_validate(PARAMS)
    one = layout_of(params.detectors, (7, 8), None)
    same = Virtual.Params.model_validate(PARAMS)
    assert layout_of(same.detectors, (7, 8), None) is one


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i2", "f4", "f8"])
@pytest.mark.parametrize("scan", [(3, 4), (2, 3), None])
def test_keeps_the_laws_of_a_processor(dtype, scan):
    check_processor(Virtual, FRAMES.astype(dtype), scan=scan, params=PARAMS)


@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_keeps_the_laws_when_it_follows_the_beam(dtype):
    params = {"detectors": {"bf": {"disk": [2]}}, "centre": "find"}
    check_processor(Virtual, FRAMES.astype(dtype), scan=(3, 4), params=params)


def test_keeps_the_laws_with_weights(tmp_path):
    np.save(tmp_path / "w.npy", np.random.default_rng(5).normal(size=(7, 8)))
    params = {"detectors": {**PARAMS["detectors"], "w": {"mask": tmp_path / "w.npy"}}}
    check_processor(Virtual, FRAMES, scan=(3, 4), params=params)


def test_several_scans_give_an_image_each():
    frames = np.arange(8, dtype=np.uint16)[:, None, None] * np.ones(
        (1, 2, 2), np.uint16
    )
    about = Acquisition("a", (2, 2), np.dtype("u2"), "scan4d", 8, Scan((1, 4), scans=2))
    virtual = Virtual(
        about, Virtual.Params(detectors={"all": {"rectangle": [0, 0, 2, 2]}})
    )
    virtual.process(Batch(frames, np.arange(8), np.zeros(8, np.int64)))
    (result,) = virtual.results()
    assert result.data.tolist() == [[[0, 4, 8, 12]], [[16, 20, 24, 28]]]
    assert result.axes == ("scan", "scan_y", "scan_x")
    assert result.complete


# -- changed live ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        {"bf": {"disk": [2, 4, 3]}, "adf": {"annulus": [3, 3, 1, 2]}},
        {"adf": {"disk": [6, 6, 1]}, "bf": {"rectangle": [0, 0, 2, 2]}},
    ],
)
def test_a_detector_can_be_moved_and_reshaped_live(changed):
    both = {"bf": {"disk": [3, 3, 2]}, "adf": {"annulus": [3, 3, 2, 5]}}
    check_processor(
        Virtual, FRAMES, params={"detectors": both}, changed={"detectors": changed}
    )


def test_frames_that_were_seen_keep_the_sums_of_the_old_detector():
    processor = new()
    processor.process(batch(FRAMES[:5]))
    whole = {"detectors": {"bf": {"rectangle": [0, 0, 7, 8]}}}
    processor.change(Virtual.Params.model_validate(whole))
    processor.process(batch(FRAMES[5:], np.arange(5, 12)))
    plain = new()
    plain.process(batch(FRAMES))
    data = only(processor).data
    assert data[:5].tolist() == only(plain).data[:5].tolist()
    assert data[5:].tolist() == FRAMES[5:].sum((1, 2)).tolist()


def test_weights_cannot_be_had_live(tmp_path):
    np.save(tmp_path / "w.npy", np.full((7, 8), 0.5))
    weighted = {"detectors": {"bf": {"mask": tmp_path / "w.npy"}}}
    processor = new()
    with pytest.raises(ConfigError, match="one with weights and one without can"):
        processor.change(Virtual.Params.model_validate(weighted))
    processor.process(batch(FRAMES))
    assert only(processor).data.dtype == np.int64


def test_a_detector_at_rest_can_begin_to_follow_the_pattern_live():
    found = {"detectors": {"bf": {"disk": [2]}}, "centre": "find"}
    check_processor(Virtual, FRAMES, params=BF, changed=found)


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({"detectors": {"df": {"disk": [3, 3, 2]}}}, "detectors: expected bf; others"),
        (
            {"detectors": {**BF["detectors"], "df": {"disk": [3, 3, 2]}}},
            "only between acquisitions",
        ),
        ({"detectors": {"bf": {"disk": [90, 90, 2]}}}, "holds no pixel"),
    ],
)
def test_what_cannot_be_changed_live_is_refused_and_nothing_changes(params, why):
    processor = new()
    with pytest.raises(ConfigError, match=why):
        processor.change(Virtual.Params.model_validate(params))
    processor.process(batch(FRAMES))
    plain = new()
    plain.process(batch(FRAMES))
    assert only(processor).data.tolist() == only(plain).data.tolist()

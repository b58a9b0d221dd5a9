import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from scopeside.acquisition import Acquisition, Scan
from scopeside.batch import Batch
from scopeside.errors import ConfigError
from scopeside.events import EventBatch, pack_events
from scopeside.testing import check_processor
from scopeside_processors.stem.com import CentreOfMass
from scopeside_processors.stem.sum import Sum
from scopeside_processors.stem.virtual import Virtual

SHAPE = (7, 8)
DEAD = [[3, 3], [0, 7], [6, 2]]
FRAMES = np.random.default_rng(7).poisson(3, (12, *SHAPE)).astype(np.uint16)
REST = {"detectors": {"bf": {"disk": [3, 3, 2]}, "adf": {"annulus": [3, 3, 2, 6]}}}
MOVING = {"detectors": {"bf": {"disk": [2]}, "adf": {"annulus": [2, 4]}}}
DESCAN = [[2.0, 0.4, 0.2], [3.0, -0.3, 0.5]]


def new(cls, params=None, dtype="u2", shape=SHAPE, **acquisition):
    about = Acquisition("a", shape, np.dtype(dtype), **acquisition)
    return cls(about, cls.Params.model_validate(params or {}))


def batch(frames):
    index = np.arange(len(frames))
    return Batch(frames, index, index)


def fed(cls, frames, params=None, **acquisition):
    processor = new(cls, params, frames.dtype, frames.shape[1:], **acquisition)
    processor.process(batch(frames))
    return {result.name: result for result in processor.results()}


def without(frames, dead=DEAD):
    """Return frames with 0 in dead pixels: what they may not add to."""
    frames = frames.copy()
    frames[:, [y for y, _ in dead], [x for _, x in dead]] = 0
    return frames


def with_hot(frames):
    """Return frames whose dead pixels would be seen in any result."""
    frames = without(frames)
    for y, x in DEAD:
        frames[:, y, x] = np.nan if frames.dtype.kind == "f" else 60000
    return frames


def file_of(tmp_path, array, name="image.npy"):
    np.save(tmp_path / name, array)
    return str(tmp_path / name)


CASES = {
    "at rest": (Virtual, REST, {}),
    "centre found": (Virtual, {**MOVING, "centre": "find"}, {}),
    "descan": (Virtual, {**MOVING, "descan": DESCAN}, {"scan": Scan((3, 4))}),
    "com": (CentreOfMass, {"of": ["com", "total", "validity"]}, {}),
    "com, mask": (
        CentreOfMass,
        {"of": ["com", "total"], "mask": {"disk": [3, 3, 3]}},
        {},
    ),
    "sum": (Sum, {"of": ["sum", "mean", "max", "variance"]}, {}),
}


@pytest.mark.parametrize("dtype", ["u2", "i4", "f4"])
@pytest.mark.parametrize("case", CASES)
def test_dead_pixels_count_as_if_nothing_fell_on_them(case, dtype):
    cls, params, about = CASES[case]
    frames = FRAMES.astype(dtype)
    expected = fed(cls, without(frames), params, **about)
    found = fed(cls, with_hot(frames), {**params, "dead": DEAD}, **about)
    for name, result in expected.items():
        np.testing.assert_array_equal(found[name].data, result.data)


@pytest.mark.parametrize("case", CASES)
def test_events_in_dead_pixels_do_not_count(case):
    cls, params, about = CASES[case]
    frames = with_hot(FRAMES)
    place, row, column = np.nonzero(frames)
    words = pack_events(place, frames[place, row, column], row * SHAPE[1] + column)
    events = EventBatch(words, np.arange(12), np.arange(12), SHAPE, np.dtype("<u2"))
    expected = fed(cls, without(FRAMES), params, **about)
    processor = new(cls, {**params, "dead": DEAD}, encoding="events", **about)
    processor.process_events(events)
    for result in processor.results():
        np.testing.assert_array_equal(result.data, expected[result.name].data)


@settings(max_examples=30, deadline=None)
@given(
    arrays.arrays(
        st.sampled_from(["u1", "u2", "i2", "u4"]),
        st.tuples(st.integers(1, 3), st.just(7), st.just(9)),
    ),
    arrays.arrays(np.bool_, (7, 9)),
)
def test_sums_leave_out_any_dead_pixels(frames, dead):
    dead[3, 4] = False
    listed = [list(map(int, pixel)) for pixel in np.argwhere(dead)]
    held = np.hypot(*(np.indices((7, 9)) - np.array([3, 4])[:, None, None])) <= 3
    params = {"detectors": {"bf": {"disk": [3, 4, 3]}}, "dead": listed}
    wide = frames.astype(np.int64)
    np.testing.assert_array_equal(
        fed(Virtual, frames, params)["bf"].data, wide[:, held & ~dead].sum(axis=1)
    )
    params |= {"detectors": {"bf": {"disk": [3]}}, "descan": [[3, 0, 0], [4, 0, 0]]}
    scan = Scan((1, len(frames)))
    np.testing.assert_array_equal(
        fed(Virtual, frames, params, scan=scan)["bf"].data[0],
        wide[:, held & ~dead].sum(axis=1),
    )


def test_large_frames_lose_their_dead_pixels_a_few_at_a_time():
    frames = np.random.default_rng(0).poisson(3, (9, 300, 400)).astype("u2")
    params = {"detectors": {"bf": {"disk": [90]}}, "centre": "find"}
    dead = [[150, 200], [149, 3]]
    expected = fed(Virtual, without(frames, dead), params)["bf"].data
    found = fed(Virtual, frames, {**params, "dead": dead})["bf"].data
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", ["?", "u1", "f8"])
def test_a_file_says_the_same_as_a_list(tmp_path, dtype):
    image = np.zeros(SHAPE, dtype)
    for y, x in DEAD:
        image[y, x] = 1
    said = file_of(tmp_path, image)
    for cls, params, about in CASES.values():
        listed = fed(cls, FRAMES, {**params, "dead": DEAD}, **about)
        for name, result in fed(cls, FRAMES, {**params, "dead": said}, **about).items():
            np.testing.assert_array_equal(result.data, listed[name].data)


def test_a_file_that_was_changed_is_read_anew(tmp_path):
    image = np.zeros(SHAPE, np.bool_)
    said = file_of(tmp_path, image)
    whole = fed(Virtual, FRAMES, {**REST, "dead": said})["bf"].data
    file_of(tmp_path, np.arange(56).reshape(SHAPE) == 27)  # pixel (3, 3)
    found = fed(Virtual, FRAMES, {**REST, "dead": said})["bf"].data
    np.testing.assert_array_equal(found, whole - FRAMES[:, 3, 3])


def test_sum_says_how_many_pixels_are_dead():
    found = fed(Sum, FRAMES, {"dead": DEAD})
    assert {result.meta["dead"] for result in found.values()} == {3}
    assert "dead" not in fed(Sum, FRAMES)["sum"].meta


def test_a_dead_pixel_saturates_nothing():
    frames = with_hot(FRAMES)
    params = {**REST, "saturation": 1000}
    assert not fed(Virtual, frames, params)["bf"].mask.any()
    assert fed(Virtual, frames, {**params, "dead": DEAD})["bf"].mask is None


@pytest.mark.parametrize("cls", [Virtual, CentreOfMass, Sum])
@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 7)), r"dead: .* has shape \(8, 7\); the frames have \(7, 8\)"),
        (np.full(SHAPE, 0.5), "dead: .* holds other values than 0 and 1"),
        (np.full(SHAPE, np.nan), "dead: .* holds NaN"),
        (np.ones(SHAPE), "dead: no pixel left"),
        (np.array([None]), "dead: .* cannot be read as .npy"),
    ],
)
def test_a_useless_file_is_refused(tmp_path, cls, image, message):
    params = REST if cls is Virtual else {}
    with pytest.raises(ConfigError, match=message):
        new(cls, {**params, "dead": file_of(tmp_path, image)})


@pytest.mark.parametrize("cls", [Virtual, CentreOfMass, Sum])
def test_a_pixel_off_the_frame_or_a_missing_file_is_refused(tmp_path, cls):
    params = REST if cls is Virtual else {}
    with pytest.raises(ConfigError, match=r"dead: \[7, 0\] lies off a frame of 7 rows"):
        new(cls, {**params, "dead": [[7, 0]]})
    with pytest.raises(ConfigError, match=r"dead: .*No such file"):
        new(cls, {**params, "dead": str(tmp_path / "nothing.npy")})
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        new(cls, {**params, "dead": [[-1, 0]]})


def test_a_detector_of_dead_pixels_alone_is_refused():
    point = {"disk": [3, 3, 0.5]}
    with pytest.raises(ConfigError, match=r"detectors\.bf: no pixel left"):
        new(Virtual, {"detectors": {"bf": point}, "dead": DEAD})
    with pytest.raises(ConfigError, match="mask: no pixel left"):
        new(CentreOfMass, {"mask": point, "dead": DEAD})


@pytest.mark.parametrize("case", CASES)
def test_keeps_the_laws_of_a_processor_with_dead_pixels(case):
    cls, params, _ = CASES[case]
    params = {**params, "dead": DEAD}
    check_processor(cls, FRAMES.reshape(3, 4, *SHAPE), params=params)
    check_processor(
        cls, with_hot(FRAMES.astype("f4")).reshape(3, 4, *SHAPE), params=params
    )


def test_dead_pixels_and_saturation_can_change_live_for_virtual_alone():
    changed = {**REST, "dead": DEAD, "saturation": 9}
    check_processor(Virtual, FRAMES.reshape(3, 4, *SHAPE), params=REST, changed=changed)
    with pytest.raises(ConfigError, match="dead"):
        new(CentreOfMass).change(CentreOfMass.Params.model_validate({"dead": DEAD}))


# The other corrections of virtual.


def corrected(frames, dark, gain, held):
    return ((frames - dark) * gain)[:, held].sum(axis=1)


BF_HELD = np.hypot(*(np.indices(SHAPE) - 3)) <= 2


def test_dark_and_gain_worked_out_by_hand(tmp_path):
    frame = np.array([[[10, 20], [30, 40]]], np.uint8)
    params = {
        "detectors": {"all": {"rectangle": [0, 0, 2, 2]}},
        "dark": file_of(tmp_path, np.array([[1.0, 2.0], [3.0, 4.0]]), "dark.npy"),
        "gain": file_of(tmp_path, np.array([[1.0, 0.5], [2.0, 0.0]]), "gain.npy"),
    }
    found = fed(Virtual, frame, params)["all"]
    assert found.data.tolist() == [9 + 9 + 54]
    assert (found.data.dtype, found.units) == (np.float64, "counts")


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["u1", "u2", "i4", "f4"]))
def test_sums_are_of_corrected_counts(tmp_path_factory, seed, dtype):
    rng, folder = np.random.default_rng(seed), tmp_path_factory.mktemp("images")
    dark, gain = rng.normal(2, 1, SHAPE), rng.uniform(0.5, 2, SHAPE)
    frames = rng.integers(0, 100, (5, *SHAPE)).astype(dtype)
    said = {
        "dark": file_of(folder, dark, "dark.npy"),
        "gain": file_of(folder, gain, "gain.npy"),
    }
    held = BF_HELD & (np.arange(56).reshape(SHAPE) != 27)
    for keys, expected in (
        (["dark", "gain"], corrected(frames, dark, gain, held)),
        (["dark"], corrected(frames, dark, 1.0, held)),
        (["gain"], corrected(frames, 0.0, gain, held)),
    ):
        params = {**REST, "dead": DEAD, **{key: said[key] for key in keys}}
        found = fed(Virtual, frames, params)["bf"].data
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-9)


def test_a_frame_like_the_dark_image_counts_nothing(tmp_path):
    dark = np.random.default_rng(3).normal(5, 1, SHAPE)
    gain = file_of(tmp_path, np.full(SHAPE, 1.7), "gain.npy")
    params = {**REST, "dark": file_of(tmp_path, dark), "gain": gain}
    assert fed(Virtual, dark[None], params)["adf"].data.tolist() == [0.0]


def test_weights_are_multiplied_by_the_gain(tmp_path):
    weights = np.random.default_rng(4).uniform(size=SHAPE)
    gain = np.random.default_rng(5).uniform(size=SHAPE)
    params = {
        "detectors": {"tuned": {"mask": file_of(tmp_path, weights, "weights.npy")}},
        "gain": file_of(tmp_path, gain, "gain.npy"),
    }
    found = fed(Virtual, FRAMES, params)["tuned"].data
    expected = (FRAMES * weights * gain).sum(axis=(1, 2))
    np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.parametrize("key", ["dark", "gain"])
def test_detectors_that_move_take_no_dark_and_no_gain(tmp_path, key):
    said = file_of(tmp_path, np.ones(SHAPE))
    with pytest.raises(ConfigError, match=r"detectors\.bf follows the beam"):
        new(Virtual, {**MOVING, "centre": "find", key: said})


@pytest.mark.parametrize("key", ["dark", "gain"])
def test_a_useless_dark_or_gain_is_refused(tmp_path, key):
    for image, message in (
        (np.ones((2, 2)), rf"{key}: .* has shape \(2, 2\)"),
        (np.full(SHAPE, np.inf), f"{key}: .* holds NaN or infinity"),
    ):
        with pytest.raises(ConfigError, match=message):
            new(Virtual, {**REST, key: file_of(tmp_path, image)})
    with pytest.raises(ConfigError, match=f"{key}: .*No such file"):
        new(Virtual, {**REST, key: str(tmp_path / "nothing.npy")})


def test_gain_cannot_come_in_the_middle_of_an_acquisition(tmp_path):
    processor = new(Virtual, REST)
    gain = file_of(tmp_path, np.ones(SHAPE))
    with pytest.raises(ConfigError, match="between acquisitions"):
        processor.change(Virtual.Params.model_validate({**REST, "gain": gain}))


def test_keeps_the_laws_with_dark_gain_and_saturation(tmp_path):
    rng = np.random.default_rng(6)
    params = {
        **REST,
        "dark": file_of(tmp_path, rng.normal(0.1, 0.01, SHAPE), "dark.npy"),
        "gain": file_of(tmp_path, rng.uniform(0.9, 1.1, SHAPE), "gain.npy"),
    }
    check_processor(Virtual, FRAMES.reshape(3, 4, *SHAPE), params=params)
    for about in (REST, {**MOVING, "centre": "find"}):
        params = {**about, "saturation": 9, "dead": DEAD}
        check_processor(Virtual, FRAMES.reshape(3, 4, *SHAPE), params=params)
        check_processor(Virtual, FRAMES.astype("f4"), params=params)


def test_saturated_frames_are_invalid_at_exactly_their_positions():
    frames = FRAMES % 8
    frames[[2, 7], [0, 6], [0, 7]] = [100, 101]  # outside every detector as well
    params = {"detectors": {"bf": {"disk": [3, 3, 2]}}, "saturation": 100}
    found = fed(Virtual, frames, params, scan=Scan((3, 4)))["bf"]
    assert np.flatnonzero(~found.mask).tolist() == [2, 7]
    assert found.meta["invalid"] == {"saturated": 2}
    floats = fed(Virtual, frames.astype("f4"), params, scan=Scan((3, 4)))["bf"]
    assert np.flatnonzero(np.isnan(floats.data)).tolist() == [2, 7]
    assert fed(Virtual, frames, {**params, "saturation": 101.5})["bf"].mask is None


def test_saturated_and_lost_frames_are_both_counted():
    frames = FRAMES % 8
    frames[0, 0, 0] = 100
    params = {**MOVING, "descan": [[3, 4, 0], [3, 0, 0]], "saturation": 100}
    found = fed(Virtual, frames, params, scan=Scan((3, 4)))["bf"]
    assert found.meta["invalid"] == {
        "saturated": 1,
        "the beam leaves the detector": 8,  # it is in row 3, 7 and 11 of 7
    }
    assert np.flatnonzero(~found.mask).tolist() == [0, *range(4, 12)]

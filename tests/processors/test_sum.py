import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.errors import ShapeError
from scopeside.scan import Scan
from scopeside.testing import check_processor
from scopeside_processors.stem.sum import Sum

FRAMES = np.random.default_rng(2024).poisson(3, (12, 5, 7)).astype(np.uint16)


def new(dtype="u2", shape=(5, 7), params=None, **acquisition):
    about = Acquisition("a", shape, np.dtype(dtype), **acquisition)
    return Sum(about, Sum.Params.model_validate(params or {}))


def batch(frames, first=0):
    index = np.arange(first, first + len(frames))
    return Batch(frames, index, 1000 * index)


def by_name(processor):
    return {result.name: result for result in processor.results()}


@settings(max_examples=40, deadline=None)
@given(
    arrays.arrays(
        st.sampled_from(["u1", "u2", "u4", "i1", "i2", "i4"]),
        st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 40)),
    )
)
def test_patterns_are_exact(frames):
    processor = new(frames.dtype, frames.shape[1:])
    processor.process(batch(frames))
    found = by_name(processor)
    total = frames.astype(np.int64).sum(axis=0)
    np.testing.assert_array_equal(found["sum"].data, total)
    np.testing.assert_array_equal(found["mean"].data, total / len(frames))
    np.testing.assert_array_equal(found["max"].data, frames.max(axis=0))


def test_patterns_say_what_they_are():
    processor = new(frames=20)
    processor.process(batch(FRAMES, first=3))
    found = by_name(processor)
    assert [found[name].data.dtype for name in ("sum", "mean", "max")] == [
        "i8",
        "f8",
        "u2",
    ]
    summed = found["sum"]
    assert (summed.kind, summed.axes, summed.units) == ("image", ("y", "x"), "counts")
    assert (summed.first, summed.frame, summed.used) == (3, 14, 12)
    assert summed.expected == 20


def test_a_scan_says_how_many_frames_there_will_be():
    assert by_name(new(scan=Scan((2, 3), flyback=1)))["sum"].expected == 8


def test_saturated_frames_do_not_overflow():
    processor = new()
    for first in range(3):
        processor.process(batch(np.full((1000, 5, 7), 65535, np.uint16), 1000 * first))
    assert np.all(by_name(processor)["sum"].data == 65535 * 3000)


def test_before_the_first_frame_there_is_no_pattern():
    processor = new()
    processor.process(batch(FRAMES[:0]))
    found = by_name(processor)
    assert list(found) == ["sum", "mean", "max"]
    assert {result.reason for result in found.values()} == {"no frame yet"}
    assert not any(result.valid for result in found.values())


def test_only_what_is_wanted_is_given():
    processor = new(params={"of": ["max"]})
    processor.process(batch(FRAMES))
    assert list(by_name(processor)) == ["max"]


def test_negative_pixels_have_a_maximum():
    processor = new("i4", (1, 1))
    processor.process(batch(np.full((2, 1, 1), -7, np.int32)))
    assert by_name(processor)["max"].data == -7


def test_a_sum_beyond_int64_is_invalid():
    processor = new("u8")
    processor.process(batch(np.full((2, 5, 7), 2**63, np.uint64)))
    reasons = {result.reason for result in processor.results()}
    assert reasons == {"pixels too large for exact sums of 64 bits"}


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_what_is_not_finite_stays_in_its_pixel(value):
    frames = np.ones((4, 5, 7), np.float32)
    frames[1, 2, 3] = value
    whole, part = new("f4"), new("f4")
    whole.process(batch(frames[:2]))
    part.process(batch(frames[2:], 2))
    whole.merge(part)
    expected = np.full((5, 7), 4.0)
    expected[2, 3] = value
    np.testing.assert_array_equal(by_name(whole)["sum"].data, expected)
    np.testing.assert_array_equal(by_name(whole)["max"].data[2, 3], value)


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(12)), st.integers(0, 12), st.integers(0, 2**32 - 1))
def test_the_order_of_float32_frames_leaves_no_trace(order, cut, seed):
    rng = np.random.default_rng(seed)
    frames = rng.normal(size=(12, 5, 7)) * 10.0 ** rng.integers(-4, 5, (12, 5, 7))
    frames = frames.astype(np.float32)
    straight, one, other = new("f4"), new("f4"), new("f4")
    straight.process(batch(frames))
    one.process(batch(frames[list(order[:cut])]))
    other.process(batch(frames[list(order[cut:])]))
    one.merge(other)
    expected, found = by_name(straight)["sum"].data, by_name(one)["sum"].data
    assert expected.tobytes() == found.tobytes()


def test_frames_that_were_not_announced_are_refused():
    with pytest.raises(
        ShapeError, match=r"frames are \(5, 7\) float32; the acquisition"
    ):
        new().process(batch(FRAMES.astype(np.float32)))


def test_the_snapshot_of_nothing_is_small():
    assert len(new(shape=(1000, 1000)).snapshot()) < 100


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i8", "f4", "f8"])
def test_keeps_the_laws_of_a_processor(dtype):
    check_processor(Sum, FRAMES.astype(dtype).reshape(3, 4, 5, 7))
    check_processor(Sum, FRAMES.astype(dtype))


def test_keeps_the_laws_where_floats_round():
    frames = np.random.default_rng(1).normal(size=(12, 5, 7))
    check_processor(Sum, frames)
    check_processor(Sum, frames.astype(np.float32))

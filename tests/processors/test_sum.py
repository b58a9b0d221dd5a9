from fractions import Fraction

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
from scopeside_processors.stem.variance import variance_of_floats

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


def exact_variance(values):
    values = [Fraction(value) for value in values]
    mean = sum(values) / len(values)
    return float(sum((value - mean) ** 2 for value in values) / len(values))


def variance_of(frames):
    processor = new(frames.dtype, frames.shape[1:], {"of": ["variance"]})
    processor.process(batch(frames))
    return by_name(processor)["variance"]


def test_the_variance_worked_out_by_hand():
    found = variance_of(np.array([1, 3, 4, 4], np.uint16).reshape(4, 1, 1))
    assert found.data.tolist() == [[1.5]]
    assert (found.data.dtype, found.units) == (np.float64, "counts²")
    assert variance_of(FRAMES[:1]).data.tolist() == np.zeros((5, 7)).tolist()


@settings(max_examples=40, deadline=None)
@given(
    arrays.arrays(
        st.sampled_from(["u1", "u2", "i1", "i2"]),
        st.tuples(st.integers(1, 9), st.just(1), st.integers(1, 4)),
    )
)
def test_the_variance_is_right_to_the_last_digits(frames):
    expected = [exact_variance(frames[:, 0, x].tolist()) for x in range(len(frames.T))]
    found = variance_of(frames).data[0]
    np.testing.assert_allclose(found, expected, rtol=1e-15, atol=0)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 9), st.integers(0, 2**32 - 1), st.sampled_from([1.0, 1e4, 1e7]))
def test_a_large_mean_takes_no_digits_off_the_variance_of_float32(n, seed, mean):
    pixels = np.random.default_rng(seed).normal(mean, 1.5, (n, 1, 3)).astype("f4")
    expected = [exact_variance(pixels[:, 0, x].tolist()) for x in range(3)]
    found = variance_of(pixels).data[0]
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-30)


def test_the_variance_of_float64_is_good_to_its_squares():
    pixels = np.random.default_rng(0).normal(1000, 1, (50, 5, 7))
    np.testing.assert_allclose(variance_of(pixels).data, pixels.var(axis=0), rtol=1e-9)


def test_the_variance_of_equal_values_is_zero():
    for dtype, value in (("u2", 65535), ("i2", -32768), ("f4", 0.1), ("u4", 1000003)):
        assert not variance_of(np.full((7, 2, 2), value, dtype)).data.any()


def test_saturated_frames_have_a_variance():
    frames = np.zeros((4000, 1, 1), np.uint16)
    frames[::2] = 65535
    assert variance_of(frames).data.item() == (65535 / 2) ** 2


def test_squares_that_may_not_fit_make_the_variance_alone_invalid():
    for value in (2**20, -(2**20) - 1):
        processor = new("i4", params={"of": ["sum", "variance"]})
        processor.process(batch(np.full((2, 5, 7), value, np.int32)))
        found = by_name(processor)
        assert found["sum"].valid
        assert found["variance"].reason.startswith("pixels too large for exact sums of")
    assert variance_of(np.full((2, 5, 7), 2**20 - 1, np.int32)).valid


@pytest.mark.parametrize("value", [np.inf, np.nan, -np.inf])
def test_what_is_not_finite_has_no_variance(value):
    frames = np.arange(8, dtype=np.float32).reshape(4, 1, 2)
    frames[1, 0, 1] = value
    found = variance_of(frames).data
    assert found[0, 0] == 5.0
    assert np.isnan(found[0, 1])


def test_rounding_gives_no_variance_below_zero():
    total, squares = np.array([1e8]), np.array([1e16 * (1 - 2**-52)])
    nothing = np.zeros(1)
    assert variance_of_floats((total, nothing), (squares, nothing), 1).tolist() == [0]


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(12)), st.integers(0, 12), st.integers(0, 2**32 - 1))
def test_the_order_of_float32_frames_leaves_no_trace_in_the_variance(order, cut, seed):
    frames = np.random.default_rng(seed).gamma(2, 10, (12, 5, 7)).astype(np.float32)
    params = {"of": ["variance"]}
    straight, one, other = (new("f4", params=params) for _ in range(3))
    straight.process(batch(frames))
    one.process(batch(frames[list(order[:cut])]))
    other.process(batch(frames[list(order[cut:])]))
    one.merge(other)
    expected, found = by_name(straight)["variance"].data, by_name(one)["variance"].data
    assert expected.tobytes() == found.tobytes()


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i8", "f2", "f4"])
def test_keeps_the_laws_with_a_variance(dtype):
    of = {"of": ["sum", "variance"]}
    check_processor(Sum, FRAMES.astype(dtype), params=of)


def test_a_card_does_not_take_the_variance():
    about = Acquisition("a", (64, 64), np.dtype("u2"))
    taken = [
        Sum(about, Sum.Params.model_validate({"of": of}), "gpu").takes_card()
        for of in (["sum", "max"], ["variance"])
    ]
    assert taken == [True, False]

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scopeside_processors.kernels import sum as sums
from scopeside_processors.kernels import virtual as kernels

INTEGERS = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"]


def whole_range(seed, shape, dtype):
    limits = np.iinfo(dtype)
    rng = np.random.default_rng(seed)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(INTEGERS),
    st.tuples(st.integers(0, 4), st.integers(1, 9), st.integers(1, 37)),
    st.integers(0, 5),
    st.integers(0, 2**32 - 1),
)
def test_integers_are_summed_exactly(dtype, shape, regions, seed):
    frames = whole_range(seed, shape, dtype)
    masks = np.random.default_rng(seed).random((regions, *shape[1:])) < 0.5
    found = kernels.sum_runs(frames, kernels.runs_of(list(masks)))
    expected = np.einsum("nyx,kyx->nk", frames.astype(np.int64), masks.astype(np.int64))
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(INTEGERS), st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_runs_that_move_see_what_a_moved_mask_sees(dtype, height, seed):
    rng = np.random.default_rng(seed)
    frames = whole_range(seed, (3, height, 11), dtype)
    origin = np.stack([rng.integers(0, height, 3), rng.integers(0, 11, 3)], axis=1)
    mask = rng.random((2 * height - 1, 21)) < 0.5
    runs = kernels.runs_of([mask], (height - 1, 10))
    found = kernels.sum_runs(frames, runs, origin)[:, 0]
    moved = [
        mask[height - 1 - y : 2 * height - 1 - y, 10 - x : 21 - x] for y, x in origin
    ]
    np.testing.assert_array_equal(
        found, (frames.astype(np.int64) * moved).sum(axis=(1, 2))
    )


@pytest.mark.parametrize("value", [0, 65535])
def test_a_row_longer_than_a_run_may_be_does_not_overflow(value):
    frames = np.full((1, 2, 65536 + 3), value, np.uint16)
    everything = kernels.runs_of([np.ones(frames.shape[1:], bool)])
    assert len(everything.runs) == 4
    assert kernels.sum_runs(frames, everything)[0, 0] == value * frames.size


def test_the_lowest_of_signed_pixels_do_not_overflow():
    frames = np.full((1, 1, 65536), -32768, np.int16)
    everything = kernels.runs_of([np.ones((1, 65536), bool)])
    assert kernels.sum_runs(frames, everything)[0, 0] == -(2**31)


def test_pixels_in_no_region_are_not_read():
    frames = np.array([[[np.nan, 1, 2], [np.inf, 4, 8]]], np.float32)
    masks = [np.array([[0, 1, 0], [0, 1, 0]], bool), np.array([[0, 1, 1]] * 2, bool)]
    found = kernels.sum_runs(frames, kernels.runs_of(masks))
    np.testing.assert_array_equal(found, [[5.0, 15.0]])


@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_any_memory_layout_gives_the_same(dtype):
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 60000, (4, 5, 7)).astype(dtype)
    runs = kernels.runs_of([rng.random((5, 7)) < 0.5])
    expected = kernels.sum_runs(frames, runs)
    locked = frames.copy()
    locked.flags.writeable = False
    unaligned = np.frombuffer(b"x" + frames.tobytes(), dtype, offset=1).reshape(4, 5, 7)
    swapped = frames.astype(frames.dtype.newbyteorder(">"))
    for other in (locked, unaligned, swapped, np.asfortranarray(frames)):
        np.testing.assert_array_equal(kernels.sum_runs(other, runs), expected)


def test_floats_of_16_bits_are_summed():
    kernels.warm(np.dtype("f2"))
    frames = np.array([[[0.5, 1], [2, 4]]], np.float16)
    found = kernels.sum_runs(frames, kernels.runs_of([np.eye(2, dtype=bool)]))
    assert found.tolist() == [[4.5]]


def test_nothing_is_compiled_once_it_is_warm():
    kernels.warm(np.dtype("u2"))
    compiled = len(kernels._UINT32.signatures)
    frames = np.ones((2, 4, 4), np.uint16)
    runs = kernels.runs_of([np.ones((4, 4), bool)])
    kernels.sum_runs(frames, runs)
    frames.flags.writeable = False
    kernels.sum_runs(frames[1:], runs)
    unaligned = np.frombuffer(bytes(33), "u2", offset=1).reshape(1, 4, 4)
    kernels.sum_runs(unaligned, runs)
    assert len(kernels._UINT32.signatures) == compiled


def test_weights_count_as_often_as_they_say():
    frames = np.array([[[1, 2], [3, 4]], [[10, 20], [30, 40]]], np.uint8)
    weights = kernels.weights_of([np.array([[0.5, 0], [-1, 0]]), np.ones((2, 2))])
    np.testing.assert_array_equal(
        kernels.sum_weighted(frames, weights), [[-2.5, 10], [-25, 100]]
    )


@pytest.mark.parametrize("dtype", ["u2", "i4", "f4"])
def test_the_middle_is_the_pixel_with_the_centre_of_mass(dtype):
    frames = np.zeros((4, 4, 6), dtype)
    frames[0, 3, 5] = 7
    frames[1, [1, 2], [0, 1]] = 2
    frames[2, 1, 1:4] = [1, 1, 8]
    np.testing.assert_array_equal(
        kernels.middle_of_counts(frames), [[3, 5], [2, 1], [1, 3], [1, 2]]
    )


def test_a_frame_without_a_centre_is_centred_in_its_middle():
    frames = np.zeros((3, 5, 5), np.float32)
    frames[0, 0, 0] = np.nan
    frames[1, 0, :2] = [-9, 10]
    frames[2, 1, 1] = -3
    np.testing.assert_array_equal(kernels.middle_of_counts(frames), [[2, 2]] * 3)


def test_a_saturated_frame_of_32_bits_has_its_middle():
    frames = np.full((1, 512, 512), 2**32 - 1, np.uint32)
    np.testing.assert_array_equal(kernels.middle_of_counts(frames), [[256, 256]])


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(INTEGERS),
    st.tuples(st.integers(0, 5), st.integers(1, 3), st.integers(1, 2000)),
    st.integers(0, 2**32 - 1),
)
def test_patterns_of_integers_are_exact(dtype, shape, seed):
    frames = whole_range(seed, shape, dtype)
    total = np.zeros(shape[1:], np.int64)
    peak = np.full(shape[1:], np.iinfo(dtype).min, dtype)
    sums.add_integers(frames, total, peak)
    np.testing.assert_array_equal(total, frames.astype(np.int64).sum(axis=0))
    lowest = np.iinfo(dtype).min
    np.testing.assert_array_equal(peak, frames.max(axis=0, initial=lowest))


def test_floats_are_summed_as_if_without_rounding():
    frames = np.array([1e16, 1.0, -1e16, 1.0], np.float64).reshape(4, 1, 1)
    total, rest, peak = np.zeros((1, 1)), np.zeros((1, 1)), np.full((1, 1), -np.inf)
    sums.add_floats(frames, total, rest, peak)
    assert total + rest == 2.0
    assert peak == 1e16


def test_nan_stays_in_the_maximum():
    frames = np.array([1, np.nan, 3], np.float32).reshape(3, 1, 1)
    peak = np.full((1, 1), -np.inf, np.float32)
    sums.add_floats(frames, np.zeros((1, 1)), np.zeros((1, 1)), peak)
    assert np.isnan(peak)

"""Sums of frames that are still packed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.test_packed import batch_of

from scopeside.bitshuffle import pack_frame
from scopeside.errors import ShapeError
from scopeside_processors.kernels.planes import planes_of_labels, sum_planes, takes

SHAPES = [(64, 64), (96, 96), (33, 128), (64, 100), (192, 192), (16, 68)]


def expected(frames, label, labels):
    counts = frames.astype(np.int64)
    flat = counts.reshape(len(frames), -1)
    y, x = np.mgrid[: frames.shape[1], : frames.shape[2]]
    sums = np.stack([flat[:, label == k].sum(axis=1) for k in range(labels)], axis=1)
    moments = [counts.sum((1, 2)), (counts * y).sum((1, 2)), (counts * x).sum((1, 2))]
    return sums, np.stack(moments, axis=1)


@settings(deadline=None, max_examples=40)
@given(
    shape=st.sampled_from(SHAPES),
    dtype=st.sampled_from(["u1", "u2", "u4"]),
    labels=st.integers(1, 20),
    largest=st.sampled_from([1, 12, 255, 2**32 - 1]),
    seed=st.integers(0, 999),
)
def test_sums_and_moments_are_exact(shape, dtype, labels, largest, seed):
    rng = np.random.default_rng(seed)
    most = min(largest, np.iinfo(dtype).max)
    frames = rng.integers(0, most, (3, *shape), endpoint=True).astype(dtype)
    label = rng.integers(-1, labels, shape[0] * shape[1])
    planes = planes_of_labels(label, labels, shape, frames.itemsize)
    batch = batch_of([pack_frame(f) for f in frames], shape, dtype)
    sums, moments, other = sum_planes(batch, planes)
    assert takes(shape, frames.dtype)
    assert not other.any()
    true_sums, true_moments = expected(frames, label, labels)
    np.testing.assert_array_equal(sums, true_sums)
    np.testing.assert_array_equal(moments, true_moments)


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4"])
def test_saturated_frames_are_summed_exactly(dtype):
    frames = np.full((2, 128, 128), np.iinfo(dtype).max, dtype)
    label = np.zeros(128 * 128, np.int64)
    planes = planes_of_labels(label, 1, (128, 128), frames.itemsize)
    batch = batch_of([pack_frame(f) for f in frames], (128, 128), dtype)
    found = sum_planes(batch, planes)
    np.testing.assert_array_equal(found[0], expected(frames, label, 1)[0])
    np.testing.assert_array_equal(found[1], expected(frames, label, 1)[1])


def test_frames_packed_otherwise_are_named():
    frames = np.ones((3, 64, 64), np.uint16)
    blobs = [pack_frame(frames[0]), pack_frame(frames[1], 512), frames[2].tobytes()]
    label = np.zeros(64 * 64, np.int64)
    planes = planes_of_labels(label, 1, (64, 64), 2)
    _, _, other = sum_planes(batch_of(blobs, (64, 64), "u2", plain=[2]), planes)
    assert other.tolist() == [False, True, True]


def test_a_broken_frame_is_named():
    frames = np.ones((2, 64, 64), np.uint16)
    blobs = [pack_frame(f) for f in frames]
    planes = planes_of_labels(np.zeros(4096, np.int64), 1, (64, 64), 2)
    with pytest.raises(ShapeError, match="frame 1 is no packed frame"):
        sum_planes(batch_of([blobs[0], blobs[1][:-9]], (64, 64), "u2"), planes)


def test_frames_that_are_no_whole_words_are_not_taken():
    assert not takes((63, 63), np.dtype("u2"))
    assert not takes((128, 32), np.dtype("u2"))
    assert not takes((64, 64), np.dtype("i2"))

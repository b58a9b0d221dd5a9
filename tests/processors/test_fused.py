"""All sums and moments from one read: exact, by either path."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scopeside.batch import Batch
from scopeside_processors.kernels import fused, vectors
from scopeside_processors.kernels.com import region_of
from scopeside_processors.kernels.virtual import runs_of
from scopeside_processors.stem import one_pass

PATHS = [
    pytest.param(
        "vectors",
        marks=pytest.mark.skipif(
            not vectors.available(), reason="this processor has no AVX-512"
        ),
    ),
    "plain",
]
SHAPES = [(1, 64), (5, 67), (64, 64), (33, 129), (96, 96), (300, 40), (20, 513)]


def expected(frames, masks, held):
    counts = frames.astype(object) if frames.dtype.itemsize == 4 else frames
    counts = counts.astype(np.int64)
    y, x = np.mgrid[: frames.shape[1], : frames.shape[2]]
    sums = np.stack([(counts * m).sum((1, 2)) for m in masks], axis=1)
    inside = counts * held
    moments = np.stack([(inside * y).sum((1, 2)), (inside * x).sum((1, 2))], axis=1)
    return sums, inside.sum((1, 2)), moments


def unaligned(frames):
    """The same frames at an odd multiple of a pixel's size in memory."""
    room = np.empty(frames.nbytes + 128, np.uint8)
    at = 64 - room.ctypes.data % 64 + frames.itemsize
    placed = room[at : at + frames.nbytes].view(frames.dtype).reshape(frames.shape)
    placed[...] = frames
    return placed


@pytest.mark.parametrize("path", PATHS)
@settings(deadline=None, max_examples=40)
@given(
    shape=st.sampled_from(SHAPES),
    dtype=st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4"]),
    n=st.integers(1, 9),
    labels=st.integers(1, 18),
    full=st.booleans(),
    seed=st.integers(0, 9999),
)
def test_sums_and_moments_are_those_of_whole_numbers(
    *, path, shape, dtype, n, labels, full, seed
):
    rng = np.random.default_rng(seed)
    info = np.iinfo(dtype)
    low, high = (info.min, info.max) if full else (0, 9)
    frames = rng.integers(low, high, (n, *shape), dtype, endpoint=True)
    label = rng.integers(-1, labels, shape)
    masks = [(label == k) | (label == 0) for k in range(labels)]
    held = rng.random(shape) < 0.9
    if path == "vectors" and fused.path_of(np.dtype(dtype), shape) != "vectors":
        return
    found = fused.fused_sums(frames, runs_of(masks), [region_of(held)], path)
    sums, total, moments = expected(frames, masks, held)
    np.testing.assert_array_equal(found.counts, sums)
    np.testing.assert_array_equal(found.total[:, 0], total)
    np.testing.assert_array_equal(found.moment[:, 0], moments.astype(np.float64))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4"])
def test_saturated_frames_are_summed_exactly(path, dtype):
    frames = np.full((5, 512, 512), np.iinfo(dtype).max, dtype)
    whole = np.ones((512, 512), np.bool_)
    found = fused.fused_sums(frames, runs_of([whole]), [region_of(whole)], path)
    each = int(np.iinfo(dtype).max)
    assert (found.counts == each * 512 * 512).all()
    assert (found.moment == float(each * 512 * 512 * 511 // 2)).all()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4"])
def test_it_does_not_matter_where_frames_lie(path, dtype):
    frames = np.random.default_rng(0).integers(0, 255, (6, 40, 96)).astype(dtype)
    held = np.ones((40, 96), np.bool_)
    detectors, region = runs_of([held]), [region_of(held)]
    here = fused.fused_sums(frames, detectors, region, path)
    there = fused.fused_sums(unaligned(frames), detectors, region, path)
    np.testing.assert_array_equal(here.counts, there.counts)
    np.testing.assert_array_equal(here.moment, there.moment)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i8", "u8"])
def test_other_pixels_take_the_plain_path(dtype):
    assert fused.path_of(np.dtype(dtype), (64, 64)) == "plain"
    frames = np.arange(2 * 64 * 64).reshape(2, 64, 64).astype(dtype)
    held = np.ones((64, 64), np.bool_)
    found = fused.fused_sums(frames, runs_of([held]), [region_of(held)])
    flat = frames.astype(np.float64).sum((1, 2))
    np.testing.assert_allclose(found.total[:, 0].astype(np.float64), flat, rtol=1e-12)


def test_moments_are_left_for_those_who_come_after():
    frames = np.random.default_rng(1).poisson(2.0, (4, 64, 64)).astype(np.uint16)
    index = np.arange(4)
    asked, alone = Batch(frames, index, index), Batch(frames, index, index)
    ring = np.hypot(*(np.mgrid[:64, :64] - 31.5)) < 20
    one_pass.sums(asked, runs_of([ring]))
    for one, other in zip(
        one_pass.moments(asked), one_pass.moments(alone), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert ("moments" in asked.shared) == (
        fused.path_of(frames.dtype, (64, 64)) == "vectors"
    )


def test_a_filter_leaves_nothing_behind():
    frames = np.ones((2, 64, 64), np.uint16)
    batch = Batch(frames, np.arange(2), np.arange(2))
    one_pass.sums(batch, runs_of([np.ones((64, 64), np.bool_)]))
    assert batch.with_pixels(2 * frames).shared == {}


def test_no_frames_and_no_detectors_are_survived():
    frames = np.empty((0, 64, 64), np.uint16)
    held = np.ones((64, 64), np.bool_)
    found = fused.fused_sums(frames, runs_of([]), [region_of(held)])
    assert found.counts.shape == (0, 0)
    assert found.moment.shape == (0, 1, 2)

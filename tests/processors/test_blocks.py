"""Sums in blocks of 64 bytes are those of the pixels, whatever the frame's size."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scopeside_processors.kernels.blocks import blocks_of, sum_blocks, takes
from scopeside_processors.kernels.simd import TAKEN
from scopeside_processors.kernels.virtual import as_stored

DTYPES = sorted(TAKEN)


def extremes(dtype, shape, seed):
    """Pixels that are as large, or as small, as they can be."""
    info = np.iinfo(dtype)
    rng = np.random.default_rng(seed)
    return rng.choice(np.array([info.min, info.max, 0, 1], dtype), shape)


@settings(max_examples=60)
@given(
    st.sampled_from(DTYPES),
    st.tuples(st.integers(1, 3), st.integers(4, 20), st.integers(16, 40)),
    st.integers(1, 5),
    st.integers(0, 1000),
)
def test_sums_are_exact(dtype, shape, labels, seed):
    frames = as_stored(extremes(dtype, shape, seed))
    pixels = shape[1] * shape[2]
    label = np.random.default_rng(seed).integers(-1, labels, pixels)
    found = sum_blocks(frames, blocks_of(label, frames.itemsize), labels)
    flat = frames.reshape(shape[0], pixels).astype(np.int64)
    expected = [[row[label == k].sum() for k in range(labels)] for row in flat]
    assert found.tolist() == np.array(expected, np.int64).tolist()


@pytest.mark.parametrize("dtype", DTYPES)
def test_lanes_do_not_overflow_in_a_large_frame(dtype):
    largest = np.iinfo(dtype).max
    frames = as_stored(np.full((1, 512, 600), largest, dtype))
    label = np.zeros(512 * 600, np.int64)
    found = sum_blocks(frames, blocks_of(label, frames.itemsize), 1)
    assert found.tolist() == [[largest * 512 * 600]]


@pytest.mark.parametrize(
    ("dtype", "pixels", "taken"),
    [("u1", 64, True), ("u1", 63, False), ("<u2", 32, True), ("f4", 99, False)],
)
def test_what_is_smaller_than_a_block_or_no_short_integer_is_left_to_others(
    dtype, pixels, taken
):
    assert takes(np.dtype(dtype), pixels) is taken


def test_pixels_without_a_label_are_in_no_block():
    label = np.full(640, -1)
    label[130] = 0
    blocks = blocks_of(label, 1)
    assert blocks.blocks.T.tolist() == [[128, 0, 0]]
    assert np.flatnonzero(blocks.masks[0]).tolist() == [2]


def test_kernels_are_found_again_by_another_process(tmp_path):
    """What a kernel refers to must have the same name in each process."""
    code = (
        "import numpy as np\n"
        "from scopeside_processors.kernels import blocks, com, virtual\n"
        "for code in ('u1', 'u2'):\n"
        "    virtual.warm(np.dtype(code))\n"
        "    com.warm(np.dtype(code))\n"
        "stats = [blocks._sum.stats, *(k.stats for k in com._ADD_INTEGERS.values())]\n"
        "print(sum(sum(one.cache_misses.values()) for one in stats))\n"
    )
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    missed = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(2)
    ]
    assert int(missed[0]) > 0
    assert int(missed[1]) == 0

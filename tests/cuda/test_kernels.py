"""The CUDA sources, compiled for the CPU, give what the numba kernels give."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scopeside.batch import Batch
from scopeside.device.lanes import Lanes, Ring
from scopeside.errors import DeviceFailedError
from scopeside_processors.kernels import com, cuda, virtual
from scopeside_processors.kernels import sum as sums
from scopeside_processors.kernels.cuda import labels, patterns

DTYPES = ("u1", "<u2", "<u4", "<f4")
SHAPES = ((1, 1), (3, 5), (17, 19), (32, 32), (5, 300), (129, 2))


def counts_of(dtype, shape, n, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(5, 1, (n, *shape)).astype(dtype)
    top = np.iinfo(dtype).max
    frames = rng.integers(0, top, (n, *shape), dtype, endpoint=True)
    frames[0] = top
    return frames


def put(card, frames):
    n = len(frames)
    lanes = Lanes(card)
    batch = Batch(frames, np.arange(n), np.zeros(n, np.int64))
    return lanes, Ring(lanes, 1, 64).frames(batch)


def runs_on_card(lanes, runs, shape, dtype):
    label = labels.labels_of_runs(runs, shape)
    table = labels.table_of(label, len(runs.member), np.dtype(dtype).itemsize)
    return labels.on_card(lanes, table)


def region_on_card(lanes, region, shape, dtype):
    label = labels.labels_of_region(region, shape)
    table = labels.table_of(label, 1, np.dtype(dtype).itemsize)
    return labels.on_card(lanes, table)


def moments_on_card(card, frames, region):
    lanes, on_card = put(card, frames)
    table = region_on_card(lanes, region, frames.shape[1:], frames.dtype)
    found = labels.launch(on_card, table, moments=True)
    lanes.settle()
    sums = found()[:, 0]
    if frames.dtype.kind == "f":
        return sums[:, 0], sums[:, 1:]
    return sums[:, 0], sums[:, 1:3] * 2.0**32 + sums[:, 3:]


@pytest.mark.parametrize("n", [1, 3, 21])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_label_sums_are_those_of_the_cpu(card, dtype, shape, n):
    frames = counts_of(dtype, shape, n)
    rng = np.random.default_rng(1)
    regions = [rng.random(shape) < share for share in (0.0, 0.1, 0.5, 1.1)]
    runs = virtual.runs_of(regions)
    lanes, on_card = put(card, frames)
    table = runs_on_card(lanes, runs, shape, dtype)
    found = labels.launch(on_card, table, moments=False)
    lanes.settle()
    counts = found() @ runs.member.astype(found().dtype)
    expected = virtual.sum_runs(frames, runs)
    if frames.dtype.kind == "f":
        np.testing.assert_allclose(counts, expected, rtol=1e-12)
    else:
        np.testing.assert_array_equal(counts, expected)


@pytest.mark.parametrize("n", [1, 17])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_moments_are_those_of_the_cpu(card, dtype, shape, n):
    frames = counts_of(dtype, shape, n)
    held = np.random.default_rng(2).random(shape) < 0.7
    held[0, 0] = True
    for mask in (held, np.ones(shape, bool)):
        region = com.region_of(mask)
        total, moment = moments_on_card(card, frames, region)
        expected = com.moments(frames, region)
        if frames.dtype.kind == "f":
            np.testing.assert_allclose(total, expected[0], rtol=1e-12)
            np.testing.assert_allclose(moment, expected[1], rtol=1e-12)
        else:
            np.testing.assert_array_equal(total, expected[0])
            np.testing.assert_array_equal(moment, expected[1])


def test_a_moment_worked_out_by_hand(card):
    frames = np.zeros((1, 3, 5), np.uint16)
    frames[0, 2, 4], frames[0, 1, 0] = 7, 3
    region = com.region_of(np.ones((3, 5), bool))
    total, moment = moments_on_card(card, frames, region)
    assert total.tolist() == [10]
    assert moment.tolist() == [[7 * 2 + 3 * 1, 7 * 4 + 3 * 0]]


def test_moments_beyond_64_bits_are_kept_in_two_halves(card):
    frames = np.full((1, 2, 60000), 2**32 - 1, np.uint32)
    region = com.region_of(np.ones((2, 60000), bool))
    total, moment = moments_on_card(card, frames, region)
    expected = com.moments(frames, region)
    np.testing.assert_array_equal(total, expected[0])
    np.testing.assert_array_equal(moment, expected[1])


def test_floats_do_not_depend_on_how_frames_are_cut(card):
    frames = counts_of("<f4", (17, 19), 40)  # 16 or more are taken four at a time
    region = com.region_of(np.ones((17, 19), bool))
    whole = moments_on_card(card, frames, region)
    pieces = [moments_on_card(card, frames[k : k + 1], region) for k in range(40)]
    np.testing.assert_array_equal(whole[1], np.concatenate([p[1] for p in pieces]))


def test_what_is_not_a_number_counts_only_where_it_is_held(card):
    frames = np.ones((2, 4, 5), np.float32)
    frames[0, 1, 2] = np.nan
    held = np.ones((4, 5), bool)
    held[1, 2] = False
    total, _ = moments_on_card(card, frames, com.region_of(held))
    assert total.tolist() == [19.0, 19.0]


@pytest.mark.parametrize("n", [1, 3, 150])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (17, 19)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_patterns_are_those_of_the_cpu_bit_for_bit(card, dtype, shape, n):
    frames = counts_of(dtype, shape, n)
    lanes, on_card = put(card, frames)
    running = patterns.RunningPattern(lanes, shape, frames.dtype)
    running.add(on_card)
    running.add(on_card)
    total, rest, peak = running.take()
    twice = np.concatenate([frames, frames])
    if frames.dtype.kind == "f":
        expected = np.zeros(shape), np.zeros(shape), np.full(shape, -np.inf, "f4")
        sums.add_floats(twice, *expected)
        np.testing.assert_array_equal(rest, expected[1])
    else:
        expected = np.zeros(shape, np.int64), None, np.zeros(shape, dtype)
        sums.add_integers(twice, expected[0], expected[2])
    np.testing.assert_array_equal(total, expected[0])
    np.testing.assert_array_equal(peak, expected[2])
    assert peak.dtype == frames.dtype
    assert running.take() is None


def test_a_pixel_that_was_once_no_number_stays_so(card):
    frames = np.zeros((3, 2, 3), np.float32)
    frames[1, 0, 1] = np.nan
    lanes, on_card = put(card, frames)
    running = patterns.RunningPattern(lanes, (2, 3), frames.dtype)
    running.add(on_card)
    assert np.flatnonzero(np.isnan(running.take()[2])).tolist() == [1]


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.sampled_from(["u1", "<u2", "<u4"]),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 2**32 - 1),
)
def test_any_labels_of_any_shape_are_summed(card, dtype, height, width, seed):
    rng = np.random.default_rng(seed)
    label = rng.integers(-1, 6, (height, width))
    frames = counts_of(dtype, (height, width), 2, seed)
    lanes, on_card = put(card, frames)
    itemsize = frames.dtype.itemsize
    table = labels.on_card(lanes, labels.table_of(label, 6, itemsize))
    found = labels.launch(on_card, table, moments=False)
    lanes.settle()
    expected = [frames[:, label == k].sum(axis=1, dtype=np.int64) for k in range(6)]
    np.testing.assert_array_equal(found(), np.stack(expected, axis=1))


def test_a_table_names_each_pixel_once_and_pads_with_nothing():
    label = np.array([[0, 0, 1], [1, -1, 0]])
    table = labels.table_of(label, 2, 2)
    chunk, mask = table.items[..., 0], table.masks[table.items[..., 1] >> 16]
    held = mask.reshape(-1, 8, 2)[..., 0] == 255
    assert (held.sum(axis=0) <= 1).all()
    assert held.sum() == 5
    assert (chunk == 0).all()
    assert table.labels.tolist() == [0, 1, 2]
    assert table.tasks.tolist() == [0, 1, 2]


def test_pixels_without_a_kernel_are_known():
    taken = [
        code
        for code in ("u1", "<u2", "<u4", "<f4", "<i2", "<f8", "<u8", "<f2")
        if cuda.takes(code)
    ]
    assert taken == ["u1", "<u2", "<u4", "<f4"]


def test_the_emulator_finds_loads_beyond_the_memory(card):
    source = 'extern "C" __global__ void beyond(const unsigned* at) { __ldg(at + 64); }'
    lanes = Lanes(card)
    room = lanes.room(256)
    lanes.run(source, "beyond", (1, 1), 1, (np.uint64(room.what.address),))
    with pytest.raises(DeviceFailedError, match="where there is no memory"):
        lanes.settle()


def test_the_emulator_finds_threads_that_wait_for_each_other(card):
    source = (
        'extern "C" __global__ void half(int) '
        "{ if (threadIdx.x < 8) __shfl_xor_sync(0xffffffffu, 1, 1); "
        "else __syncthreads(); }"
    )
    lanes = Lanes(card)
    lanes.run(source, "half", (1, 1), 32, (np.int32(0),))
    with pytest.raises(DeviceFailedError, match="wait for each other"):
        lanes.settle()

"""A run as one dense array: what lies where, what is absent, what is said of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.runs_made import BEGAN_NS, frames_of, times_of, write_run

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.errors import ConfigError
from scopeside.events import EventBatch, pack_events
from scopeside.export.axes import axes_of, time_axis
from scopeside.export.frames import RunFrames, runs_of
from scopeside.export.places import places_of
from scopeside.packed import pack_frames
from scopeside.runs.run import Run
from scopeside.scan import Scan

SHAPE = (4, 5)


def acquisition(scan=None, dtype="<u2", **more):
    kind = "movie" if scan is None else "scan4d"
    return Acquisition("a", SHAPE, np.dtype(dtype), kind=kind, scan=scan, **more)


def batch_of(index, pixels):
    index = np.asarray(index)
    return Batch(pixels[index], index, times_of(index))


def whole(frames, at_once=3):
    """All frames, read in blocks."""
    parts = [pixels.copy() for _, pixels in frames.blocks(at_once)]
    return np.concatenate(parts).reshape(frames.shape)


def opened(folder, acq, batches, **how):
    more = {key: how.pop(key) for key in ("end", "gaps") if key in how}
    return RunFrames(Run(write_run(folder, acq, batches, **more)), **how)


# -- which frame goes where -------------------------------------------------------


def test_a_snake_scan_with_flyback_by_hand():
    scan = Scan((2, 3), "snake", flyback=1, offset=1)
    places = places_of(acquisition(scan), 100)
    assert places.shape == (2, 3)
    assert places.frame.tolist() == [1, 2, 3, 7, 6, 5]


def test_places_before_the_first_frame_have_none():
    places = places_of(acquisition(Scan((1, 3), offset=-1)), 2)
    assert places.frame.tolist() == [-1, 0, 1]


def test_listed_positions_are_a_list_in_order_of_visit():
    visited = np.array([5, 0, 3], "<u4").tobytes()
    scan = Scan((2, 3), "positions", flyback=1, scans=2, visited=visited)
    places = places_of(acquisition(scan), 100)
    assert places.shape == (6,)
    assert places.frame.tolist() == [0, 1, 2, 4, 5, 6]
    assert places.positions.tolist() == [
        [0, 1, 2], [0, 0, 0], [0, 1, 0], [1, 1, 2], [1, 0, 0], [1, 1, 0]
    ]  # fmt: skip


def test_a_part_of_a_scan_is_a_list_without_flyback():
    places = places_of(acquisition(Scan((2, 3), flyback=1)), 8, (2, 6))
    assert places.frame.tolist() == [2, 4, 5]
    assert places.positions.tolist() == [[0, 2], [1, 0], [1, 1]]


SCANS = st.builds(
    Scan,
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.sampled_from(["raster", "snake"]),
    st.integers(0, 2),
    offset=st.integers(-3, 3),
    scans=st.integers(1, 2),
)


@given(SCANS)
def test_every_place_agrees_with_the_scan(scan):
    places = places_of(acquisition(scan), 0)
    there = np.flatnonzero(places.frame >= 0)
    np.testing.assert_array_equal(scan.position_of(places.frame[there]), there)
    assert len(there) == (scan.position_of(np.arange(scan.frames)) >= 0).sum()


@pytest.mark.parametrize("frames", [(5, 5), (9, None), (3, 2)])
def test_a_part_without_frames_is_refused(frames):
    with pytest.raises(ConfigError, match="leaves none of the 9 frames"):
        places_of(acquisition(), 9, frames)


# -- what is read -----------------------------------------------------------------


def test_frames_come_in_order_of_place_whatever_the_order_of_arrival(tmp_path):
    pixels = frames_of(9, SHAPE, "<u2")
    batches = [batch_of(i, pixels) for i in ([7, 8], [0, 2, 1], [5, 3], [6, 4])]
    frames = opened(tmp_path / "r", acquisition(), batches)
    np.testing.assert_array_equal(whole(frames), pixels)
    np.testing.assert_array_equal(frames.times_ns, times_of(np.arange(9)))


@pytest.mark.parametrize("dtype", ["<u2", "<f4"])
def test_an_absent_frame_is_filled_and_marked(dtype, tmp_path):
    pixels = frames_of(6, SHAPE, dtype)
    frames = opened(
        tmp_path / "r", acquisition(dtype=dtype), [batch_of([0, 1, 3], pixels)], end=6
    )
    found = whole(frames)
    np.testing.assert_array_equal(found[[0, 1, 3]], pixels[[0, 1, 3]])
    filled = np.isnan(found) if dtype == "<f4" else found == 0
    assert filled[[2, 4, 5]].all()
    assert frames.present.tolist() == [True, True, False, True, False, False]
    assert frames.absent.tolist() == [[2, 2], [4, 5]]
    assert frames.index.tolist() == [0, 1, -1, 3, -1, -1]


def test_it_is_told_why_frames_are_absent_as_far_as_it_was_declared(tmp_path):
    pixels = frames_of(3, SHAPE, "<u2")
    gaps = [(3, 4, "disk_slow"), (8, 9, "disk_full")]
    frames = opened(
        tmp_path / "r", acquisition(), [batch_of([0, 1, 2], pixels)], gaps=gaps
    )
    assert len(frames.places) == 10
    expected = {"disk_slow": 2, "disk_full": 2, "not_recorded": 3}
    assert frames.absent_by_cause == expected


def test_absent_frames_can_be_left_out_instead(tmp_path):
    pixels = frames_of(900, SHAPE, "<u2")
    batches = [batch_of([100, 101], pixels), batch_of([800], pixels)]
    frames = opened(tmp_path / "r", acquisition(), batches, skip_absent=True)
    np.testing.assert_array_equal(whole(frames), pixels[[100, 101, 800]])
    assert frames.index.tolist() == [100, 101, 800]


def test_of_a_frame_that_was_recorded_twice_the_first_counts(tmp_path):
    pixels = frames_of(4, SHAPE, "<u2")
    again = Batch(pixels[1:2] + 1, np.array([1]), times_of([1]))
    frames = opened(tmp_path / "r", acquisition(), [batch_of(range(4), pixels), again])
    np.testing.assert_array_equal(whole(frames), pixels)
    assert frames.repeated == 1


def test_packed_frames_are_made_dense(tmp_path):
    pixels = frames_of(7, SHAPE, "<u2")
    index = np.arange(7)
    packed = pack_frames(pixels, index, times_of(index))
    scan = Scan((2, 3), "snake")
    acq = acquisition(scan, encoding="packed")
    frames = opened(tmp_path / "r", acq, packed.cut(4))
    expected = pixels[[[0, 1, 2], [5, 4, 3]]]
    np.testing.assert_array_equal(whole(frames), expected)
    assert frames.unplaced == 1


def test_events_are_counted_into_frames(tmp_path):
    index = np.arange(3)
    words = pack_events([0, 0, 2, 2, 2], [1, 1, 1, 5, 1], [3, 3, 0, 19, 7])
    batch = EventBatch(words, index, times_of(index), SHAPE, np.dtype("<u2"))
    frames = opened(tmp_path / "r", acquisition(encoding="events"), [batch])
    expected = np.zeros((3, 20), "<u2")
    expected[0, 3], expected[2, [0, 19, 7]] = 2, (1, 5, 1)
    np.testing.assert_array_equal(whole(frames).reshape(3, 20), expected)


def test_a_batch_that_was_changed_on_the_disk_is_absent_and_named(tmp_path):
    pixels = frames_of(6, SHAPE, "<u2")
    run = write_run(
        tmp_path / "r",
        acquisition(),
        [batch_of([0, 1, 2], pixels), batch_of([3, 4, 5], pixels)],
    )
    segment = run / "000000.seg"
    data = bytearray(segment.read_bytes())
    data[data.find(pixels[4].tobytes())] ^= 1
    segment.write_bytes(data)
    frames = RunFrames(Run(run))
    found = whole(frames)
    np.testing.assert_array_equal(found[:3], pixels[:3])
    assert not found[3:].any()
    assert frames.present.tolist() == [True] * 3 + [False] * 3
    assert len(frames.damaged) == 1
    assert "record 2 is damaged" in frames.damaged[0]
    assert "(3 frames)" in frames.damaged[0]


def test_frames_of_another_size_than_the_run_has_are_absent_and_named(tmp_path):
    pixels = frames_of(4, SHAPE, "<u2")
    wrong = Batch(frames_of(1, (5, 4), "<u2"), np.array([2]), times_of([2]))
    frames = opened(tmp_path / "r", acquisition(), [batch_of([0, 1], pixels), wrong])
    assert not whole(frames)[2].any()
    assert "record 2 has frames of (5, 4) uint16" in frames.damaged[0]


@pytest.mark.parametrize("scan", [None, Scan((1 << 20, 1 << 20))])
def test_places_beyond_any_memory_are_refused_before_they_are_made(scan):
    with pytest.raises(ConfigError, match=r"67108864 can be exported at once"):
        places_of(acquisition(scan), 1 << 40)


def test_a_run_without_frames_is_refused(tmp_path):
    run = write_run(tmp_path / "r", acquisition(), [])
    with pytest.raises(ConfigError, match="holds no frames yet"):
        RunFrames(Run(run))


def test_runs_of_numbers():
    assert runs_of(np.array([1, 2, 3, 7])).tolist() == [[1, 3], [7, 7]]
    assert runs_of(np.array([], np.int64)).tolist() == []


# -- axes --------------------------------------------------------------------------


def test_axes_of_a_scan_in_si(tmp_path):
    said = {
        "scan_step_m": [2e-9, 1e-9],
        "detector_rad_per_px": 1e-4,
        "pixel_size_m": 5.0,
        "centre_px": [1, 2],
    }
    acq = acquisition(Scan((1, 2)), calibration=said)
    axes = axes_of(
        opened(tmp_path / "r", acq, [batch_of([0, 1], frames_of(2, SHAPE, "<u2"))])
    )
    assert [(a.name, a.scale, a.offset, a.unit) for a in axes] == [
        ("scan_y", 2e-9, 0.0, "m"),
        ("scan_x", 1e-9, 0.0, "m"),
        ("detector_y", 1e-4, -1e-4, "rad"),
        ("detector_x", 1e-4, -2e-4, "rad"),
    ]


@pytest.mark.parametrize("said", [{}, {"pixel_size_m": "5 nm"}, {"pixel_size_m": [1]}])
def test_what_is_not_said_counts_pixels(said, tmp_path):
    acq = acquisition(calibration=said)
    axes = axes_of(
        opened(tmp_path / "r", acq, [batch_of([0], frames_of(1, SHAPE, "<u2"))])
    )
    assert [(a.scale, a.offset, a.unit) for a in axes[1:]] == [(1.0, 0.0, "")] * 2


def test_even_times_make_a_scale_though_frames_are_absent():
    axis = time_axis(
        np.array([0, 1, -1, -1, 4]), BEGAN_NS + np.array([0, 2, -9, -9, 8]) * 10**6
    )
    assert (axis.scale, axis.unit, axis.values) == (0.002, "s", None)


def test_uneven_times_are_kept_one_by_one():
    axis = time_axis(np.arange(4), BEGAN_NS + np.array([0, 1, 5, 6]) * 10**9)
    assert axis.values.tolist() == [0.0, 1.0, 5.0, 6.0]
    assert axis.scale == 2.0


@pytest.mark.parametrize("times", [[5, 5, 5], [7, 6, 5], [-1, -1, -1]])
def test_times_that_say_nothing_only_count(times):
    axis = time_axis(np.arange(3), np.array(times))
    assert (axis.scale, axis.unit) == (1.0, "")

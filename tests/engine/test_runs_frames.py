"""Frames, batches and places of a recorded run."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.small_runs import (
    FRAME_NS,
    T0_NS,
    Recording,
    batch,
    frames_of,
    movie,
)

import scopeside
from scopeside.errors import RunError
from scopeside.events import EventBatch, pack_events
from scopeside.packed import pack_frames
from scopeside.runs.locate import frame_of
from scopeside.scan import Scan


@pytest.fixture
def with_a_gap(tmp_path):
    run = Recording(tmp_path / "m1", movie())
    run.add(batch(0, 1, 2), batch(6, 7), batch(3)).lose(4, 5)
    with scopeside.open_run(run.close()) as opened:
        yield opened


def test_a_frame_is_read_by_the_number_that_the_detector_gave_it(with_a_gap):
    np.testing.assert_array_equal(with_a_gap[6], frames_of([6])[0])
    np.testing.assert_array_equal(with_a_gap[-1], frames_of([7])[0])
    np.testing.assert_array_equal(with_a_gap[0:4], frames_of([0, 1, 2, 3]))
    np.testing.assert_array_equal(
        with_a_gap.frames_at([7, 0, 3, 3]), frames_of([7, 0, 3, 3])
    )


def test_a_slice_is_a_copy_that_may_be_written_to(with_a_gap):
    frames = with_a_gap[0:2]
    frames[:] = 0
    np.testing.assert_array_equal(with_a_gap[0:2], frames_of([0, 1]))


def test_an_absent_frame_is_named_with_its_cause(with_a_gap):
    with pytest.raises(RunError, match="frames 4 to 5 are not in it: disk_slow"):
        with_a_gap[2:8]
    with pytest.raises(RunError, match="frame 4 is not in it: disk_slow"):
        with_a_gap[4]


def test_a_frame_beyond_the_run_is_an_index_error(with_a_gap):
    with pytest.raises(IndexError, match="frame 8 of a run of 8 frames"):
        with_a_gap[8]
    with pytest.raises(IndexError):
        with_a_gap[-9]


def test_absent_frames_are_masked_where_a_mask_is_asked_for(with_a_gap):
    found = with_a_gap.masked(3, 7)
    assert found.mask[:, 0, 0].tolist() == [False, True, True, False]
    np.testing.assert_array_equal(found[[0, 3]], frames_of([3, 6]))
    assert not np.ma.is_masked(with_a_gap.masked(0, 4))


def test_shape_gaps_and_ranges_are_known(with_a_gap):
    assert with_a_gap.shape == (8, 4, 6)
    assert len(with_a_gap) == 8
    assert with_a_gap.frames == 6
    assert with_a_gap.gaps == [(4, 5, "disk_slow")]
    assert with_a_gap.present() == [(0, 3), (6, 7)]
    assert with_a_gap.absent() == [(4, 5)]
    assert not with_a_gap.growing
    assert with_a_gap.scan_shape is None


def test_slices_leave_out_what_is_absent_and_say_so(with_a_gap):
    found = list(with_a_gap.slices(1, at_most=4))
    assert [index.tolist() for index, _ in found] == [[1, 2, 3], [6, 7]]
    for index, frames in found:
        np.testing.assert_array_equal(frames, frames_of(index))


def test_batches_come_back_with_their_boundaries_and_order(with_a_gap):
    assert [b.index.tolist() for b in with_a_gap.batches()] == [[0, 1, 2], [6, 7], [3]]
    assert [b.index.tolist() for b in with_a_gap.batches(1, 2)] == [[6, 7]]


def test_it_is_found_where_a_time_or_frame_lies(with_a_gap):
    assert with_a_gap.seek(t_ns=0) == 0
    assert with_a_gap.seek(t_ns=T0_NS + 2 * FRAME_NS) == 0
    assert with_a_gap.seek(t_ns=T0_NS + 2 * FRAME_NS + 1) == 1
    assert with_a_gap.seek(frame=3) == 2
    with pytest.raises(RunError, match="does not reach frame 4"):
        with_a_gap.seek(frame=4)
    with pytest.raises(RunError, match="does not reach the time"):
        with_a_gap.seek(t_ns=T0_NS + 8 * FRAME_NS)
    with pytest.raises(RunError, match="has no event 0"):
        with_a_gap.seek(event=0)
    with pytest.raises(RunError, match="one of them"):
        with_a_gap.seek()


def test_an_event_is_found_by_what_was_kept_around_it(tmp_path):
    run = Recording(tmp_path / "m1", movie()).add(batch(0, 1), batch(5, 6))
    late, early = T0_NS + 5 * FRAME_NS, T0_NS
    windows = [[late, late + 10, ["b.c 2"]], [early, early + 10, ["b.c 1"]]]
    with scopeside.open_run(run.close(windows=windows)) as opened:
        assert opened.seek(event=0) == 0
        assert opened.seek(event=1) == 1
        assert opened.events[1] == (late, late + 10, ["b.c 2"])


@pytest.mark.parametrize(
    ("holes", "present"),
    [
        ([0, 2, 4], [(0, 0), (2, 2), (4, 4), (6, 6)]),
        ([5, 1, 3], [(1, 1), (3, 3), (5, 6)]),
    ],
    ids=["ascending", "in any order"],
)
def test_a_batch_with_holes_gives_each_frame_its_own(tmp_path, holes, present):
    run = Recording(tmp_path / "m1", movie()).add(batch(*holes), batch(6))
    with scopeside.open_run(run.close()) as opened:
        for k in (*holes, 6):
            np.testing.assert_array_equal(opened[k], frames_of([k])[0])
        assert opened.present() == present


def test_packed_frames_are_unpacked(tmp_path):
    run = Recording(tmp_path / "m1", movie(encoding="packed"))
    times = T0_NS + np.arange(4, dtype=np.int64)
    run.add(pack_frames(frames_of(range(4)), np.arange(4, dtype=np.int64), times))
    with scopeside.open_run(run.close()) as opened:
        np.testing.assert_array_equal(opened[1:3], frames_of([1, 2]))
        np.testing.assert_array_equal(opened.frames_at([3, 0, 1]), frames_of([3, 0, 1]))


def test_events_are_made_into_frames(tmp_path):
    index = np.array([10, 11, 12], np.int64)
    words = pack_events([0, 2, 2], [1, 3, 4], [5, 7, 7])
    events = EventBatch(words, index, T0_NS + index, (4, 6), np.dtype("u2"))
    run = Recording(tmp_path / "m1", movie(encoding="events")).add(events)
    with scopeside.open_run(run.close()) as opened:
        assert opened[10].ravel().nonzero()[0].tolist() == [5]
        assert not opened[11].any()
        assert opened[12].ravel()[7] == 7


SCANS = [
    Scan((2, 3)),
    Scan((2, 3), pattern="snake", flyback=1, offset=2),
    Scan((2, 3), flyback_lines=1, scans=2),
    Scan((2, 3), pattern="positions", visited=np.array([4, 0, 5], "<u4").tobytes()),
    Scan((2, 3), offset=-2),
]


@pytest.mark.parametrize("scan", SCANS)
def test_the_frame_of_a_position_is_the_inverse_of_the_scan(scan):
    places = scan.position_of(np.arange(scan.frames))
    for place in range(scan.scans * scan.positions):
        number, flat = divmod(place, scan.positions)
        taken = np.flatnonzero(places == place)
        expected = int(taken[0]) if len(taken) else -1
        assert frame_of(scan, *divmod(flat, 3), number) == expected


@pytest.mark.parametrize("scan", SCANS)
def test_a_scan_is_read_by_position_and_absent_ones_are_masked(tmp_path, scan):
    there = [k for k in range(scan.frames) if k != 1]
    run = Recording(tmp_path / "s1", movie("s1", kind="scan4d", scan=scan))
    run.add(*(batch(k) for k in there)).lose(1, 1, "missing")
    with scopeside.open_run(run.close()) as opened:
        rows = opened.scan_rows(0, 2)
        assert rows.shape == (2, 3, 4, 6)
        for row in range(2):
            for column in range(3):
                frame = frame_of(scan, row, column)
                if frame in there:
                    np.testing.assert_array_equal(
                        opened.at(row, column), frames_of([frame])[0]
                    )
                    np.testing.assert_array_equal(
                        rows[row, column], frames_of([frame])[0]
                    )
                else:
                    assert rows.mask[row, column].all()
                    with pytest.raises(RunError, match=r"not in it|not visited"):
                        opened.at(row, column)
        with pytest.raises(IndexError):
            opened.at(2, 0)


def test_what_is_no_scan_has_no_positions(with_a_gap):
    with pytest.raises(RunError, match="is no scan"):
        with_a_gap.at(0, 0)


@settings(max_examples=30, deadline=None)
@given(
    order=st.permutations(range(12)),
    sizes=st.lists(st.integers(1, 5), min_size=12, max_size=12),
    wanted=st.lists(st.integers(0, 11), max_size=8),
)
def test_frames_are_found_whatever_the_order_and_batches(
    tmp_path_factory, order, sizes, wanted
):
    run = Recording(tmp_path_factory.mktemp("runs") / "m1", movie(), 4096)
    rest = list(order)
    for size in sizes:
        if rest:
            run.add(batch(*rest[:size]))
            rest = rest[size:]
    there = [k for k in order if k not in rest]
    with scopeside.open_run(run.close()) as opened:
        asked = [k for k in wanted if k in there]
        np.testing.assert_array_equal(opened.frames_at(asked), frames_of(asked))
        found = [k for first, last in opened.present() for k in range(first, last + 1)]
        assert found == sorted(there)

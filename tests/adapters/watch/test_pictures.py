"""A folder that receives one picture a file."""

import os
import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.adapters.watch.watching import (
    FRAMES,
    detector,
    received,
    until,
    watched,
    watching,
)

from scopeside_adapters.file.watch.numbering import Due, Hole, Numbering, key_of
from scopeside_adapters.file.watch.writers import picture

SUFFIXES = [".tif", ".png", ".mrc", ".npy", ".seq"]


def put(folder, number, frame=None, suffix=".tif", name="frame_{:04d}"):
    """Write a picture as a whole, and move it into place."""
    folder.mkdir(exist_ok=True, parents=True)
    frame = FRAMES[number] if frame is None else frame
    path = folder / (name.format(number) + suffix)
    aside = folder / "aside.tmp"
    aside.write_bytes(content(frame, suffix))
    aside.replace(path)
    return path


def content(frame, suffix=".tif"):
    if suffix != ".npy":
        return picture(suffix, frame)
    whole = picture(suffix, frame)
    return whole.replace(b"(0, 6, 8)", b"(1, 6, 8)")


def assert_frames(sink, numbers, acquisition=0, index=None):
    got = sink.frames(acquisition)
    np.testing.assert_array_equal(got.pixels, FRAMES[list(numbers)])
    assert got.index.tolist() == list(numbers if index is None else index)


@pytest.mark.parametrize(
    ("suffix", "wakes"), [*((suffix, "auto") for suffix in SUFFIXES), (".tif", "poll")]
)
def test_pictures_are_delivered_as_they_come(tmp_path, suffix, wakes):
    for number in range(3):
        put(tmp_path, number, suffix=suffix)
    with watching(tmp_path, wake=wakes) as sink:
        for number in range(3, 9):
            put(tmp_path, number, suffix=suffix)
            until(lambda n=number: received(sink) > n)
        until(lambda: sink.ends)
    assert_frames(sink, range(9))
    assert sink.ends == [("complete", "nothing came for 0.4 s", 9)]
    assert sink.gaps == sink.rejects == []


def test_the_time_of_a_picture_is_when_it_was_written(tmp_path):
    for number in range(3):
        path = put(tmp_path, number)
        os.utime(path, ns=(0, 10**18 + number))
    stamps = watched(tmp_path).frames().timestamp_ns
    assert stamps.tolist() == [10**18, 10**18 + 1, 10**18 + 2]


def test_numbers_count_from_the_lowest_and_need_no_zeros(tmp_path):
    for number in (8, 10, 9):
        put(tmp_path, number, name="series 3 frame {}")
    sink = watched(tmp_path)
    assert_frames(sink, [8, 9, 10], index=[0, 1, 2])


def test_a_picture_that_is_half_written_is_waited_for(tmp_path):
    data = content(FRAMES[1])
    put(tmp_path, 0)
    late = tmp_path / "frame_0001.tif"
    with watching(tmp_path, hole_s=20, silence_s=20) as sink:
        until(lambda: received(sink) == 1)
        late.write_bytes(data[:-5])
        put(tmp_path, 2)
        until(lambda: sink.slots_lent >= 1)
        with late.open("ab") as file:
            file.write(data[-5:])
        until(lambda: received(sink) == 3)
    assert_frames(sink, range(3))
    assert sink.gaps == sink.rejects == []


def test_a_missing_picture_is_a_hole_and_is_refused_when_it_comes_after_all(tmp_path):
    for number in (0, 1, 4, 5):
        put(tmp_path, number)
    with watching(tmp_path, silence_s=20) as sink:
        until(lambda: received(sink) == 4)
        put(tmp_path, 2)
        until(lambda: sink.rejects)
    assert_frames(sink, [0, 1, 4, 5])
    assert sink.gaps == [(2, 3, "hole")]
    ((n, cause, message),) = sink.rejects
    assert (n, cause) == (1, "late")
    assert message.startswith("frame_0002.tif came after its turn")


def test_pictures_that_come_in_another_order_are_put_in_order(tmp_path):
    with watching(tmp_path, hole_s=20, first_number=0) as sink:
        for number in (1, 0, 3, 2):
            put(tmp_path, number)
        until(lambda: received(sink) == 4)
    assert_frames(sink, range(4))
    assert sink.gaps == []


def test_the_first_number_tells_what_is_missing_at_the_beginning(tmp_path):
    for number in (2, 3):
        put(tmp_path, number)
    sink = watched(tmp_path, first_number=0)
    assert_frames(sink, [2, 3])
    assert sink.gaps == [(0, 1, "hole")]


def test_what_stays_unreadable_is_given_up_by_name(tmp_path):
    put(tmp_path, 0)
    (tmp_path / "frame_0001.tif").write_bytes(content(FRAMES[1])[:-5])
    put(tmp_path, 2)
    sink = watched(tmp_path)
    assert_frames(sink, [0, 2])
    assert sink.gaps == [(1, 1, "unreadable")]
    ((n, cause, message),) = sink.rejects
    assert (n, cause) == (1, "unreadable")
    assert message.startswith("frame_0001.tif: ")


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_a_text_that_is_called_a_picture_is_given_up(tmp_path, suffix):
    put(tmp_path, 0, suffix=suffix)
    (tmp_path / f"frame_0001{suffix}").write_text("<html>not found</html>")
    sink = watched(tmp_path)
    assert sink.gaps == [(1, 1, "unreadable")]
    assert sink.ends == [("complete", "nothing came for 0.4 s", 2)]


def test_a_picture_of_another_size_ends_it_and_begins_the_next(tmp_path):
    for number in range(3):
        put(tmp_path, number)
    put(tmp_path, 3, FRAMES[3, :4])
    sink = watched(tmp_path, acquisitions=2)
    assert_frames(sink, range(3))
    reason = (
        "frame_0003.tif has 4 × 8 pixels of uint16, those before had 6 × 8 of uint16"
    )
    assert sink.ends[0] == ("failed", reason, 3)
    np.testing.assert_array_equal(sink.frames(1).pixels, FRAMES[3:4, :4])
    assert sink.ends[1][2] == 1


def test_a_known_length_ends_at_once_and_more_is_the_next(tmp_path):
    for number in range(10):
        put(tmp_path, number)
    sink = watched(tmp_path, acquisitions=3, scan=[2, 2])
    assert [end[2] for end in sink.ends] == [4, 4, 2]
    assert [end[0] for end in sink.ends] == ["complete", "complete", "failed"]
    assert sink.ends[2][1] == "nothing came for 0.4 s after 2 of 4 frames"
    assert_frames(sink, range(4, 8), acquisition=1, index=range(4))


def test_a_hole_across_two_acquisitions_is_counted_in_both(tmp_path):
    for number in (0, 1, 2, 7, 8, 9):
        put(tmp_path, number)
    sink = watched(tmp_path, acquisitions=2, frames=5)
    assert sink.gaps == [(3, 4, "hole"), (0, 1, "hole")]
    assert_frames(sink, [0, 1, 2])
    assert_frames(sink, [7, 8, 9], acquisition=1, index=[2, 3, 4])
    assert [end[0] for end in sink.ends] == ["complete", "complete"]


def test_a_stop_file_ends_it(tmp_path):
    stop = tmp_path / "finished.tif"
    with watching(tmp_path, stop_file=stop, silence_s=20, hole_s=20) as sink:
        for number in (0, 1, 3):
            put(tmp_path, number)
        until(lambda: received(sink) == 2)
        stop.write_text("")
        until(lambda: sink.ends)
    assert sink.ends == [("complete", "finished.tif was written", 4)]
    assert sink.gaps == [(2, 2, "hole")]


def test_names_that_are_written_again_are_the_next_acquisition(tmp_path):
    with watching(tmp_path, silence_s=0.2) as sink:
        for again in range(2):
            for number in range(3):
                put(tmp_path, number)
            until(lambda n=again: len(sink.ends) == n + 1)
    assert_frames(sink, range(3))
    assert_frames(sink, range(3), acquisition=1)


def test_two_files_of_one_number_are_told(tmp_path):
    put(tmp_path, 0)
    put(tmp_path, 1)
    put(tmp_path, 0, name="other_{:04d}")
    sink = watched(tmp_path)
    assert [(n, cause) for n, cause, _ in sink.rejects] == [(1, "duplicate")]
    assert len(sink.frames().index) == 2


def test_a_name_without_a_number_is_told_once(tmp_path):
    put(tmp_path, 0)
    put(tmp_path, 1, name="gain")
    put(tmp_path, 2, name="dark")
    sink = watched(tmp_path)
    assert sink.notes[1:] == ["dark.tif is left out: no number is in its name"]
    assert_frames(sink, [0])


def test_other_files_are_left_alone(tmp_path):
    put(tmp_path, 0)
    for name in ("log1.txt", ".hidden2.tif", "3.tif.part", "4.tmp"):
        (tmp_path / name).write_text("no picture")
    sink = watched(tmp_path)
    assert sink.rejects == []
    assert_frames(sink, [0])


def test_the_pattern_and_the_number_can_be_said(tmp_path):
    for number in range(3):
        put(tmp_path, number, name="run_{}_300kV")
        put(tmp_path, 9 - number, name="other_{}_300kV")
    sink = watched(tmp_path, pattern="run*", number=r"run_(\d+)")
    assert_frames(sink, range(3))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("number", "frame", "one group"),
        ("number", "(", "not a regular expression"),
        ("pattern", "a/b*.tif", "pattern of file names"),
        ("raw", {"shape": [4, 4], "dtype": "O"}, "plain numbers"),
        ("silence_s", 0, "greater than 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(tmp_path, key, value, message):
    with pytest.raises(ValidationError, match=message):
        detector(tmp_path, **{key: value})


def test_what_is_there_can_be_left_alone(tmp_path):
    put(tmp_path, 0)
    with watching(tmp_path, existing=False) as sink:
        until(lambda: sink.notes)
        put(tmp_path, 5)
        until(lambda: sink.ends)
    assert_frames(sink, [5], index=[0])


def test_a_folder_that_vanishes_is_named_and_the_next_is_taken(tmp_path):
    folder = tmp_path / "run"
    with watching(folder, silence_s=20, wake="poll") as sink:
        put(folder, 0)
        until(lambda: received(sink) == 1)
        shutil.rmtree(folder)
        until(lambda: sink.ends)
        put(folder, 1)
        until(lambda: received(sink) == 2)
    assert sink.ends[0] == ("failed", f"{folder} is gone", 1)
    assert_frames(sink, [1], acquisition=1, index=[0])


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    real, locked = os.scandir, []

    def scandir(path):
        if locked:
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with watching(tmp_path, silence_s=20) as sink:
        put(tmp_path, 0)
        until(lambda: received(sink) == 1)
        locked.append(True)
        until(lambda: sink.ends)
        locked.clear()
        put(tmp_path, 1)
        until(lambda: received(sink) == 2)
    reason = f"{tmp_path} cannot be read any more: Permission denied"
    assert sink.ends[0] == ("failed", reason, 1)


def test_it_stops_when_it_is_asked_to(tmp_path):
    with watching(tmp_path, silence_s=60, poll_s=10) as sink:
        put(tmp_path, 0)
        until(lambda: received(sink) == 1)
    assert [state for state, _, _ in sink.ends] == ["stopped"]


# -- a tree of seconds, as Gatan cameras write it -----------------------------------


def put_in_tree(root, second, frame, number):
    folder = root / "Hour_00" / "Minute_00" / f"Second_{second:02d}"
    name = f"cap1_Hour_00_Minute_00_Second_{second:02d}_Frame_{{:04d}}"
    put(folder, frame, FRAMES[number], name=name)


TREE = {"pattern": "**/*.tif"}


def test_a_tree_of_seconds_is_one_series(tmp_path):
    for number in range(9):
        put_in_tree(tmp_path, number // 3, number % 3, number)
    sink = watched(tmp_path, **TREE)
    assert_frames(sink, range(9))
    assert sink.gaps == []


def test_a_hole_within_a_second_is_found(tmp_path):
    for number in (0, 2, 3, 4, 5):
        put_in_tree(tmp_path, number // 3, number % 3, number)
    sink = watched(tmp_path, **TREE)
    assert sink.gaps == [(1, 1, "hole")]
    assert_frames(sink, [0, 2, 3, 4, 5])


def test_a_hole_at_the_end_of_a_second_is_found_where_the_rate_is_known(tmp_path):
    for number in (0, 1, 3, 4, 5):
        put_in_tree(tmp_path, number // 3, number % 3, number)
    sink = watched(tmp_path, frames_per_second=3, **TREE)
    assert sink.gaps == [(2, 2, "hole")]
    assert_frames(sink, [0, 1, 3, 4, 5])


# -- numbering ----------------------------------------------------------------------


@given(st.permutations(range(12)), st.sets(st.integers(0, 11), max_size=6))
def test_every_number_comes_once_in_order_or_is_a_hole(order, missing):
    numbering, seen, now = Numbering(0, hole_s=2.0), [], 0.0
    for number in [n for n in order if n not in missing]:
        now += 1.0
        numbering.add(((), number), number, now)
        seen += drained(numbering, now)
    seen += drained(numbering, now, ended=True)
    came = [n for kind, n in seen if kind == "frame"]
    assert [n for _, n in seen] == list(range(len(seen)))
    assert set(came) <= set(range(12)) - missing
    assert all(n in missing or n not in came for kind, n in seen if kind == "hole")


def drained(numbering, now, ended=False):
    seen = []
    while (step := numbering.next(now, ended=ended)) is not None:
        if isinstance(step, Hole):
            seen += [("hole", n) for n in range(step.first, step.last + 1)]
        elif isinstance(step, Due):
            seen.append(("frame", step.index))
            numbering.done()
    return seen


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("frame_0007.tif", ((), 7)),
        ("2024-05-01 scan 12.tif", ((), 12)),
        ("7.png", ((), 7)),
        ("gain.tif", None),
        ("20240501123456789012.tif", None),
        ("a_Hour_01_Minute_02_Second_03_Frame_0004.dm4", ((1, 2, 3), 4)),
    ],
)
def test_the_number_is_the_last_in_the_name(name, key):
    from pathlib import PurePath

    assert key_of(PurePath(name), None) == key


# -- the simulated camera -----------------------------------------------------------


def simulate(path, **settings):
    from scopeside_adapters.file.watch.simulator import WatchSimulator, frames_of

    params = WatchSimulator.Params.model_validate(
        {"path": path, "shape": [6, 8], "frames": 12, "fps": None, **settings}
    )
    WatchSimulator(params).run(lambda text: None)
    return np.stack(list(frames_of(params)))


@pytest.mark.parametrize(
    ("faults", "numbers", "gaps", "rejects"),
    [
        ({}, range(12), [], []),
        ({5: "drop"}, [*range(5), *range(6, 12)], [(5, 5, "hole")], []),
        ({5: "reorder"}, range(12), [], []),
        ({5: "stall"}, range(12), [], []),
        (
            {5: "truncate"},
            [*range(5), *range(6, 12)],
            [(5, 5, "unreadable")],
            [(1, "unreadable")],
        ),
    ],
)
def test_what_goes_wrong_with_a_folder_is_in_the_account(
    tmp_path, faults, numbers, gaps, rejects
):
    with watching(tmp_path) as sink:
        until(lambda: sink.notes)
        frames = simulate(tmp_path, faults=faults, stall_s=0.1, fps=500.0)
        until(lambda: sink.ends)
    got = sink.frames()
    np.testing.assert_array_equal(got.pixels, frames[list(numbers)])
    assert got.index.tolist() == list(numbers)
    assert sink.gaps == gaps
    assert [(n, cause) for n, cause, _ in sink.rejects] == rejects


def test_a_camera_that_begins_its_file_anew_is_noticed(tmp_path):
    path = tmp_path / "movie.mrc"
    with watching(path, silence_s=1.0) as sink:
        frames = simulate(path, faults={6: "reset"}, fps=200.0)
        until(lambda: len(sink.ends) == 2)
    assert sink.ends[0][0] == "failed"
    assert "was truncated to" in sink.ends[0][1]
    np.testing.assert_array_equal(sink.frames(1).pixels, frames[7:])


@pytest.mark.parametrize("suffix", [".mrc", ".seq", ".tvips", ".npy"])
def test_a_camera_that_dies_in_mid_frame_is_noticed(tmp_path, suffix):
    path = tmp_path / f"movie{suffix}"
    with watching(path) as sink:
        frames = simulate(path, faults={6: "truncate"}, fps=500.0)
        until(lambda: sink.ends)
    ((state, reason, total),) = sink.ends
    assert (state, total) == ("failed", 6)
    assert reason.endswith("ends in the middle of frame 6")
    np.testing.assert_array_equal(sink.frames().pixels, frames[:6])


def test_an_empad_file_grows(tmp_path):
    path = tmp_path / "scan_x4_y3.raw"
    frames = simulate(path, shape=[128, 128], dtype="float32")
    sink = watched(path)
    np.testing.assert_array_equal(sink.frames().pixels, frames)
    assert sink.acquisitions[0].scan.shape == (3, 4)
    assert sink.ends == [("complete", "it has all of its frames", 12)]


def test_the_simulator_is_a_command(tmp_path):
    from tests.system.engine_runs import command, environment

    said = subprocess.run(
        command("simulate", "watch", "path=a.mrc", "frames=3", "shape=[4, 5]"),
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "3 frames written to a.mrc"
    assert (tmp_path / "a.mrc").stat().st_size == 1024 + 3 * 40

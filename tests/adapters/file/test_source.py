"""The detector: its parameters, its pace, its ends."""

from __future__ import annotations

import time

import numpy as np
import pytest
from pydantic import ValidationError
from tests.adapters.file.playing import assert_delivers, detector, play, series
from tests.doubles import MemorySink

from scopeside.detector import StopRequested
from scopeside.errors import SourceError
from scopeside_adapters.file.formats import open_frames
from scopeside_adapters.file.source import FileParams
from scopeside_adapters.pace import Pace

FRAMES = series((12, 5, 4))


@pytest.fixture
def movie(tmp_path):
    np.save(tmp_path / "movie.npy", FRAMES)
    return tmp_path / "movie.npy"


class FakeClock:
    """A clock that only sleeping moves on."""

    def __init__(self) -> None:
        self.time = 100.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


# parameters ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"fps": 0},
        {"fps": -1},
        {"fps": float("nan")},
        {"loop": 0},
        {"loop": "often"},
        {"scan": [2]},
        {"scan": [0, 3]},
        {"speed": 1},
    ],
)
def test_a_wrong_parameter_is_refused(wrong):
    with pytest.raises(ValidationError):
        FileParams.model_validate({"path": "movie.npy", **wrong})


def test_a_relative_path_lies_beside_the_pipeline_file(tmp_path):
    params = FileParams.model_validate(
        {"path": "movie.npy"}, context={"folder": tmp_path}
    )
    assert params.path == tmp_path / "movie.npy"


# acquisitions --------------------------------------------------------------------


def test_a_file_is_played_once(movie):
    sink = play(movie)
    assert_delivers(sink, FRAMES)
    acquisition = sink.acquisitions[0]
    assert acquisition.frames == 12
    assert acquisition.id == "acquisition-0"
    assert acquisition.metadata == {"format": "NumPy", "path": str(movie)}


def test_batches_are_as_large_as_their_slots(movie):
    assert [len(batch) for batch in play(movie).batches] == [3, 3, 3, 3]


def test_a_number_of_loops_is_as_many_acquisitions(movie):
    sink = play(movie, loop=3)
    assert [a.id for a in sink.acquisitions] == [f"acquisition-{i}" for i in range(3)]
    np.testing.assert_array_equal(sink.frames(2).pixels, FRAMES)
    assert sink.ends == [("complete", "", 12)] * 3


def test_an_endless_loop_ends_when_the_engine_stops(movie):
    sink = MemorySink(capacity=3, stop_after_batches=9)
    detector(movie, loop=True).run(sink)
    assert [state for state, _, _ in sink.ends] == ["complete", "complete", "stopped"]


def test_a_stop_between_two_passes_is_let_pass(movie):
    sink = MemorySink(capacity=3, stop_after_batches=4)
    with pytest.raises(StopRequested):
        detector(movie, loop=True).run(sink)
    assert sink.ends == [("complete", "", 12)]


def test_a_stop_in_mid_acquisition_is_told_with_its_total(movie):
    sink = MemorySink(capacity=3, stop_after_batches=2)
    detector(movie).run(sink)
    assert sink.ends == [("stopped", "the engine is asked to end", 6)]


def test_settings_come_before_what_the_file_says(tmp_path):
    np.save(tmp_path / "scan.npy", FRAMES.reshape(3, 4, 5, 4))
    sink = play(
        tmp_path / "scan.npy",
        {"scan": [4, 3], "pattern": "snake", "calibration": {"semi_angle_rad": 0.02}},
        scan=[2, 6],
    )
    acquisition = sink.acquisitions[0]
    assert acquisition.scan_shape == (4, 3)
    assert acquisition.scan.pattern == "snake"
    assert acquisition.calibration == {"semi_angle_rad": 0.02}


def test_the_parameter_scan_makes_a_movie_a_scan(movie):
    acquisition = play(movie, scan=[3, 4]).acquisitions[0]
    assert acquisition.scan_shape == (3, 4)
    assert acquisition.kind == "scan4d"


@pytest.mark.parametrize("where", ["settings", "params"])
@pytest.mark.parametrize(("scan", "needs"), [([2, 7], 14), ([2, 5], 10)])
def test_a_scan_of_another_size_is_refused(movie, where, scan, needs):
    settings = {"scan": scan} if where == "settings" else None
    params = {} if where == "settings" else {"scan": scan}
    says = f"scan {scan} needs {needs} frames, movie.npy has 12"
    assert detector(movie, settings, **params).check() == [says]
    sink = MemorySink()
    with pytest.raises(SourceError, match=r"movie\.npy has 12"):
        detector(movie, settings, **params).run(sink)
    assert sink.acquisitions == []


def test_fly_back_frames_count_for_the_scan(movie):
    settings = {"scan": [3, 3], "flyback": 1}
    sink = play(movie, settings)
    assert sink.acquisitions[0].frames == 12
    settings = {"scan": [3, 4], "flyback": 1}
    assert detector(movie, settings).check() == [
        "scan [3, 4] with 1 fly-back frames a row needs 15 frames, movie.npy has 12"
    ]


# check ---------------------------------------------------------------------------


def test_a_good_file_has_no_problems(movie):
    assert detector(movie).check() == []


def test_a_missing_file_is_named(tmp_path):
    path = tmp_path / "none.npy"
    assert detector(path).check() == [f"{path} does not exist"]
    with pytest.raises(SourceError, match="does not exist"):
        play(path)


def test_an_empty_file_is_named(tmp_path):
    (tmp_path / "empty.npy").touch()
    [problem] = detector(tmp_path / "empty.npy").check()
    assert problem.endswith("empty.npy as NPY: it is empty")


def test_a_file_that_may_not_be_read_is_named(movie, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(type(movie), "open", refuse)
    [problem] = detector(movie).check()
    assert "movie.npy as NPY: PermissionError: [Errno 13] Permission denied" in problem


def test_a_key_that_means_nothing_is_refused(movie):
    [problem] = detector(movie, key="counts").check()
    assert "it holds one series of frames; key = 'counts' is none" in problem


def test_a_truncated_file_is_not_looped_for_ever(movie):
    movie.write_bytes(movie.read_bytes()[:-1])
    sink = play(movie, loop=True)
    assert sink.ends == [("failed", "movie.npy ends after 11 of 12 frames", 11)]


def test_a_closed_file_lets_go_of_its_map(movie):
    with open_frames(movie) as frames:
        pass
    assert len(frames._array) == 0


# pace ----------------------------------------------------------------------------


def test_without_fps_everything_is_due():
    assert Pace(None).due(12) == 12


def test_the_schedule_does_not_drift():
    clock = FakeClock()
    pace, sent = Pace(30, clock.now, clock.sleep), 0
    while sent < 300:
        due = pace.due(300)
        if due <= sent:
            pace.wait(sent)
            continue
        sent = due
        clock.time += 0.011  # a slow reader
    assert clock.time - 100.0 == pytest.approx(299 / 30 + 0.011, abs=1e-3)


def test_what_was_held_up_is_due_at_once():
    clock = FakeClock()
    pace = Pace(100, clock.now, clock.sleep)
    clock.time += 0.1005
    assert pace.due(1000) == 11


def test_a_slow_rate_still_looks_at_the_stop_every_50_ms():
    clock = FakeClock()
    Pace(0.1, clock.now, clock.sleep).wait(1)
    assert clock.slept == [0.05]


def test_at_a_high_rate_frames_travel_together():
    clock = FakeClock()
    pace = Pace(100_000, clock.now, clock.sleep)
    pace.wait(1)
    assert pace.due(1 << 20) in (100, 101)


def test_a_paced_file_takes_its_time_and_stamps_by_the_schedule(movie):
    began, wall = time.monotonic(), time.time_ns()
    sink = play(movie, fps=200)
    assert time.monotonic() - began >= 11 / 200
    stamps = sink.frames().timestamp_ns
    np.testing.assert_array_equal(np.diff(stamps), 5_000_000)
    assert 0 <= stamps[0] - wall < 1_000_000_000
    assert_delivers(sink, FRAMES)


def test_a_paced_file_stops_while_it_waits(movie):
    sink = MemorySink(stop_after_batches=1)
    began = time.monotonic()
    detector(movie, fps=0.01).run(sink)
    assert time.monotonic() - began < 5
    assert sink.ends == [("stopped", "the engine is asked to end", 1)]

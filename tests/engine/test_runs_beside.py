"""What lies beside the frames of a run: results, samples, the audit log's part."""

import json

import numpy as np
import pytest
from tests.engine.small_runs import T0_NS, Recording, batch, movie

import scopeside
from scopeside.collect import beside, files
from scopeside.collect.beside import Beside
from scopeside.control.audit import AuditLog
from scopeside.control.audit_check import Checker, lines_of
from scopeside.errors import RunError
from scopeside.publication import digest
from scopeside.result import Result, invalid
from scopeside.runs import audit, place


@pytest.fixture
def run(tmp_path):
    recording = Recording(tmp_path / "runs" / "m1.2", movie()).add(batch(0))
    (tmp_path / "engine").mkdir()
    place.tell(tmp_path / "engine", "m1", recording.folder)
    return recording


def image(value, used=1):
    return Result("bf", np.full((2, 3), float(value)), used=used, frame=used - 1)


def test_the_collector_learns_where_the_recorder_records(tmp_path, run):
    assert place.folder_of(tmp_path / "engine", "m1") == run.folder
    assert place.folder_of(tmp_path / "engine", "m2") is None
    other = tmp_path / "runs" / "m1.3"
    place.tell(tmp_path / "engine", "m1", other)
    assert place.folder_of(tmp_path / "engine", "m1") is None  # not made yet
    other.mkdir()
    assert place.folder_of(tmp_path / "engine", "m1") == other
    run.kill()


def test_results_are_read_as_they_are_now_while_the_run_grows(tmp_path, run):
    side = Beside(tmp_path / "engine", 1.0)
    with scopeside.open_run(run.folder) as opened:
        assert dict(opened.results) == {}
        side.write(run.acquisition, [("c", "virtual", image(1))])
        assert list(opened.results) == ["c.virtual.bf"]
        assert opened.results["c.virtual.bf"].data[0, 0] == 1
        side.write(run.acquisition, [("c", "virtual", image(2))])
        assert opened.results["c.virtual.bf"].data[0, 0] == 2
        with pytest.raises(KeyError):
            opened.results["../c.virtual.bf"]
        with pytest.raises(KeyError):
            opened.results["c.virtual.df"]
    run.kill()
    assert side.notes == []


def test_only_what_has_changed_is_written(tmp_path, run, monkeypatch):
    written = []
    whole = files.write
    monkeypatch.setattr(
        beside.files, "write", lambda *a: written.append(a[3].name) or whole(*a)
    )
    side = Beside(tmp_path / "engine", 1.0)
    still = Result("still", 1.0, "scalar")
    for value in (1, 1, 2):
        side.write(run.acquisition, [("c", "p", image(value)), ("c", "p", still)])
    assert written == ["bf", "still", "bf"]
    run.kill()


def test_writing_pauses_for_ten_times_what_it_took(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(beside.time, "monotonic", lambda: now[0])
    side = Beside(tmp_path, 5.0)
    assert side.due_in(102.0) == 3.0

    def slow():
        now[0] += 2.0
        yield "c", "p", image(1)

    monkeypatch.setattr(beside.place, "folder_of", lambda *_: tmp_path)
    side.write(movie(), slow())
    assert side.due_in(now[0]) == 20.0


def test_the_last_results_and_samples_are_there_when_it_is_closed(tmp_path, run):
    side = Beside(tmp_path / "engine", 1.0)
    side.write(run.acquisition, [("c", "virtual", image(1))])
    times, values = np.array([5, 7], np.int64), np.array([1.5, np.nan])
    results = [
        ("c", "virtual", image(1)),
        ("c", "nuclei", invalid("nuclei", "too few counts")),
        ("c", "nuclei", Result("count", {"n": 3}, "event")),
    ]
    samples = [("temperature", times, values)]
    assert side.close(run.acquisition, results, samples, "complete") == []
    folder = run.close()
    with scopeside.open_run(folder) as opened:
        assert len(opened.results) == 3
        assert opened.results["c.virtual.bf"].meta["chain"] == "c"
        assert digest(opened.results["c.virtual.bf"]) == digest(image(1))
        assert opened.results["c.nuclei.nuclei"].reason == "too few counts"
        assert opened.results["c.nuclei.count"].data == {"n": 3}
        found = opened.samples("temperature")
        np.testing.assert_array_equal(found[0], times)
        np.testing.assert_array_equal(found[1], values)
        with pytest.raises(KeyError):
            opened.samples("pressure")
        assert opened.verify() == []
    with np.load(folder / "results" / "c.virtual.bf.npz") as file:
        assert json.loads(str(file["meta"]))["state"] == "complete"


def test_a_mask_comes_back(tmp_path, run):
    mask = np.array([[True, False, True]])
    result = Result("bf", np.ones((1, 3)), mask=mask, used=2, axes=("y", "x"))
    Beside(tmp_path / "engine", 1.0).close(
        run.acquisition, [("c", "v", result)], [], "complete"
    )
    with scopeside.open_run(run.close()) as opened:
        np.testing.assert_array_equal(opened.results["c.v.bf"].mask, mask)


def test_a_damaged_result_is_named(tmp_path, run):
    Beside(tmp_path / "engine", 1.0).write(run.acquisition, [("c", "v", image(1))])
    path = run.folder / "results" / "c.v.bf.npz"
    path.write_bytes(path.read_bytes()[:-30])
    with (
        scopeside.open_run(run.folder) as opened,
        pytest.raises(RunError, match=r"c\.v\.bf\.npz cannot be read as a result"),
    ):
        opened.results["c.v.bf"]
    run.kill()


def test_results_that_cannot_be_written_are_a_problem_not_a_crash(tmp_path, run):
    (run.folder / "results").write_text("a file where the folder should be")
    side = Beside(tmp_path / "engine", 1.0)
    for value in (1, 2):
        side.write(run.acquisition, [("c", "v", image(value))])
    assert len(side.notes) == 1
    assert "c.v.bf could not be written beside the recording" in side.notes[0]
    problems = side.close(run.acquisition, [("c", "v", image(2))], [], "complete")
    assert len(problems) == 1
    run.kill()


def test_results_of_frames_that_nobody_records_are_a_problem(tmp_path):
    side = Beside(tmp_path, 1.0)
    assert "is not recorded" in side.close(movie(), [("c", "v", image(1))], [], "")[0]
    assert side.close(movie(), [("c", "v", image(1, used=0))], [], "") == []


# -- the audit log --------------------------------------------------------------------


@pytest.fixture
def log(tmp_path):
    opened = AuditLog.open(tmp_path / "audit.jsonl")
    yield opened
    opened.close()


def test_the_records_since_the_run_began_are_copied_as_they_are(tmp_path, log):
    log.append("event", {"text": "before"}, T0_NS)
    began = audit.begin("frames", str(log.path))
    log.append("event", {"text": "one"}, T0_NS)
    log.append("event", {"text": "two"}, T0_NS)
    (tmp_path / "m1").mkdir()
    said = audit.copy(tmp_path / "m1", began)
    copied = (tmp_path / "m1" / "audit.jsonl").read_bytes()
    assert log.path.read_bytes().endswith(copied)
    first, last = said["records"]
    assert (last - first, said["clock"]) == (1, "frames")
    assert (last, said["hash"]) == tuple(log.head)
    checker = Checker(after=None)
    lines = lines_of(tmp_path / "m1" / "audit.jsonl")
    assert [f for line in lines for f in checker.take(line)] + checker.end() == []


def test_a_line_that_is_being_written_is_not_copied_in_half(tmp_path, log):
    log.append("event", {"text": "whole"}, T0_NS)
    whole = log.path.read_bytes()
    (tmp_path / "m1").mkdir()
    half = {"clock": "wall", "log": str(log.path), "from_byte": len(whole) - 10}
    assert "records" not in audit.copy(tmp_path / "m1", half)
    log.path.write_bytes(whole + whole[:20])
    said = audit.copy(tmp_path / "m1", {**half, "from_byte": 0})
    assert (tmp_path / "m1" / "audit.jsonl").read_bytes() == whole
    assert said["records"][1] == log.head.n


def test_without_a_log_the_copy_is_empty(tmp_path):
    began = audit.begin("wall", str(tmp_path / "none.jsonl"))
    assert began["from_byte"] == 0
    (tmp_path / "m1").mkdir()
    said = audit.copy(tmp_path / "m1", began)
    assert said == {"clock": "wall", "audit": "audit.jsonl"}
    assert (tmp_path / "m1" / "audit.jsonl").read_bytes() == b""

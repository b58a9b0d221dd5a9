"""A file that grows, is rotated, cut short, or not there."""

import os

import pytest
from pydantic import ValidationError
from tests.adapters.channels.memory import MemoryChannelSink, running, until

from scopeside.errors import SourceError
from scopeside_adapters.channels.csv_file import CsvFile


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log.csv"


def csv_file(path, **more):
    table = {
        "path": path,
        "time": "t",
        "value": "T",
        "time_format": "epoch_ns",
        "poll_s": 0.002,
        **more,
    }
    return CsvFile(CsvFile.Params.model_validate(table))


def append(path, text):
    with path.open("a") as file:
        file.write(text)


def test_rows_are_taken_as_they_are_written(path):
    path.write_text("t,T\n1,10\n")
    with running(csv_file(path)) as sink:
        until(lambda: sink.found == [(1, 10.0)])
        append(path, "2,1")
        append(path, "1\n3,12\n")
        until(lambda: sink.found == [(1, 10.0), (2, 11.0), (3, 12.0)])
    assert sink.rejects == sink.notes == []


def test_a_file_that_is_not_there_yet_is_waited_for(path):
    with running(csv_file(path)) as sink:
        until(lambda: sink.notes)
        append(path, "t,T\n1,10\n")
        until(lambda: sink.found == [(1, 10.0)])
    assert sink.notes == [f"waits for {path}"]


def test_a_rotated_file_is_read_to_its_end_and_the_next_from_its_beginning(path):
    path.write_text("t,T\n1,10\n")
    with running(csv_file(path, poll_s=0.05)) as sink:
        until(lambda: sink.found)
        append(path, "2,11\n")
        path.rename(path.with_suffix(".old"))
        path.with_suffix(".new").write_text("T,t\n12,3\n")
        path.with_suffix(".new").rename(path)
        until(lambda: len(sink.found) == 3)
    assert sink.found == [(1, 10.0), (2, 11.0), (3, 12.0)]
    assert any("another file now" in n or "is gone" in n for n in sink.notes)


def test_a_file_that_has_shrunk_is_read_again(path):
    path.write_text("t,T\n1,10\n2,11\n")
    with running(csv_file(path)) as sink:
        until(lambda: len(sink.found) == 2)
        path.write_text("t,T\n3,12\n")
        until(lambda: len(sink.found) == 3)
    assert sink.found[-1] == (3, 12.0)
    assert "has shrunk" in sink.notes[0]


def test_of_a_long_file_only_the_end_is_read(path):
    rows = [f"{k},{k}\n" for k in range(1000)]
    path.write_text("t,T\n" + "".join(rows))
    with running(csv_file(path, history_kib=1)) as sink:
        until(lambda: sink.found and sink.found[-1] == (999, 999.0))
    assert 100 < len(sink.found) < 140  # rows of 8 bytes in 1024
    assert sink.rejects == []


def test_after_a_crash_it_goes_on_where_the_samples_are_kept(path):
    path.write_text("t,T\n1,10\n2,11\n3,12\n")
    with running(csv_file(path), MemoryChannelSink(since_ns=2)) as sink:
        until(lambda: sink.found)
    assert sink.found == [(3, 12.0)]


def test_rows_that_are_none_are_counted(path):
    path.write_text("t,T\nlate,10\n1,10\n")
    with running(csv_file(path)) as sink:
        until(lambda: sink.found)
    ((n, cause, message),) = sink.rejects
    assert (n, cause) == (1, "wrong_row")
    assert "late" in message


def test_a_heading_without_the_column_ends_the_source(path):
    path.write_text("t,p\n")
    with running(csv_file(path)) as sink:
        until(lambda: sink.error)
    assert isinstance(sink.error, SourceError)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_found_before(path):
    path.write_text("t,T\n")
    path.chmod(0)
    (problem,) = csv_file(path).check()
    assert "may not be read" in problem


def test_what_can_be_known_before_is_said(path, tmp_path):
    assert csv_file(path).check() == []
    path.write_text("t,p\n")
    (problem,) = csv_file(path).check()
    assert problem == f"{path}: there is no column 'T'; the heading has 't', 'p'"
    (problem,) = csv_file(tmp_path / "nowhere" / "log.csv").check()
    assert "there is no folder" in problem
    (problem,) = csv_file(tmp_path).check()
    assert "is a folder" in problem


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"time_format": "elapsed_s"}, "needs t0"),
        ({"t0": "2026-01-31"}, "t0 belongs to"),
        ({"delimiter": "."}, "cannot be the same"),
        ({"delimiter": ";;"}, "at most 1"),
        ({"timezone": "Mars/Base"}, "no time zone 'Mars/Base'"),
        ({"time": -1}, "greater than or equal to 0"),
        ({"value": ""}, "at least 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(path, more, says):
    with pytest.raises(ValidationError, match=says):
        csv_file(path, **more)

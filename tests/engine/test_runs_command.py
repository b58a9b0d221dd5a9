"""``scopeside runs``: list, show, verify, recover."""

import json

import pytest
from tests.engine.small_runs import T0_NS, Recording, batch, movie
from typer.testing import CliRunner

from scopeside.cli.main import app
from scopeside.cli.recorded import folder_of, size_in_words
from scopeside.errors import RunError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three runs: whole, killed, and one without a manifest."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    runs = tmp_path / "runs"
    windows = [[T0_NS, T0_NS + 10, ["nucleation.nuclei 3"]]]
    run = Recording(runs / "whole", movie("whole")).add(batch(0, 1)).lose(2, 4)
    run.close(windows=windows, pipeline_source="insitu.toml")
    Recording(runs / "killed", movie("killed")).add(batch(0)).kill()
    Recording(runs / "bare", movie("bare")).add(batch(0)).kill()
    (runs / "bare" / "manifest.json").unlink()
    (runs / "notes").mkdir()
    return runs


def told(*arguments):
    found = CliRunner().invoke(app, ["runs", *arguments])
    return found.exit_code, found.output


def test_runs_are_listed_with_what_matters(folder):
    code, text = told()
    assert code == 0
    assert "notes" not in text
    rows = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert rows["whole"].split()[-2:] == ["3", "1"]
    assert "complete" in rows["whole"]
    assert "never closed (scopeside runs recover)" in rows["killed"]
    assert "cannot be read" in rows["bare"]
    assert told("list")[1] == text


def test_the_list_is_there_for_programs(folder):
    code, text = told("list", "--json")
    found = {one["run"]: one for one in json.loads(text)}
    assert code == 0
    assert found["whole"]["frames"] == 2
    assert found["whole"]["lost"] == 3


def test_one_that_is_being_written_is_said_to_be_recorded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = Recording(tmp_path / "runs" / "m1", movie()).add(batch(0))
    assert "recording" in told()[1]
    run.kill()


def test_a_folder_without_runs_is_said_to_have_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert isinstance(CliRunner().invoke(app, ["runs"]).exception, RunError)
    (tmp_path / "runs").mkdir()
    assert told() == (0, "runs holds no recorded run\n")


def test_all_there_is_to_say_of_a_run_is_said(folder):
    code, text = told("show", "whole")
    assert code == 0
    for part in (
        "2 of 4×6 uint16",
        "2 to 4: disk_slow",
        "nucleation.nuclei 3",
        "insitu.toml",
        "0 to 1",
    ):
        assert part in text
    said = json.loads(told("show", "whole", "--json")[1])
    assert said["summary"]["frames"] == 2
    assert said["segments"][0]["name"] == "000000.seg"


def test_a_sound_run_is_said_to_be_sound(folder):
    assert told("verify", "whole") == (0, "runs/whole: sound\n")


def test_a_damaged_run_is_named_with_its_place(folder):
    path = folder / "whole" / "000000.seg"
    data = bytearray(path.read_bytes())
    data[-400] ^= 1
    path.write_bytes(data)
    code, text = told("verify", "whole")
    assert code == 1
    assert "000000.seg, record " in text
    assert "DAMAGED in 1 place\n" in text


def test_what_was_killed_is_restored_and_then_sound(folder):
    code, text = told("recover", "killed", "bare", "whole")
    assert code == 0
    assert "runs/killed: 1 frames in 2 records" in text
    assert told("verify", "killed", "bare", "whole")[0] == 0


def test_what_cannot_be_restored_does_not_keep_others_from_it(folder):
    run = Recording(folder / "live", movie("live")).add(batch(0))
    code, text = told("recover", "live", "killed")
    assert code == 1
    assert "runs/live is being written by another process" in text
    assert "runs/killed: 1 frames" in text
    run.kill()


def test_a_run_is_found_by_path_name_or_manifest(folder):
    assert folder_of("whole").name == "whole"
    assert folder_of(str(folder / "whole")) == folder / "whole"
    assert folder_of(str(folder / "whole" / "manifest.json")) == folder / "whole"
    with pytest.raises(RunError, match="there is no run nope"):
        folder_of("nope")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (2_500, "2 kB"),
        (1.5e6, "1.5 MB"),
        (9e15, "9000.0 TB"),
    ],
)
def test_sizes_are_told_as_a_person_reads_them(size, text):
    assert size_in_words(size) == text

"""An export is whole under its name or not there; what cannot be is refused before."""

from __future__ import annotations

import signal
from types import SimpleNamespace

import numpy as np
import pytest
from tests.runs_made import frames_of, times_of, write_run
from typer.testing import CliRunner

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.cli.exporting import range_of
from scopeside.cli.main import app, main
from scopeside.errors import ConfigError, PluginError, RunError
from scopeside.export import target
from scopeside.export.exporting import export
from scopeside.export.target import target_of
from scopeside.runs import manifest
from scopeside.runs.message import message_of
from scopeside.runs.writer import RunWriter
from scopeside.wire import Kind

KINDS = ["hspy", "zspy", "nexus", "zarr", "tiff", "npy", "npz", "mib"]
FRAMES = frames_of(40, (16, 16), "<u2")


@pytest.fixture
def run(tmp_path):
    index = np.arange(40)
    batch = Batch(FRAMES, index, times_of(index))
    acquisition = Acquisition("r-1", (16, 16), np.dtype("<u2"))
    return write_run(tmp_path / "runs" / "r-1", acquisition, [batch])


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


class Cancelled(Exception):
    pass


def cancel(done, total):
    raise Cancelled


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_of_an_export_that_is_cancelled(kind, run, out):
    with pytest.raises(Cancelled):
        export(run, kind, out, progress=cancel)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("kind", ["npy", "zarr"])
def test_what_was_there_stays_when_its_replacement_is_cancelled(kind, run, out):
    (path, *_) = export(run, kind, out).paths
    before = sorted(p.name for p in out.rglob("*"))
    with pytest.raises(Cancelled):
        export(run, kind, out, overwrite=True, progress=cancel)
    assert sorted(p.name for p in out.rglob("*")) == before
    assert path.exists()


@pytest.mark.parametrize("kind", ["npy", "zarr"])
def test_what_is_there_is_replaced_only_when_asked(kind, run, out):
    export(run, kind, out, frames=(0, 3))
    with pytest.raises(ConfigError, match="is there already; --overwrite replaces it"):
        export(run, kind, out)
    export(run, kind, out, overwrite=True)
    assert [p.name for p in out.iterdir() if p.name.startswith(".")] == []


def test_progress_reaches_the_whole(run, out):
    seen = []
    export(run, "npy", out, progress=lambda *told: seen.append(told))
    assert seen[-1] == (40, 40)
    assert seen == sorted(seen)


def test_a_disk_that_fills_up_is_an_error_and_nothing_is_left(run, out, monkeypatch):
    def full(done, total):
        raise OSError(28, "No space left on device")

    with pytest.raises(ConfigError, match=r"nothing is left: .*No space left"):
        export(run, "hspy", out, progress=full)
    assert list(out.iterdir()) == []


def test_a_disk_without_room_is_seen_before(run, out, monkeypatch):
    usage = SimpleNamespace(free=1000)
    monkeypatch.setattr(target.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ConfigError, match=r"may need \d+ bytes, and .* has 1000 free"):
        export(run, "npz", out)


@pytest.mark.parametrize("kind", ["hspy", "zarr"])
def test_room_is_asked_for_what_compressed_frames_take(
    kind, tmp_path, out, monkeypatch
):
    index = np.arange(40)
    flat = np.full((40, 256, 256), 7, "<u2")
    acquisition = Acquisition("flat", (256, 256), np.dtype("<u2"))
    batch = Batch(flat, index, times_of(index))
    run = write_run(tmp_path / "flat", acquisition, [batch])
    usage = SimpleNamespace(free=2_000_000)
    monkeypatch.setattr(target.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ConfigError, match="may need"):
        export(run, kind, out, settings={"compression": "none"})
    assert export(run, kind, out).paths[0].exists()


def test_an_unknown_format_is_named_with_a_near_one(run, out):
    with pytest.raises(PluginError, match=r"'hspi' is not known; did you mean 'hspy'"):
        export(run, "hspi", out)


def test_a_setting_that_the_format_does_not_have_is_named(run, out):
    with pytest.raises(ConfigError, match=r"export to mib\.chunk: key 'chunk'"):
        export(run, "mib", out, settings={"chunk": 4})


def test_pixels_that_merlin_does_not_have_are_refused(tmp_path, out):
    index = np.arange(2)
    batch = Batch(frames_of(2, (4, 4), "<f4"), index, times_of(index))
    acquisition = Acquisition("f", (4, 4), np.dtype("<f4"))
    run = write_run(tmp_path / "f", acquisition, [batch])
    with pytest.raises(ConfigError, match="these frames are float32: use hspy"):
        export(run, "mib", out)
    assert list(out.iterdir()) == []


def test_an_acquisition_whose_name_leads_elsewhere_is_refused(run, out):
    said = manifest.read(run)
    said["acquisition"]["id"] = "../../evil"
    manifest.write(run, said)
    with pytest.raises((ConfigError, RunError), match="acquisition id"):
        export(run, "npy", out)
    assert not list(out.parent.rglob("*evil*"))


def test_a_run_that_still_grows_is_exported_as_far_as_it_is(tmp_path, out):
    index = np.arange(40)
    acquisition = Acquisition("r-1", (16, 16), np.dtype("<u2"))
    said = message_of("r-1", Batch(FRAMES, index, times_of(index)), seq=0)
    where = {"n": 40, "first": 0, "last": 39, "t_ns": said.t_ns}
    writer = RunWriter.create(tmp_path / "grows", 1 << 20)
    try:
        told = {"state": "recording", "acquisition": acquisition.to_dict()}
        manifest.write(writer.folder, told)
        writer.append(Kind.BATCH, said.header, said.parts, **where)
        done = export(writer.folder, "npy", out)
    finally:
        writer.close()
    np.testing.assert_array_equal(np.load(done.paths[0]), FRAMES)
    assert "still being recorded" in done.notes[0]


def test_a_run_of_events_becomes_a_list_of_what_was_kept(tmp_path, out):
    index = np.array([3, 4, 900])
    batch = Batch(FRAMES[:3], index, times_of(index))
    acquisition = Acquisition("e", (16, 16), np.dtype("<u2"))
    record = {"mode": "on_event"}
    run = write_run(tmp_path / "e", acquisition, [batch], record=record)
    done = export(run, "npz", out)
    with np.load(done.paths[0]) as file:
        np.testing.assert_array_equal(file["data"], FRAMES[:3])
        assert file["index"].tolist() == [3, 4, 900]
    assert any("intervals between frames are not even" in note for note in done.notes)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("new", "new.hspy"),
        ("new.hspy", "new.hspy"),
        ("new.v2", "new.v2.hspy"),
        (".", "a.1.hspy"),
    ],
)
def test_where_it_goes(given, expected, tmp_path):
    assert target_of(tmp_path / given, "a.1", ".hspy") == tmp_path / expected


@pytest.mark.parametrize("text", ["", "5", "a:b", "1:2:3", "-1:4", "1 : 2", "²:3"])
def test_a_range_that_is_none_is_refused(text):
    with pytest.raises(ConfigError, match="expected A:B"):
        range_of(text)


def test_a_range_may_be_open():
    assert [range_of(text) for text in ("2:5", ":5", "2:")] == [
        (2, 5),
        (None, 5),
        (2, None),
    ]


# -- the command ---------------------------------------------------------------------


def test_the_command_says_what_it_wrote_and_what_is_absent(run, out):
    said = CliRunner().invoke(
        app,
        ["export", str(run), "--to", "npz", "--out", str(out), "--frames", "30:"],
    )
    assert said.exit_code == 0, said.output
    assert "30 recorded frames are left out, as --frames says" in said.output
    assert f"written: {out / 'r-1.npz'}" in said.output.replace("\n", "")


def test_where_there_is_no_terminal_progress_is_lines(run, out, monkeypatch):
    from scopeside.cli import exporting

    monkeypatch.setattr(exporting, "LINE_EVERY_S", 0.0)
    said = CliRunner().invoke(
        app, ["export", str(run), "--to", "npy", "--out", str(out)]
    )
    assert "export to npy: 40 of 40\n" in said.output


def test_the_command_without_a_format_says_what_to_do(run, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["export", str(run)])
    assert ended.value.code == 2
    assert "--to FORMAT" in capsys.readouterr().err


def test_sigterm_leaves_nothing_either(run, out, monkeypatch):
    from scopeside.cli import exporting

    def stopped(*args, progress, **more):
        return export(*args, progress=lambda *_: signal.raise_signal(15), **more)

    monkeypatch.setattr(exporting, "export", stopped)
    with pytest.raises(SystemExit) as ended:
        main(["export", str(run), "--to", "zarr", "--out", str(out)])
    assert ended.value.code == 130
    assert list(out.iterdir()) == []

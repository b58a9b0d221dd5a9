"""The run's folder is private, goes with the process, and harms nobody else's."""

import os
import stat
import subprocess
import sys

import pytest

from scopeside import runfolder
from scopeside.errors import EngineError, EngineNotFoundError
from scopeside.runfolder import RunFolder, remove_stale, running, the_running


@pytest.fixture(autouse=True)
def above(short_path, monkeypatch):
    monkeypatch.setenv("SCOPESIDE_RUN", str(short_path))
    return short_path / "scopeside"


@pytest.fixture
def dead_pid():
    return (
        subprocess.run(
            [sys.executable, "-c", "import os; print(os.getpid())"],
            capture_output=True,
            check=True,
        )
        .stdout.decode()
        .strip()
    )


def left(above, name, *, lock=True):
    path = above / name
    path.mkdir(parents=True)
    above.chmod(0o700)
    if lock:
        (path / "lock").touch()
    return path


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_it_is_closed_to_others(above):
    with RunFolder() as folder:
        assert (mode(folder.path), mode(above)) == (0o700, 0o700)
        assert folder.path.name.startswith(f"{os.getpid()}-")


def test_it_goes_with_the_engine():
    with RunFolder() as folder:
        (folder.path / "socket").touch()
    assert not folder.path.exists()


@pytest.mark.parametrize("lock", [True, False])
def test_what_a_dead_engine_left_is_removed(above, dead_pid, lock):
    path = left(above, f"{dead_pid}-abc", lock=lock)
    with RunFolder():
        assert not path.exists()


def test_a_living_engine_keeps_its_folder():
    with RunFolder() as first, RunFolder() as second:
        remove_stale()
        assert first.path.exists()
        assert list(running()) == [first.path, second.path]
        assert the_running() == second.path


def test_the_one_that_was_started_last_is_so_whatever_an_older_one_opens():
    with RunFolder() as first, RunFolder() as second:
        os.utime(second.path, ns=(0, 0))
        (first.path / "tee-2").touch()
        assert the_running() == second.path


def test_a_folder_that_is_just_being_made_is_kept(above):
    path = left(above, f"{os.getpid()}-new", lock=False)
    other = left(above, f"{os.getpid()}-newer")  # made, and not locked yet
    remove_stale()
    assert path.exists()
    assert other.exists()
    assert list(running()) == []


@pytest.mark.parametrize("name", ["data", "12", "2026-07-01", "x-1", ".git"])
def test_what_no_engine_has_made_is_never_touched(above, name):
    path = left(above, name, lock=False)
    (path / "precious").touch()
    remove_stale()
    assert (path / "precious").exists()


def test_an_open_folder_is_refused(above):
    above.mkdir()
    above.chmod(0o755)
    with pytest.raises(
        EngineError, match=r"scopeside must be a folder of yours .*chmod 700"
    ):
        RunFolder()


def test_a_folder_of_somebody_else_is_refused(above, monkeypatch):
    monkeypatch.setattr(runfolder.os, "getuid", lambda: 12345)
    with pytest.raises(EngineError, match="must be a folder of yours"):
        RunFolder()


def test_a_link_is_refused(above, tmp_path):
    (tmp_path / "home").mkdir(mode=0o700)
    above.symlink_to(tmp_path / "home")
    with pytest.raises(EngineError, match="must be a folder of yours"):
        RunFolder()


def test_without_an_engine_none_is_found():
    with pytest.raises(
        EngineNotFoundError, match="no scopeside engine of yours is running"
    ):
        the_running()


def test_a_path_too_long_for_sockets_is_refused_in_words(short_path, monkeypatch):
    long = short_path / ("x" * 80)
    monkeypatch.setenv("SCOPESIDE_RUN", str(long))
    with pytest.raises(EngineError, match="too long a path for sockets"):
        RunFolder()

"""What becomes a path: names from the wire stay in their folder, sockets in theirs."""

import re
from pathlib import Path

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.hostile import acquisition

from scopeside import runfolder
from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.cli.main import main
from scopeside.collect import files
from scopeside.errors import ConfigError, EngineError, ShapeError
from scopeside.ingest import quarantine
from scopeside.messages import validate
from scopeside.result import Result
from scopeside.runfolder import RunFolder, root, the_running
from scopeside.security.filename import LONGEST, file_name
from scopeside.settings import ChannelSettings, RawChain

EVIL = [
    "..",
    ".",
    "",
    "../up",
    "a/b",
    "a\\b",
    "/etc/passwd",
    "a\0b",
    "a\nb",
    "-rf",
    ".hidden",
    "a b",
    "C:evil",
    "x" * 65,
    "Ünïcode",
    "%2e%2e",
]


@pytest.mark.parametrize("name", EVIL)
def test_an_acquisition_with_such_a_name_is_refused(name):
    said = acquisition().to_dict()
    with pytest.raises(ShapeError, match="an acquisition id has 1 to 64 letters"):
        Acquisition.from_dict(msgpack.unpackb(msgpack.packb({**said, "id": name})))


@given(st.text(max_size=70))
def test_an_id_that_is_taken_names_a_folder_below_its_own(name):
    try:
        found = Acquisition.from_dict({**acquisition().to_dict(), "id": name})
    except ShapeError:
        return
    assert (Path("/runs") / found.id).resolve().parent == Path("/runs")


@pytest.mark.parametrize("name", [*EVIL[:-3], "x" * 33])
def test_a_chain_or_channel_with_such_a_name_is_refused(name):
    step = {"processor": [{"kind": "sum"}]}
    with pytest.raises(ConfigError, match="expected a letter, then at most 31"):
        validate(RawChain, {"name": name, **step}, where="chain[0]")
    channel = {"name": name, "kind": "csv", "tolerance_s": 1.0}
    with pytest.raises(ConfigError, match="expected a letter, then at most 31"):
        validate(ChannelSettings, channel, where="channel[0]")


@given(st.lists(st.text(max_size=30), min_size=1, max_size=3))
def test_a_file_name_stays_in_its_folder(parts):
    try:
        name = file_name(*parts, suffix=".npz")
    except ValueError:
        return
    assert (Path("/results") / name).resolve() == Path("/results") / name
    assert not name.startswith(".")
    assert "\0" not in name
    assert len(name.encode()) <= LONGEST


@given(st.text(max_size=10), st.text(max_size=10))
def test_two_names_never_become_one(one, two):
    assert (file_name("c", one) == file_name("c", two)) == (one == two)


def test_usual_names_stay_as_they_are():
    assert file_name("stem", "virtual", "bf", suffix=".npz") == "stem.virtual.bf.npz"


def test_a_result_whose_name_leads_elsewhere_is_written_into_its_folder(tmp_path):
    folder = tmp_path / "results"
    result = Result("../../up", np.eye(2))
    path = files.write(folder, "stem", "virtual", result, {})
    assert path.name == "stem.virtual...%2F..%2Fup.npz"
    assert [*folder.iterdir()] == [path]
    assert [*tmp_path.iterdir()] == [folder]


def test_a_batch_is_kept_in_the_quarantine_folder(tmp_path):
    batch = Batch(np.zeros((1, 2, 2), "u1"), np.arange(1), np.zeros(1, np.int64))
    path = quarantine.write(tmp_path / "q", "../../up", "stem", batch)
    assert path.parent == tmp_path / "q"
    assert [*tmp_path.iterdir()] == [tmp_path / "q"]


def test_a_name_that_is_too_long_is_refused():
    with pytest.raises(ValueError, match="cannot be the name of a file"):
        file_name("x" * 300)


# -- the folder of the sockets --------------------------------------------------------


@pytest.fixture
def above(short_path, monkeypatch):
    monkeypatch.setenv("SCOPESIDE_RUN", str(short_path))
    return short_path / "scopeside"


CLOSED = "must be a folder of yours that is closed to others (chmod 700)"


@pytest.mark.parametrize("mode", [0o755, 0o710, 0o777, 0o1777])
def test_a_folder_that_is_open_to_others_gets_no_sockets(above, mode):
    above.mkdir()
    above.chmod(mode)
    for use in (RunFolder, the_running):
        with pytest.raises(EngineError) as refused:
            use()
        assert str(refused.value) == f"{above} {CLOSED}"


def test_a_link_that_was_laid_there_leads_nobody(above, short_path):
    (short_path / "elsewhere").mkdir(0o700)
    above.symlink_to(short_path / "elsewhere")
    for use in (RunFolder, the_running):
        with pytest.raises(EngineError, match=re.escape(CLOSED)):
            use()
    assert not [*(short_path / "elsewhere").iterdir()]


def test_a_folder_that_anybody_could_put_aside_gets_no_sockets(above, short_path):
    above.mkdir(0o700)
    short_path.chmod(0o777)
    said = f"everybody may rename what is in {short_path}, so also {above}: take that"
    for use in (RunFolder, the_running):
        with pytest.raises(EngineError, match=re.escape(said)):
            use()
    short_path.chmod(0o1777)  # as /tmp is: only its owner may rename a thing
    with RunFolder():
        pass


def test_also_where_a_link_on_the_way_leads_through_such_a_folder(
    short_path, monkeypatch
):
    (short_path / "open").mkdir()
    (short_path / "open" / "run").mkdir(0o700)
    (short_path / "open").chmod(0o777)
    (short_path / "run").symlink_to(short_path / "open" / "run")
    monkeypatch.setenv("SCOPESIDE_RUN", str(short_path / "run"))
    with pytest.raises(EngineError, match=r"everybody may rename what is in .*/open"):
        RunFolder()


def test_a_file_in_place_of_the_folder_is_refused(above):
    above.touch(0o600)
    with pytest.raises((EngineError, FileExistsError)):
        RunFolder()


def test_the_environment_names_the_folder_and_what_is_no_folder_is_passed_over(
    short_path, monkeypatch
):
    monkeypatch.delenv("SCOPESIDE_RUN", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_path))
    assert root() == short_path / "scopeside"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_path / "none"))
    assert root().name == f"scopeside-{runfolder.os.getuid()}"


def test_the_operator_reads_one_line(above, capsys):
    above.mkdir()
    above.chmod(0o755)
    with pytest.raises(SystemExit):
        main(["status"])
    assert CLOSED in capsys.readouterr().err.replace("\n", " ")

"""The key folder: who is in it, what each may do, and what of it is refused."""

import os

import pytest
import zmq.auth
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from scopeside.cli.main import app
from scopeside.errors import ConfigError
from scopeside.security import ring
from scopeside.security.keys import read_passport, read_secret, write_pair
from scopeside.security.ring import ROLES, Ring, admit, own_pair, read, remove


@pytest.fixture
def folder(tmp_path):
    admit(tmp_path / "keys", "camera", ["ingest"])
    admit(tmp_path / "keys", "laptop", ["observe", "propose"])
    return tmp_path / "keys"


class Clock:
    now = 0.0

    def __call__(self):
        return self.now

    def pass_by(self, ring):
        """So long that a ring looks twice."""
        for _ in range(2):
            self.now += 1.0
            assert ring.programs is not None


def mode(path):
    return path.stat().st_mode & 0o777


def command(*words):
    return CliRunner().invoke(app, ["keys", *map(str, words)])


def test_everything_in_it_is_closed_to_others_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        admit(tmp_path / "keys", "camera", ["ingest"])
    finally:
        os.umask(before)
    assert mode(tmp_path / "keys") == 0o700
    found = {path.name: mode(path) for path in (tmp_path / "keys").iterdir()}
    assert found.pop("engine.key") == 0o644  # it may be shown
    assert found == dict.fromkeys(
        ["engine.key_secret", "camera.key", "camera.key_secret"], 0o600
    )


def test_a_program_is_in_it_with_its_roles(folder):
    camera, laptop = read(folder)
    assert (camera.name, camera.roles) == ("camera", {"ingest"})
    assert laptop.roles == {"observe", "propose"}
    assert read_secret(folder / "camera.key_secret").public == camera.key


def test_a_program_s_file_says_which_engine_it_is_for(folder):
    passport = read_passport(folder / "camera.key_secret")
    assert passport.server == own_pair(folder).public
    public, secret = zmq.auth.load_certificate(folder / "camera.key_secret")
    assert (public, secret) == tuple(key.encode() for key in passport.pair)


def test_a_file_that_names_no_engine_cannot_be_used_to_connect(tmp_path):
    path = write_pair("blue", tmp_path)[2]
    with pytest.raises(ConfigError, match=r"does not say which engine.*--role ROLE"):
        read_passport(path)


@pytest.mark.parametrize("closed", [0o755, 0o750, 0o701, 0o770])
def test_a_key_folder_that_is_open_to_others_is_refused(folder, closed):
    folder.chmod(closed)
    said = rf"key folder .* has mode 0{closed:o}.*yours and 0700: others could let"
    for use in (read, own_pair, lambda f: admit(f, "x", ["hold"])):
        with pytest.raises(ConfigError, match=said):
            use(folder)


def test_a_link_to_a_key_folder_is_refused(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(ConfigError, match="must be a folder of yours and 0700"):
        read(tmp_path / "link")


@pytest.mark.parametrize("name", ["camera.key", "engine.key_secret"])
def test_a_file_that_others_can_read_is_refused(folder, name):
    (folder / name).chmod(0o644)
    with pytest.raises(ConfigError, match=r"has mode 0644.*must be yours and 0600"):
        own_pair(folder) and read(folder)


def test_a_folder_that_is_not_there_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigError, match="scopeside keys new NAME --role ROLE makes"):
        read(tmp_path / "none")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('roles = "ingest"', 'roles = "king"', "roles are of ingest, observe"),
        ('roles = "ingest"', 'roles = ""', "roles are of ingest, observe"),
        ('roles = "ingest"', "", "one line roles and one line public-key"),
        ("public-key", "public", "one line roles and one line public-key"),
        ('public-key = "', 'public-key = "~', "a key has 40 characters"),
    ],
)
def test_a_file_that_cannot_be_is_refused_by_name(folder, old, new, said):
    path = folder / "camera.key"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ConfigError, match=rf"camera\.key: .*{said}"):
        read(folder)


def test_two_programs_with_one_key_are_refused(folder):
    text = (folder / "camera.key").read_text()
    (folder / "laptop.key").write_text(text)
    with pytest.raises(ConfigError, match="two programs have the key of camera"):
        read(folder)


@given(st.binary(max_size=200))
def test_garbage_in_a_key_file_is_an_error_in_words(tmp_path_factory, junk):
    folder = tmp_path_factory.mktemp("g") / "keys"
    folder.mkdir(0o700)
    path = folder / "x.key"
    path.touch(0o600)
    path.write_bytes(junk)
    with pytest.raises(ConfigError, match=r"x\.key"):
        read(folder)


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".x", "x" * 41, "a b"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match="a name has 1 to 40 letters"):
        admit(tmp_path / "keys", name, ["hold"])
    assert not (tmp_path / "up.key_secret").exists()


def test_a_role_that_there_is_not_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"a role is one of ingest.*not 'king'"):
        admit(tmp_path / "keys", "x", ["king"])
    assert not (tmp_path / "keys").exists()


def test_nobody_is_called_as_the_engine_or_twice(folder):
    with pytest.raises(ConfigError, match="'engine' is the engine itself"):
        admit(folder, "engine", ["hold"])
    with pytest.raises(ConfigError, match="is there already"):
        admit(folder, "camera", ["observe"])
    assert read(folder)[0].roles == {"ingest"}


def test_who_is_removed_is_gone_with_both_files(folder):
    key = read(folder)[0].key
    gone = {path.name for path in remove(folder, "camera")}
    assert gone == {"camera.key", "camera.key_secret"}
    assert key not in {program.key for program in read(folder)}
    with pytest.raises(ConfigError, match=r"no program 'camera' in .*there: laptop"):
        remove(folder, "camera")


@pytest.mark.parametrize("name", ["engine", "../keys/laptop", ""])
def test_neither_the_engine_nor_anything_elsewhere_is_removed(folder, name):
    with pytest.raises(ConfigError, match="no program"):
        remove(folder, name)
    assert len(list(folder.iterdir())) == 6


# -- as it is now ----------------------------------------------------------------------


def test_a_ring_knows_those_who_have_the_role_and_nobody_else(folder):
    found = Ring(folder, {"ingest"})
    camera, laptop = read(folder)
    assert found.name_of(camera.key) == "camera"
    assert found.knows("camera")
    assert found.name_of(laptop.key) is None
    assert found.name_of(own_pair(folder).public) is None
    assert not found.knows("laptop")


def test_who_is_added_is_known_and_who_is_removed_is_not_within_a_second(folder):
    clock = Clock()
    found = Ring(folder, {"ingest"}, clock)
    admit(folder, "second", ["ingest"])
    remove(folder, "camera")
    assert found.knows("camera")
    clock.pass_by(found)
    assert found.knows("second")
    assert not found.knows("camera")


def test_a_role_that_is_taken_away_is_noticed(folder):
    clock = Clock()
    found = Ring(folder, {"ingest"}, clock)
    path = folder / "camera.key"
    path.write_text(path.read_text().replace("ingest", "observe"))
    clock.pass_by(found)
    assert not found.knows("camera")


def test_where_the_folder_is_opened_to_others_nobody_is_known_any_more(folder):
    clock = Clock()
    found = Ring(folder, {"ingest"}, clock)
    folder.chmod(0o755)
    clock.now += 1.0
    assert found.knows("camera")  # it may be in the midst of being changed
    clock.pass_by(found)
    assert not found.knows("camera")
    assert "nobody is let in: the key folder" in found.problem
    folder.chmod(0o700)
    clock.pass_by(found)
    assert found.knows("camera")
    assert found.problem == ""


def test_a_folder_with_too_many_keys_is_refused(folder, monkeypatch):
    monkeypatch.setattr(ring, "MOST_KEYS", 2)
    with pytest.raises(ConfigError, match="holds more than 2 keys"):
        read(folder)


# -- the commands ----------------------------------------------------------------------


def test_the_commands_make_list_and_remove(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = command("new", "cam", "--role", "ingest", "--role", "observe")
    assert made.exit_code == 0
    assert "cam is let in by keys (ingest observe)" in made.output
    assert own_pair(tmp_path / "keys").public in made.output
    assert read_secret(tmp_path / "keys/cam.key_secret").secret not in made.output
    (line,) = command("list").output.splitlines()
    assert line.split()[0] == "cam"
    assert line.endswith("ingest observe")
    gone = command("remove", "cam")
    assert "keys/cam.key_secret is removed" in gone.output
    assert "cam is let in no more; engines that run cut its links" in gone.output
    assert command("list").output == ""


def test_a_role_that_nothing_asks_for_yet_says_so(tmp_path):
    said = command("new", "cam", tmp_path / "keys", "--role", "configure").output
    assert "nothing asks for this role yet; parameters are set on the engine's" in said


def test_every_role_is_named_where_one_asks_for_help():
    said = command("new", "--help").output
    for role in ROLES:
        assert role in said

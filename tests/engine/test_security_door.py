"""The door with a key folder: its programs come and go without a restart."""

import time
from contextlib import ExitStack

import pytest

from scopeside.control.client import GuardClient
from scopeside.control.door import Door
from scopeside.control.door_settings import DoorSettings
from scopeside.errors import ConfigError
from scopeside.messages import validate
from scopeside.security import entrance, ring
from scopeside.security.keys import write_pair
from scopeside.security.ring import admit, own_pair, read, remove
from scopeside.wire import Kind

PATIENCE_S = 20.0


class House:
    def __init__(self, folder, stack):
        self.keys, self.stack = folder / "keys", stack
        admit(self.keys, "blue", ["propose", "observe"])
        admit(self.keys, "stop", ["hold"])
        admit(self.keys, "cam", ["ingest"])
        self.listed = write_pair("desk", folder)[0]
        self.settings = DoorSettings(
            endpoint="tcp://127.0.0.1:0",
            keys=self.keys,
            clients=[{"name": "desk", "key": self.listed.public, "roles": ["arm"]}],
        )
        self.door = stack.enter_context(Door(self.settings))

    def client(self, name, folder=None):
        return self.stack.enter_context(
            GuardClient(
                self.door.endpoint,
                own_pair(self.keys).public,
                (folder or self.keys) / f"{name}.key_secret",
                name=name,
                timeout_s=1.0,
            )
        )

    def ask(self, client, ask):
        client._link.send(Kind.ASK, {"ask": ask, "id": "1"})

    def hear(self):
        ends = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends:
            self.door.socket.poll(10)
            if heard := self.door.receive():
                return heard
        return None

    def told(self):
        ends = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends:
            self.door.socket.poll(10)
            self.door.receive()
            if told := self.door.told():
                return told
        return []


@pytest.fixture
def house(tmp_path, monkeypatch):
    monkeypatch.setattr(ring, "LOOK_S", 0.0)
    monkeypatch.setattr(entrance, "MIND_S", 0.0)
    with ExitStack() as stack:
        yield House(tmp_path, stack)


def test_those_of_the_folder_and_those_of_the_file_come_in(house, tmp_path):
    house.ask(house.client("stop"), "hold")
    assert house.hear().client == "door:stop"
    house.ask(house.client("desk", tmp_path), "hold")
    heard = house.hear()
    assert (heard.client, heard.roles) == ("door:desk", {"arm"})


def test_a_role_for_frames_opens_no_door(house):
    house.ask(house.client("cam"), "hold")
    (said,) = house.told()
    assert said == (
        "door: a program at 127.0.0.1 came with a key that [control.door] does not "
        "name; it was not let in"
    )


def test_what_a_program_may_follows_the_folder(house):
    blue = house.client("blue")
    house.ask(blue, "status")
    assert house.hear().roles == {"propose", "observe"}
    path = house.keys / "blue.key"
    path.write_text(path.read_text().replace("observe propose", "hold"))
    house.ask(blue, "hold")
    assert house.hear().roles == {"hold"}


def test_who_is_removed_is_cut_off_and_the_operator_reads_it(house):
    house.ask(house.client("blue"), "status")
    assert house.hear()
    remove(house.keys, "blue")
    assert house.told() == ["door: the key of blue is withdrawn; its link is cut"]
    assert "blue" not in house.door.status()["clients"]


def test_who_is_added_comes_in(house):
    admit(house.keys, "new", ["hold"])
    house.ask(house.client("new"), "hold")
    assert house.hear().client == "door:new"


def test_nobody_of_the_folder_can_be_called_as_one_of_the_file(house):
    admit(house.keys, "desk", ["unblank", "arm", "hold"])
    with pytest.raises(ConfigError, match="'desk' is among the clients and in the key"):
        Door(house.settings)
    # Nor in the door that is open already.
    desk = next(one for one in read(house.keys) if one.name == "desk")
    assert house.door._programs.name_of(desk.key) is None
    assert house.door._programs.name_of(house.listed.public) == "desk"


def test_a_door_for_nobody_is_refused():
    with pytest.raises(ConfigError, match=r"nobody may come in: name clients, or keys"):
        validate(DoorSettings, {"endpoint": "tcp://127.0.0.1:0"}, where="control.door")

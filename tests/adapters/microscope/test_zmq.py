"""The control adapter of the control wire, against peers good and bad."""

import threading
import time
from pathlib import Path

import msgpack
import pytest
import zmq.auth
from tests.adapters.microscope.peer import Peer
from zmq.auth.thread import ThreadAuthenticator

from scopeside.control.instrument import Call
from scopeside.control.trial import opened
from scopeside.errors import ConfigError, InstrumentError
from scopeside.messages import validate
from scopeside.plugins import instrument_class
from scopeside_adapters.microscope.zmq import ZmqControl, ZmqControlParams

DEFOCUS = Call("set_defocus", {"defocus_m": 1e-6})
BLANK = Call("blank", {"on": True})
ACTIONS = ["set_defocus", "blank", "place_beam"]


class Microscope:
    """Answers as the control wire asks for; `lies` change its answers."""

    def __init__(self):
        self.values = {"defocus_m": 0.0, "blanked": False}
        self.session = "first"
        self.clock_ahead_ns = 0
        self.lies = {}
        self.commands = []

    def __call__(self, request):
        asked = msgpack.unpackb(request)
        said = {"v": 1, "id": asked["id"], "ok": True, "reason": ""}
        said["session"] = self.session
        match asked["ask"]:
            case "hello":
                now_ns = time.time_ns() + self.clock_ahead_ns
                said |= {"name": "EM", "actions": ACTIONS, "now_ns": now_ns}
            case "read":
                said |= {"values": self.values}
            case "command":
                self.commands.append(asked)
                said |= self.carry_out(asked)
        return msgpack.packb(said | self.lies)

    def carry_out(self, asked):
        if asked["session"] != self.session and asked["action"] != "blank":
            return {"ok": False, "reason": "another session"}
        if asked["action"] == "set_defocus":
            self.values["defocus_m"] = asked["fields"]["defocus_m"]
        return {"answer": {"took_s": 0.1}}


@pytest.fixture
def microscope():
    return Microscope()


@pytest.fixture
def peer(microscope):
    with Peer(microscope) as peer:
        yield peer


def to(peer, **more):
    table = {"endpoint": peer.endpoint, "actions": ["set_defocus", "blank"], **more}
    return ZmqControl(ZmqControlParams.model_validate(table))


def test_it_is_found_by_its_kind():
    assert instrument_class("zmq") is ZmqControl


def test_a_command_is_carried_out_and_read_back(peer):
    with opened(lambda: to(peer)) as instrument:
        assert instrument.act(DEFOCUS) == {"took_s": 0.1}
        values = instrument.read().values
    assert values == {"defocus_m": 1e-6, "blanked": False, "session": "first"}


def test_a_deadline_is_by_the_clock_of_the_microscope(peer, microscope):
    microscope.clock_ahead_ns = 3600 * 10**9
    with opened(lambda: to(peer, act_s=10)) as instrument:
        instrument.act(DEFOCUS)
    left_s = (microscope.commands[0]["deadline_ns"] - time.time_ns()) / 1e9
    assert 3600 - 10 < left_s < 3600 + 10 + 1


def test_what_it_does_not_offer_is_told_at_once(peer):
    instrument = to(peer, actions=["blank", "move_stage"])
    with pytest.raises(InstrumentError, match=r"\(EM\) does not offer move_stage; it"):
        instrument.open()
    assert "does not offer move_stage" in instrument.check()[0]
    with pytest.raises(InstrumentError, match="not connected"):
        instrument.read()


def test_what_is_not_in_the_pipeline_file_is_not_asked_for(peer, microscope):
    with (
        opened(lambda: to(peer)) as instrument,
        pytest.raises(InstrumentError, match="action 'place_beam' is not known"),
    ):
        instrument.act(Call("place_beam", {"points": [(0.0, 0.0)], "dwell_s": 1.0}))
    assert microscope.commands == []


def test_check_finds_nothing_wrong_with_a_good_peer(peer):
    assert to(peer).check() == []


def test_a_refusal_is_told_in_the_words_of_the_peer(peer, microscope):
    with opened(lambda: to(peer)) as instrument:
        microscope.lies = {"ok": False, "reason": "the stage is locked"}
        with pytest.raises(InstrumentError, match="refused: the stage is locked"):
            instrument.act(DEFOCUS)


def test_one_that_says_it_is_done_and_is_not_is_seen_when_it_is_read(peer, microscope):
    microscope.carry_out = lambda asked: {}
    with opened(lambda: to(peer)) as instrument:
        instrument.act(DEFOCUS)
        assert instrument.read().number("defocus_m") == 0.0


def test_one_that_was_started_anew_refuses_until_it_was_read(peer, microscope):
    with opened(lambda: to(peer)) as instrument:
        microscope.session = "second"
        with pytest.raises(InstrumentError, match="another session"):
            instrument.act(DEFOCUS)
        instrument.act(BLANK)
        assert instrument.read().values["session"] == "second"
        instrument.act(DEFOCUS)


@pytest.mark.parametrize(
    "lies", [{"v": 2}, {"id": "x"}, {"values": {"x": float("inf")}}, {"ok": "yes"}]
)
def test_nonsense_is_an_error_that_names_the_microscope(peer, microscope, lies):
    with opened(lambda: to(peer)) as instrument:
        microscope.lies = lies
        with pytest.raises(InstrumentError, match=r"the microscope at tcp://127"):
            instrument.read()
        microscope.lies = {}
        assert instrument.read().values["session"] == "first"


@pytest.mark.parametrize("data", [b"", b"\xc1", b"garbage", bytes(5000)])
def test_garbage_is_an_error_in_words(data):
    with Peer(lambda request: data) as peer:
        assert "the microscope at" in to(peer).check()[0]


def test_a_silent_peer_is_told_and_its_command_is_not_sent_again(peer, microscope):
    with opened(lambda: to(peer, act_s=0.1)) as instrument:
        peer.reply = lambda request: None
        with pytest.raises(InstrumentError, match=r"did not answer within 0\.1 s"):
            instrument.act(DEFOCUS)
        peer.reply = microscope
        assert instrument.read().number("defocus_m") == 0.0
    assert microscope.commands == []


def test_a_slow_peer_is_waited_for(peer, microscope):
    release = threading.Event()

    def slow(request):
        release.wait(10)
        return microscope(request)

    with opened(lambda: to(peer)) as instrument:
        peer.reply = slow
        threading.Timer(0.1, release.set).start()
        assert instrument.act(DEFOCUS) == {"took_s": 0.1}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"endpoint": "tcp://em-3:5700"}, "not of this machine"),
        ({"endpoint": "tcp://10.0.0.7:5700"}, "do not travel in the clear"),
        ({"endpoint": "tcp://localhost:5700"}, "not of this machine"),
        ({"endpoint": "tcp://127.0.0.1:0"}, "tcp://HOST:PORT"),
        ({"endpoint": "tcp://*:5700"}, "tcp://HOST:PORT"),
        ({"endpoint": "inproc://a"}, "tcp://HOST:PORT"),
        ({"actions": []}, "actions"),
        ({"actions": ["blnk"]}, "did you mean 'blank'"),
        ({"server_key": "x" * 40}, "go together"),
        ({"server_key": "x" * 39, "own_keys": "a.key_secret"}, "has 40 characters"),
        ({"server_key": "~" * 40, "own_keys": "a.key_secret"}, "no key in Z85"),
    ],
)
def test_what_cannot_be_is_refused_by_name(table, words):
    good = {"endpoint": "tcp://127.0.0.1:5700", "actions": ["blank"]}
    with pytest.raises(ConfigError, match=words):
        validate(ZmqControlParams, {**good, **table})


# -- keys -----------------------------------------------------------------------------


@pytest.fixture
def keys(tmp_path):
    """Public key and file of keys of the microscope, of us, and of a stranger."""
    found = {}
    for name in ("microscope", "us", "stranger"):
        _, path = zmq.auth.create_certificates(tmp_path, name)
        found[name] = (zmq.auth.load_certificate(path)[0].decode(), path)
    return found


@pytest.fixture
def secure_peer(microscope, keys, tmp_path):
    friends = tmp_path / "friends"
    friends.mkdir()
    (tmp_path / "us.key").rename(friends / "us.key")
    guards = []

    def secure(socket):
        guard = ThreadAuthenticator(socket.context)
        guard.start()
        guards.append(guard)
        guard.configure_curve(location=friends)
        public, secret = zmq.auth.load_certificate(keys["microscope"][1])
        socket.curve_publickey, socket.curve_secretkey = public, secret
        socket.curve_server = True

    peer = Peer(microscope, secure=secure)
    peer.ending = lambda: [guard.stop() for guard in guards]
    with peer:
        yield peer


def keyed(keys, server="microscope", own="us"):
    return {"server_key": keys[server][0], "own_keys": keys[own][1], "answer_s": 0.5}


def test_with_the_right_keys_commands_are_carried_out(secure_peer, keys):
    with opened(lambda: to(secure_peer, **keyed(keys))) as instrument:
        assert instrument.act(DEFOCUS) == {"took_s": 0.1}


@pytest.mark.parametrize(
    "wrong", [{"own": "stranger"}, {"server": "stranger"}], ids=["own", "server"]
)
def test_with_a_wrong_key_nothing_reaches_the_microscope(secure_peer, keys, wrong):
    with pytest.raises(InstrumentError, match="cannot be reached"):
        to(secure_peer, **keyed(keys, **wrong)).open()
    assert secure_peer.requests == []


def test_in_the_clear_nothing_reaches_a_microscope_with_keys(secure_peer):
    with pytest.raises(InstrumentError, match="cannot be reached"):
        to(secure_peer, answer_s=0.3).open()
    assert secure_peer.requests == []


def test_keys_that_others_can_read_are_told(secure_peer, keys):
    own = keys["us"][1]
    Path(own).chmod(0o600)
    assert to(secure_peer, **keyed(keys)).check() == []
    Path(own).chmod(0o644)
    assert f"others can read {own}" in to(secure_peer, **keyed(keys)).check()[0]


def test_files_that_hold_no_keys_are_told(peer, keys, tmp_path):
    settings = keyed(keys)
    settings["own_keys"] = tmp_path / "nobody.key_secret"
    assert "holds no keys" in to(peer, **settings).check()[0]
    settings["own_keys"] = tmp_path / "us.key"
    assert "has no secret key" in to(peer, **settings).check()[0]

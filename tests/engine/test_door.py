"""The door over real sockets: who gets in, what they may do, what is refused."""

import socket
import threading
import time
import tomllib
from contextlib import ExitStack

import msgpack
import numpy as np
import pytest
import zmq
import zmq.auth
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from scopeside.cli.main import app
from scopeside.control.client import Decision, GuardClient, evidence_of
from scopeside.control.door import Door
from scopeside.control.door_settings import DoorSettings
from scopeside.control.permission import ROLE_OF_ASK, admitted, caller
from scopeside.control.proposal import Evidence
from scopeside.errors import ConfigError, EngineNotFoundError, RefusedError
from scopeside.link import Link
from scopeside.messages import validate
from scopeside.result import Result
from scopeside.security.gate import DOMAIN, judge
from scopeside.security.keys import read_secret, write_pair
from scopeside.wire import MAGIC, Kind, Message, encode

NOBODY_MS = 150
DONE = {"ok": True, "state": "done"}
SEEN = Evidence("m1", 3, 0, 7, 1_000)


class FakeClock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class House:
    """A door with three programs that it knows, and keys of one that it does not."""

    ROLES = {
        "blue": ["propose", "observe"],
        "desk": ["arm", "observe"],
        "stop": ["hold"],
    }

    def __init__(self, folder, stack, **settings):
        self.stack = stack
        self.pairs = {}
        for name in ("guard", *self.ROLES, "stranger"):
            self.pairs[name] = write_pair(name, folder)[0]
        self.clock = FakeClock()
        self.settings = DoorSettings(
            endpoint="tcp://127.0.0.1:0",
            key=folder / "guard.key_secret",
            clients=[
                {"name": name, "key": self.pairs[name].public, "roles": roles}
                for name, roles in self.ROLES.items()
            ],
            **settings,
        )
        self.folder = folder
        self.door = stack.enter_context(Door(self.settings, self.clock))
        self.context = zmq.Context()
        stack.callback(self.context.destroy, linger=0)

    def dealer(self, public=None, secret=None, *, server=None, name=b"", plain=False):
        link = Link(self.context, zmq.DEALER)
        self.stack.callback(link.close)
        if not plain:
            server = server or self.pairs["guard"].public
            link.socket.curve_serverkey = server.encode()
            link.socket.curve_publickey = public.encode()
            link.socket.curve_secretkey = secret.encode()
        if name:
            link.socket.routing_id = name
        link.socket.connect(self.door.endpoint)
        return link

    def program(self, whose, **more):
        return self.dealer(*self.pairs[whose], **more)

    def client(self, name, **more):
        return self.stack.enter_context(
            GuardClient(
                self.door.endpoint,
                self.pairs["guard"].public,
                self.folder / f"{name}.key_secret",
                name=name,
                **more,
            )
        )

    def hear(self, patience_ms=5000):
        """The next message that is let through."""
        ends = time.monotonic() + patience_ms / 1000
        while (left := ends - time.monotonic()) > 0:
            if self.door.socket.poll(left * 1000):
                heard = self.door.receive()
                if heard is not None:
                    return heard
        return None

    def refused(self, cause):
        return self.door.status()["refused"].get(cause, 0)

    def until_refused(self, *causes):
        ends = time.monotonic() + 10
        while not any(map(self.refused, causes)) and time.monotonic() < ends:
            self.door.socket.poll(10)
            assert self.door.receive() is None
        assert any(map(self.refused, causes)), self.door.status()

    def refuses(self, link):
        """The answer to what is refused; nothing is let through till then."""
        ends = time.monotonic() + 10
        while not link.socket.poll(1) and time.monotonic() < ends:
            self.door.socket.poll(10)
            assert self.door.receive() is None
        return answer_to(link)

    def tcp(self):
        port = int(self.door.endpoint.rpartition(":")[2])
        return socket.create_connection(("127.0.0.1", port), 5)


@pytest.fixture
def house(tmp_path):
    with ExitStack() as stack:
        yield House(tmp_path, stack)


def answer_to(link):
    assert link.socket.poll(5000)
    return link.receive()


def proposal(name="blue", **changes):
    return {
        "id": f"door:{name}/1",
        "action": "set_defocus",
        "fields": {"defocus_m": 1e-7},
        "rule": f"door:{name}",
        "evidence": {},
        "created_ns": 1,
        "deadline_ns": 2,
        "why": "",
        **changes,
    }


# -- who gets in --------------------------------------------------------------------


def test_a_program_with_a_known_key_is_heard_by_its_name_and_answered(house):
    link = house.program("blue")
    link.send(Kind.PROPOSAL, {"proposal": proposal()})
    client, roles, message = house.hear()
    assert (client, roles) == ("door:blue", {"propose", "observe"})
    assert message == Message(Kind.PROPOSAL, {"proposal": proposal()}, [])
    said = {"id": "door:blue/1", "state": "observed", "cause": "", "reason": ""}
    assert house.door.answer(client, Kind.DECIDED, said)
    assert answer_to(link) == Message(Kind.DECIDED, said, [])


def test_a_key_that_nobody_knows_gets_no_connection(house):
    link = house.program("stranger")
    link.send(Kind.ASK, {"ask": "hold"})
    house.until_refused("unknown_key")
    assert house.hear(NOBODY_MS) is None
    (said,) = house.door.told()
    assert "at 127.0.0.1" in said
    assert "a key that [control.door] does not name" in said


def test_a_known_public_key_without_its_secret_gets_no_connection(house):
    link = house.dealer(house.pairs["blue"].public, house.pairs["stranger"].secret)
    link.send(Kind.ASK, {"ask": "hold"})
    house.until_refused("forged_key")
    assert house.hear(NOBODY_MS) is None
    assert house.refused("unknown_key") == 0


def test_who_comes_without_a_key_gets_no_connection(house):
    link = house.dealer(plain=True)
    link.send(Kind.ASK, {"ask": "hold"})
    # Whoever hangs up first: we at its greeting, or it at ours.
    house.until_refused("no_key", "handshake")
    assert house.hear(NOBODY_MS) is None


def test_a_greeting_without_keys_is_known_as_such(house):
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0")
    with house.tcp() as peer:
        peer.sendall(greeting.ljust(64, b"\0"))
        house.until_refused("no_key")


def test_who_takes_us_for_another_server_gets_no_connection(house):
    link = house.program("blue", server=house.pairs["stranger"].public)
    link.send(Kind.ASK, {"ask": "hold"})
    house.until_refused("forged_key")
    assert house.hear(NOBODY_MS) is None


def test_when_nobody_answers_for_the_keys_nobody_gets_in(house):
    house.door._entrance._gate._ends.set()
    house.door._entrance._gate._thread.join()
    house.door._entrance._gate._zap.close()
    house.program("blue").send(Kind.ASK, {"ask": "hold"})
    assert house.hear(NOBODY_MS) is None


def test_one_that_is_turned_away_again_and_again_is_told_of_once(house):
    link = house.program("stranger")
    link.socket.reconnect_ivl = 1
    house.program("stranger")
    house.program("stranger")
    while house.refused("unknown_key") < 3:
        house.door.socket.poll(10)
    assert len(house.door.told()) == 1


def test_only_this_domain_and_mechanism_are_judged():
    names = {zmq.utils.z85.encode(b"k" * 32).decode(): "blue"}
    good = [b"1.0", b"1", DOMAIN, b"127.0.0.1", b"", b"CURVE", b"k" * 32]
    assert judge(good, names.get) == (True, "blue", "")
    for place, value, cause in [
        (0, b"2.0", "handshake"),
        (2, b"", "handshake"),
        (5, b"NULL", "no_key"),
        (6, b"K" * 32, "unknown_key"),
        (6, b"k", "no_key"),
    ]:
        bad = [*good[:place], value, *good[place + 1 :]]
        assert judge(bad, names.get) == (False, "", cause)
    assert not judge(good[:6], names.get).allowed
    assert not judge([], names.get).allowed


# -- what they may do ---------------------------------------------------------------


def test_a_program_without_the_role_is_refused_and_told_why(house):
    link = house.program("stop")
    link.send(Kind.PROPOSAL, {"proposal": proposal("stop")})
    kind, said, _ = house.refuses(link)
    assert kind is Kind.DECIDED
    assert said == {
        "id": "door:stop/1",
        "state": "refused",
        "cause": "no_role",
        "reason": "stop has no role 'propose' (has: hold)",
    }
    assert house.door.status()["clients"]["stop"]["refused"] == {"no_role": 1}


@pytest.mark.parametrize("name", House.ROLES)
@pytest.mark.parametrize("ask", ["hold", "blank"])
def test_every_known_program_may_hold_and_blank(house, name, ask):
    house.program(name).send(Kind.ASK, {"ask": ask, "id": "7"})
    client, _, message = house.hear()
    assert client == f"door:{name}"
    assert message.header == {"ask": ask, "id": "7", "who": f"door:{name}"}


@pytest.mark.parametrize(
    ("roles", "allowed"),
    [
        ({"hold"}, set()),
        ({"propose"}, set()),
        ({"observe"}, {"status", "proposals"}),
        ({"arm"}, {"arm", "advise", "accept", "decline", "do"}),
        ({"unblank"}, {"unblank"}),
    ],
)
def test_a_role_allows_what_is_its_own_and_no_more(roles, allowed):
    for ask in ROLE_OF_ASK:
        message = Message(Kind.ASK, {"ask": ask}, [])
        if ask in allowed | {"hold", "blank"}:
            assert admitted(message, "x", frozenset(roles))["ask"] == ask
        else:
            with pytest.raises(RefusedError) as refused:
                admitted(message, "x", frozenset(roles))
            assert refused.value.cause == "no_role"


@pytest.mark.parametrize("on", [False, 0, None, "no"])
def test_a_command_that_could_let_the_beam_on_takes_the_role_for_that(on):
    message = Message(
        Kind.ASK, {"ask": "do", "action": "blank", "fields": {"on": on}}, []
    )
    with pytest.raises(RefusedError, match="no role 'unblank'"):
        admitted(message, "x", frozenset({"arm"}))
    assert admitted(message, "x", frozenset({"arm", "unblank"}))


def test_a_command_that_blanks_does_not():
    asked = {"ask": "do", "action": "blank", "fields": {"on": True}}
    assert admitted(Message(Kind.ASK, asked, []), "x", frozenset({"arm"}))


# -- another's name -----------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "door:desk/1"},
        {"id": "m1/hold_still/7/0"},
        {"id": "door:blue"},
        {"id": "door:blue/" + "x" * 200},
        {"id": 7},
        {"rule": "door:desk"},
        {"rule": "hold_still"},
        {"rule": "door:blueish/a"},
        {"rule": None},
    ],
)
def test_a_proposal_in_another_name_is_refused(house, changes):
    link = house.program("blue")
    link.send(Kind.PROPOSAL, {"proposal": proposal(**changes)})
    assert house.refuses(link).header["cause"] == "other_name"


def test_an_ask_in_another_name_is_refused(house):
    link = house.program("stop")
    link.send(Kind.ASK, {"ask": "hold", "who": "anna"})
    assert house.refuses(link).header["cause"] == "other_name"


def test_a_socket_with_a_name_of_its_own_is_refused(house):
    link = house.program("blue", name=b"door:desk")
    link.send(Kind.STATUS, {})
    assert house.refuses(link).header["cause"] == "socket_name"


def test_two_connections_of_one_program_get_their_own_answers(house):
    one, two = house.program("desk"), house.program("desk")
    for link, ident in ((one, "1"), (two, "2")):
        link.send(Kind.ASK, {"ask": "status", "id": ident})
        assert house.hear().message.header["id"] == ident
    for ident in ("1", "2"):
        house.door.answer("door:desk", Kind.ANSWER, {"id": ident})
    assert answer_to(one).header == {"id": "1"}
    assert answer_to(two).header == {"id": "2"}


def test_an_answer_to_one_who_has_gone_is_counted(house):
    link = house.program("stop")
    link.send(Kind.ASK, {"ask": "hold", "id": "1"})
    assert house.hear()
    link.close()
    ends = time.monotonic() + 10
    while house.door.answer("door:stop", Kind.ANSWER, {"id": "1"}):
        assert time.monotonic() < ends
    assert house.refused("unheard") == 1
    assert not house.door.answer("door:nobody", Kind.ANSWER, {})


# -- garbage, size, rate ------------------------------------------------------------

GARBAGE = [
    ([b""], "truncated"),
    ([b"", b""], "wrong_magic"),
    ([b"GET / HTTP/1.1", b""], "wrong_magic"),
    ([MAGIC + b"\x09\x65", b"\x80"], "wrong_version"),
    ([MAGIC + b"\x01\xff", b"\x80"], "wrong_kind"),
    ([MAGIC + b"\x01\x65", b"\xc1"], "wrong_header"),
    ([MAGIC + b"\x01\x65", b"\x93\x01\x02\x03"], "wrong_header"),
    ([MAGIC + b"\x01\x65", b"\x81\x01\x02"], "wrong_header"),
    ([MAGIC + b"\x01\x65", b"\x91" * 2000], "wrong_header"),
    ([MAGIC + b"\x01\x65", b"\x80", b"payload"], "oversized"),
    ([b"x"] * 100, "oversized"),
    (encode(Kind.STOP, {}), "unknown_ask"),
    (encode(Kind.BEAT, {"degraded": []}), "unknown_ask"),
    (encode(Kind.ASK, {}), "unknown_ask"),
    (encode(Kind.ASK, {"ask": ["hold"]}), "unknown_ask"),
    (encode(Kind.ASK, {"ask": "reboot"}), "unknown_ask"),
    (encode(Kind.ASK, {"ask": "hold", "id": 7}), "wrong_type"),
    (encode(Kind.PROPOSAL, {}), "wrong_type"),
    (encode(Kind.PROPOSAL, {"proposal": []}), "wrong_type"),
    (encode(Kind.PROPOSAL, {"proposal": {}, "token": "t"}), "wrong_type"),
]


@pytest.mark.parametrize(("parts", "cause"), GARBAGE)
def test_garbage_is_refused_counted_and_answered(house, parts, cause):
    link = house.program("blue")
    link.forward(parts)
    assert house.refuses(link).header["cause"] == cause
    assert house.refused(cause) == 1
    link.send(Kind.STATUS, {})
    assert house.hear().message.kind is Kind.STATUS


@given(st.binary(max_size=60))
def test_whatever_is_in_a_header_is_passed_or_refused(data):
    try:
        header = msgpack.unpackb(data)
        message = Message(Kind.ASK, dict(header), [])
    except (ValueError, TypeError, msgpack.UnpackException):
        message = Message(Kind.ASK, {"ask": data, "id": data}, [])
    with pytest.raises(RefusedError):
        admitted(message, "x", frozenset())


def test_a_message_that_is_too_large_is_not_taken_in(house):
    link = house.program("blue")
    link.send(Kind.STATUS, {"x": b" " * (1 << 19)})
    assert house.hear(NOBODY_MS) is None
    link.send(Kind.STATUS, {})  # on a new connection, which libzmq makes by itself
    assert house.hear().message.kind is Kind.STATUS


def test_a_large_message_within_the_limit_is_taken_in(house):
    points = [[0.5, 0.5]] * 10_000
    given_ = proposal(action="place_beam", fields={"points": points, "dwell_s": 1e-3})
    house.program("blue").send(Kind.PROPOSAL, {"proposal": given_})
    assert house.hear().message.header["proposal"] == given_


def test_a_flood_is_cut_to_the_rate_and_a_hold_gets_through_it(house):
    link = house.program("blue")
    for _ in range(1000):
        link.send(Kind.PROPOSAL, {"proposal": proposal()})
    link.send(Kind.ASK, {"ask": "hold"})
    kinds = [house.hear().message.kind for _ in range(51)]
    assert kinds.count(Kind.PROPOSAL) == 50
    assert kinds.count(Kind.ASK) == 1
    assert house.refused("flood") == 950
    assert answer_to(link).header["cause"] == "flood"
    house.clock.now += 0.1  # 5 more
    for _ in range(10):
        link.send(Kind.PROPOSAL, {"proposal": proposal()})
    for _ in range(5):
        assert house.hear()
    assert house.hear(NOBODY_MS) is None
    assert house.refused("flood") == 955


def test_the_flood_of_one_program_does_not_cost_another_its_turn(house):
    blue = house.program("blue")
    for _ in range(500):
        blue.send(Kind.STATUS, {})
    house.program("desk").send(Kind.ASK, {"ask": "arm"})
    heard = [house.hear() for _ in range(51)]
    assert [one.client for one in heard].count("door:desk") == 1


def test_one_call_does_not_read_a_flood_to_its_end(house):
    link = house.program("blue")
    for _ in range(500):
        link.forward([b""])
    assert house.door.socket.poll(5000)
    assert house.door.receive() is None
    assert house.door.status()["clients"]["blue"]["heard"] <= 64
    while house.door.status()["clients"]["blue"]["heard"] < 500:
        house.door.socket.poll(100)
        assert house.door.receive() is None


# -- the client ---------------------------------------------------------------------


class Answering(threading.Thread):
    """Answers as a guard would, for as many messages as are expected."""

    def __init__(self, house, answers):
        super().__init__(daemon=True)
        self.house, self.answers, self.heard = house, answers, []
        self.start()

    def run(self):
        for answers in self.answers:
            heard = self.house.hear()
            self.heard.append(heard)
            header = heard.message.header
            ident = header.get("proposal", header).get("id", "")
            for kind, said in answers:
                self.house.door.answer(heard.client, kind, {"id": ident, **said})


def test_the_client_proposes_and_hears_what_became_of_it(house):
    waits = {"state": "waiting", "cause": "", "reason": ""}
    done = {"state": "done", "cause": "", "reason": "as asked"}
    guard = Answering(house, [[(Kind.DECIDED, waits), (Kind.DECIDED, done)]])
    client = house.client("blue")
    first = client.propose("set_defocus", {"defocus_m": 1e-7}, SEEN, why="to see")
    assert not first.final
    assert client.decided(first.id, final=True) == Decision(
        first.id, "done", "", "as asked"
    )
    guard.join()
    sent = guard.heard[0].message.header["proposal"]
    assert sent["id"].startswith("door:blue/")
    assert sent["rule"] == "door:blue"
    assert sent["evidence"]["frame"] == 7
    assert sent["deadline_ns"] - sent["created_ns"] == 10**9


def test_the_client_asks_for_status_hold_and_blank(house):
    guard = Answering(
        house,
        [
            [(Kind.STATUS, {"mode": "observe", "engine": {"epoch": 3}})],
            [(Kind.ANSWER, {"ok": True, "state": "sent"}), (Kind.ANSWER, DONE)],
            [(Kind.ANSWER, {"ok": True, "reason": "blanked"})],
        ],
    )
    client = house.client("blue")
    assert client.epoch() == 3
    assert client.hold()["state"] == "done"
    assert client.blank()["reason"] == "blanked"
    guard.join()
    assert [h.message.header.get("ask") for h in guard.heard] == [
        None,
        "hold",
        "blank",
    ]


def test_a_client_that_may_not_observe_hears_why(house):
    client = house.client("stop")
    waiting = threading.Thread(target=house.hear, args=(1000,))
    waiting.start()
    with pytest.raises(RefusedError, match="no role 'observe'"):
        client.epoch()
    waiting.join()


def test_an_answer_that_is_still_on_its_way_is_what_there_is(house):
    Answering(house, [[(Kind.ANSWER, {"ok": True, "state": "sent"})]])
    assert house.client("desk", timeout_s=0.3).ask("hold")["state"] == "sent"


def test_a_guard_that_has_no_engine_has_no_epoch(house):
    Answering(house, [[(Kind.STATUS, {"engine": {"epoch": None}})]])
    with pytest.raises(EngineNotFoundError, match="has not heard of its engine"):
        house.client("blue").epoch()


def test_a_client_that_is_not_known_hears_that_it_may_not_be(house):
    with pytest.raises(EngineNotFoundError, match="is not one that"):
        house.client("stranger", timeout_s=0.3).status()


def test_a_result_is_evidence():
    result = Result(
        "shift",
        np.zeros(2),
        frame=7,
        first=3,
        meta={
            "acq": "m1",
            "chain": "c",
            "processor": "drift",
            "t_frame_ns": 5,
            "confidence": np.float64(0.5),
            "params": 2,
        },
    )
    found = evidence_of(result, 4)
    assert (found.acquisition, found.epoch, found.first, found.frame) == ("m1", 4, 3, 7)
    assert (found.t_frame_ns, found.confidence) == (5, 0.5)
    assert found.sources[0].processor == "drift"
    assert found.sources[0].params == 2
    assert len(found.sources[0].digest) == 16


# -- keys and settings --------------------------------------------------------------


def test_a_pair_is_written_once_and_its_secret_is_closed(tmp_path):
    pair, public, secret = write_pair("blue", tmp_path)
    assert secret.stat().st_mode & 0o777 == 0o600
    assert pair.secret not in public.read_text()
    assert read_secret(secret) == pair
    assert zmq.auth.load_certificate(public)[0] == pair.public.encode()
    with pytest.raises(ConfigError, match="is there already"):
        write_pair("blue", tmp_path)
    assert read_secret(secret) == pair


def test_no_half_of_a_pair_is_left(tmp_path):
    (tmp_path / "blue.key").touch()
    with pytest.raises(ConfigError, match="is there already"):
        write_pair("blue", tmp_path)
    assert not (tmp_path / "blue.key_secret").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660])
def test_a_secret_that_others_can_read_is_refused(tmp_path, mode):
    path = write_pair("blue", tmp_path)[2]
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"mode 0{mode:o}.*chmod 600"):
        read_secret(path)


@pytest.mark.parametrize("text", ["", "junk", 'public-key = "x"'])
def test_a_file_without_keys_is_refused(tmp_path, text):
    path = tmp_path / "k"
    path.touch(0o600)
    path.write_text(text)
    with pytest.raises(ConfigError, match="is no secret key file"):
        read_secret(path)


def test_keys_that_are_no_pair_are_refused(tmp_path):
    one, path = write_pair("one", tmp_path)[0::2]
    two = write_pair("two", tmp_path)[0]
    path.write_text(path.read_text().replace(one.public, two.public))
    with pytest.raises(ConfigError, match="no pair"):
        read_secret(path)


def test_no_key_no_folder_no_name_is_an_error_in_words(tmp_path):
    with pytest.raises(ConfigError, match="cannot read the key"):
        read_secret(tmp_path / "none")
    with pytest.raises(ConfigError, match="Is a directory"):
        read_secret(tmp_path)
    with pytest.raises(ConfigError, match="a name has 1 to 40"):
        write_pair("../up", tmp_path)
    with pytest.raises(ConfigError, match="cannot write"):
        write_pair("blue", tmp_path / "none")


def table(**changes):
    client = {"name": "blue", "key": "%nSc0" * 8, "roles": ["propose"]}
    return {"endpoint": "tcp://127.0.0.1:8770", "clients": [client], **changes}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"endpoint": "tcp://0.0.0.0:8770"}, "names one address"),
        ({"endpoint": "tcp://[::]:8770"}, "names one address"),
        ({"endpoint": "tcp://*:8770"}, "tcp://ADDRESS:PORT"),
        ({"endpoint": "tcp://guard:8770"}, "tcp://ADDRESS:PORT"),
        ({"endpoint": "tcp://999.1.1.1:8770"}, "does not appear"),
        ({"endpoint": "tcp://127.0.0.1:99999"}, "tcp://ADDRESS:PORT"),
        ({"endpoint": "ipc:///tmp/door"}, "tcp://ADDRESS:PORT"),
        ({"clients": []}, "1 or more entries"),
        ({"clients": [{"name": "b", "key": "x", "roles": ["hold"]}]}, "40 characters"),
        ({"clients": [{"name": "b", "key": "~" * 40, "roles": ["hold"]}]}, "no key"),
        (
            {"clients": [{"name": "b", "key": "%nSc0" * 8, "roles": ["king"]}]},
            "expected 'propose'",
        ),
        ({"clients": [{"name": "b", "key": "%nSc0" * 8, "roles": []}]}, "1 or more"),
        (
            {"clients": [{"name": "a/b", "key": "%nSc0" * 8, "roles": ["hold"]}]},
            "a name has",
        ),
        ({"clients": table()["clients"] * 2}, "two clients have the name 'blue'"),
    ],
)
def test_a_wrong_setting_is_refused_in_words(changes, said):
    with pytest.raises(ConfigError, match=said):
        validate(DoorSettings, table(**changes), where="control.door")


def test_an_address_of_a_network_is_allowed_for_there_are_always_keys():
    assert DoorSettings(**table(endpoint="tcp://192.168.1.7:8770")).per_s == 50
    assert DoorSettings(**table(endpoint="tcp://[fd00::7]:8770"))


def test_a_door_that_cannot_be_opened_says_so(house):
    settings = house.settings.model_copy(update={"endpoint": house.door.endpoint})
    with pytest.raises(ConfigError, match=r"control\.door\.endpoint: nobody can"):
        Door(settings)


def test_who_is_known_from_outside_and_from_inside_is_told_apart():
    assert caller("adviser") == "door:adviser"


def test_the_command_writes_a_pair_and_says_what_goes_into_the_file(tmp_path):
    said = CliRunner().invoke(app, ["keys", "new", "blue", str(tmp_path)])
    assert said.exit_code == 0
    pair = read_secret(tmp_path / "blue.key_secret")
    assert pair.secret not in said.output
    (line,) = [line for line in said.output.splitlines() if "roles" in line]
    found = tomllib.loads(f"clients = [{line}]")
    assert validate(DoorSettings, table(**found)).clients[0].key == pair.public

"""Results for other machines, over real sockets: who gets them, and who does not."""

import re
import time
from contextlib import ExitStack

import numpy as np
import pytest
import zmq

from scopeside.cli.watching import watch_command
from scopeside.collect.publisher import LARGEST_SUBSCRIPTION, Publisher
from scopeside.errors import ConfigError
from scopeside.result import Result
from scopeside.security import crowd, ring
from scopeside.security.bulk import check_results
from scopeside.security.keys import read_secret, write_secret
from scopeside.security.ring import admit, own_pair, remove
from scopeside.subscribe import subscribe

IMAGE = np.arange(6.0).reshape(2, 3)
PATIENCE_S = 20.0
NOBODY_MS = 200
PROGRAMS = {"laptop": "observe", "cam": "ingest", "old": "observe"}


class Bus:
    """A publisher with an address for keys, and a folder with three programs."""

    def __init__(self, folder, stack):
        self.stack = stack
        self.keys = folder / "keys"
        for name, role in PROGRAMS.items():
            admit(self.keys, name, [role])
        self.kept = []
        self.context = zmq.Context()
        stack.callback(self.context.destroy, linger=0)
        local = f"ipc://{folder}/results"
        self.publisher = Publisher(self.context, [local], "collector#1", 0)
        stack.callback(self.publisher.close)
        self.local = local
        self.here = self.publisher.tcp
        self.outside = self.publisher.open_to("tcp://127.0.0.1:0", self.keys)

    def secret(self, name):
        return self.keys / f"{name}.key_secret"

    def subscribe(self, endpoint, **keys):
        results = subscribe(endpoint, timeout=PATIENCE_S, **keys)
        return self.stack.enter_context(results)

    def socket(self, kind=zmq.SUB):
        context = zmq.Context()
        self.stack.callback(context.destroy, linger=0)
        socket = context.socket(kind)
        self.kept.append(socket)
        if kind == zmq.SUB:
            socket.subscribe("")
        return socket

    def curve(self, server, public, secret):
        socket = self.socket()
        socket.curve_serverkey = server.encode()
        socket.curve_publickey = public.encode()
        socket.curve_secretkey = secret.encode()
        socket.connect(self.outside)
        return socket

    def told(self, of=1):
        """What is told, once there is so much of it."""
        said, ends = [], time.monotonic() + PATIENCE_S
        while len(said) < of and time.monotonic() < ends:
            self.publisher.socket.poll(10)
            self.publisher.new_subscriptions()
            said += self.publisher.told()
        return said

    def publish(self):
        self.publisher.publish(
            Result("bf", IMAGE),
            acquisition="a1",
            chain="stem",
            processor="virtual",
            t_frame_ns=17,
            final=False,
        )

    def until_wanted(self, n, *living):
        """Until `n` topics were subscribed to; each subscription asks for two.

        A subscriber asks again after a link was cut when it looks for results, and
        not before: `living` ones do.
        """
        seen, ends = 0, time.monotonic() + PATIENCE_S
        while seen < n and time.monotonic() < ends:
            self.publisher.socket.poll(10)
            seen += len(self.publisher.new_subscriptions())
            for subscription in living:
                subscription._socket.poll(0)
        assert seen == n


@pytest.fixture
def bus(tmp_path):
    with ExitStack() as stack:
        yield Bus(tmp_path, stack)


def heard_nothing(bus, socket):
    bus.publish()
    return not socket.poll(NOBODY_MS)


def test_here_without_keys_and_elsewhere_with_them(bus):
    subscriptions = [
        bus.subscribe(bus.local),
        bus.subscribe(bus.here),
        bus.subscribe(bus.outside, keys=bus.secret("laptop")),
    ]
    bus.until_wanted(6)
    bus.publish()
    for results in subscriptions:
        np.testing.assert_array_equal(next(results).data, IMAGE)


def test_localhost_is_127_0_0_1(bus):
    results = bus.subscribe(bus.here.replace("127.0.0.1", "localhost"))
    assert results.endpoint == bus.here


def test_without_a_key_there_is_no_connection(bus):
    socket = bus.socket()
    socket.connect(bus.outside)
    (said,) = bus.told()
    # Which of the two ends hangs up first is chance.
    assert said in (
        "results: a program came without a key; it was not let in",
        "results: a program came and did not speak the protocol to its end; it was not "
        "let in",
    )
    assert heard_nothing(bus, socket)
    assert not bus.publisher.wanted


def test_an_unknown_key_gets_no_connection(bus, tmp_path):
    own = own_pair(bus.keys)
    pair = write_secret("stranger", tmp_path, own.public)[0]
    socket = bus.curve(own.public, *pair)
    (said,) = bus.told()
    assert said == (
        f"results: a program at 127.0.0.1 came with a key that {bus.keys} does not "
        "name; it was not let in"
    )
    assert heard_nothing(bus, socket)


def test_a_public_key_without_its_secret_gets_no_connection(bus, tmp_path):
    own = own_pair(bus.keys)
    laptop = read_secret(bus.secret("laptop"))
    other = write_secret("stranger", tmp_path)[0]
    socket = bus.curve(own.public, laptop.public, other.secret)
    said = bus.told()
    assert "it was not let in" in said[0]
    assert heard_nothing(bus, socket)


def test_a_key_of_another_role_gets_no_connection_and_its_program_says_why(bus):
    results = bus.subscribe(bus.outside, keys=bus.secret("cam"))
    said = re.escape(
        f"{bus.outside} does not let this key in: it is not, or no longer, in the key "
        "folder of the engine with the role observe"
    )
    with pytest.raises(ConfigError, match=said):
        next(results)


def test_a_key_that_is_removed_gets_no_connection_without_a_restart(bus, monkeypatch):
    monkeypatch.setattr(ring, "LOOK_S", 0.0)
    passport = bus.keys.parent / "old.key_secret"
    passport.touch(0o600)
    passport.write_text(bus.secret("old").read_text())
    remove(bus.keys, "old")
    results = bus.subscribe(bus.outside, keys=passport)
    with pytest.raises(ConfigError, match="does not let this key in"):
        next(results)


def test_a_key_that_is_added_is_let_in_without_a_restart(bus, monkeypatch):
    monkeypatch.setattr(ring, "LOOK_S", 0.0)
    admit(bus.keys, "new", ["observe"])
    results = bus.subscribe(bus.outside, keys=bus.secret("new"))
    bus.until_wanted(2)
    bus.publish()
    assert next(results).name == "bf"


def test_when_nobody_answers_for_the_keys_nobody_gets_in(bus):
    bus.publisher._entrance._gate._ends.set()
    bus.publisher._entrance._gate._thread.join()
    bus.subscribe(bus.outside, keys=bus.secret("laptop"))
    assert not bus.publisher.socket.poll(NOBODY_MS)


def test_results_of_another_machine_are_not_asked_for_in_the_clear():
    with pytest.raises(ConfigError) as refused:
        subscribe("tcp://192.168.1.5:8768")
    assert str(refused.value) == (
        "tcp://192.168.1.5:8768 is of another machine, whose results need keys: --keys "
        "NAME.key_secret, which scopeside keys new NAME --role observe makes there"
    )


def test_keys_without_an_address_are_refused(bus):
    with pytest.raises(ConfigError, match="keys go with an endpoint"):
        subscribe(keys=bus.secret("laptop"))


def test_watch_with_keys_shows_them_and_says_when_it_is_not_let_in(bus, capsys):
    with pytest.raises(ConfigError, match="does not let this key in"):
        watch_command(
            bus.outside,
            topic="",
            seconds=PATIENCE_S,
            headless=True,
            keys=bus.secret("cam"),
        )


def test_a_folder_that_is_of_no_use_is_found_before_the_start(bus, tmp_path):
    with pytest.raises(ConfigError, match="cannot read the key folder"):
        check_results("tcp://127.0.0.1:0", tmp_path / "none")
    with pytest.raises(ConfigError, match=r"results\.bind: nobody can listen at"):
        check_results(bus.outside, bus.keys)
    check_results(None, None)


def test_who_asks_for_something_huge_is_cut_off(bus):
    greedy = bus.socket()
    greedy.subscribe(b"x" * (2 * LARGEST_SUBSCRIPTION))
    greedy.connect(bus.here)
    results = bus.subscribe(bus.here)
    bus.until_wanted(3)  # its empty topic came before; the huge one does not
    bus.publish()
    assert next(results).name == "bf"
    assert max(map(len, bus.publisher._subscriptions)) < LARGEST_SUBSCRIPTION


def test_a_crowd_is_kept_out_and_who_is_in_stays_in(bus, monkeypatch):
    monkeypatch.setattr(crowd, "MOST_LINKS", 3)
    results = bus.subscribe(bus.outside, keys=bus.secret("laptop"))
    bus.until_wanted(2)
    many = [bus.socket(zmq.STREAM) for _ in range(3)]
    for socket in many:
        socket.connect(bus.outside)
    assert bus.told()[0] == (
        "results: a program at 127.0.0.1 came when there was no room: 32 links of one "
        "address, 3 of all, 50 new ones a second; it was not let in"
    )
    bus.publish()
    assert next(results).name == "bf"
    for socket in many:
        socket.close(linger=0)
    again = bus.subscribe(bus.outside, keys=bus.secret("laptop"))
    bus.until_wanted(2, again)
    bus.publish()
    assert next(again).name == "bf"


def test_the_link_of_a_key_that_is_removed_is_cut(bus, monkeypatch):
    monkeypatch.setattr(ring, "LOOK_S", 0.0)
    results = bus.subscribe(bus.outside, keys=bus.secret("old"))
    other = bus.subscribe(bus.outside, keys=bus.secret("laptop"))
    bus.until_wanted(4)
    remove(bus.keys, "old")
    assert bus.told() == ["results: the key of old is withdrawn; its link is cut"]
    with pytest.raises(ConfigError, match="does not let this key in"):
        next(results)
    bus.publish()
    assert next(other).name == "bf"


def test_a_folder_that_others_can_look_into_lets_nobody_in_and_says_so(
    bus, monkeypatch
):
    monkeypatch.setattr(ring, "LOOK_S", 0.0)
    bus.keys.chmod(0o755)
    assert "results: nobody is let in: the key folder" in bus.told()[0]
    bus.keys.chmod(0o700)

"""The control socket of the simulated microscope, over real loopback."""

import threading
import time
from contextlib import ExitStack

import msgpack
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from scopeside.errors import ConfigError, SourceError
from scopeside_adapters.simulator.control import (
    LARGEST_REQUEST,
    MOST_WAITING,
    ControlServer,
    answer,
    check_endpoint,
)
from scopeside_adapters.simulator.microscope import Microscope

ANYWHERE = "tcp://127.0.0.1:0"


@pytest.fixture
def server():
    with ControlServer(Microscope(), ANYWHERE) as server:
        yield server


@pytest.fixture
def client(server):
    with zmq.Context() as context, context.socket(zmq.REQ) as client:
        client.linger = 0
        client.rcvtimeo = client.sndtimeo = 10_000
        client.connect(server.endpoint)
        yield client


def ask_raw(client, data):
    client.send(data)
    return msgpack.unpackb(client.recv())


def ask(client, **request):
    return ask_raw(client, msgpack.packb(request))


def test_a_command_is_carried_out_and_answered(client):
    got = ask(client, action="set_defocus", defocus_m=-1e-6, id="17")
    assert (got["id"], got["ok"], got["reason"]) == ("17", True, "")
    assert got["state"]["defocus_m"] == -1e-6
    assert got["state"]["epoch"] == 1


def test_a_refusal_says_why(client):
    got = ask(client, action="set_defocus", defocus_m=5.0, id="18")
    assert got["ok"] is False
    assert "outside" in got["reason"]


def test_a_repeated_id_gets_the_same_answer(client):
    first = ask(client, action="blank", on=True, id=1)
    ask(client, action="blank", on=False, id=2)
    assert ask(client, action="blank", on=True, id=1) == first


def test_the_state_can_be_asked_for_now_and_at_a_time(client):
    ask(client, action="blank", on=True, id=1)
    assert ask(client, action="get_state")["state"]["blanked"] is True
    assert ask(client, action="get_state", at_ns=1)["state"]["blanked"] is False
    assert "no field 'x'" in ask(client, action="get_state", x=1)["reason"]
    assert "whole number" in ask(client, action="get_state", at_ns="a")["reason"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x81",
        b"hello",
        b"\x91" * 5000,
        msgpack.packb([1, 2]),
        msgpack.packb({1: 2}),
        msgpack.packb({"action": ["blank"], "id": 1}),
        b"\x81\xa2\xff\xfe\x01",
        b"\x81\x91\x01\x01",
    ],
)
def test_a_malformed_request_is_answered_and_the_next_one_served(client, data):
    assert ask_raw(client, data)["ok"] is False
    assert ask(client, action="blank", on=True, id=2)["ok"] is True


def test_a_request_of_several_parts_is_refused(client):
    client.send_multipart([b"a", b"b"])
    assert msgpack.unpackb(client.recv())["ok"] is False


def test_an_oversized_request_does_not_reach_the_server(server, client):
    with zmq.Context() as context, context.socket(zmq.DEALER) as rude:
        rude.linger = 0
        rude.connect(server.endpoint)
        rude.send_multipart([b"", bytes(LARGEST_REQUEST + 1)])
        assert ask(client, action="blank", on=True, id=1)["ok"] is True


@given(st.binary(max_size=200))
def test_garbage_is_always_answered(data):
    got = answer(Microscope(), data)
    assert got["ok"] is False
    assert msgpack.unpackb(msgpack.packb(got)) == got


@pytest.mark.parametrize(
    "endpoint",
    [
        "tcp://0.0.0.0:5555",
        "tcp://*:5555",
        "tcp://192.168.1.2:5555",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:99999",
        "tcp://127.0.0.1:55a",
        "tcp://example.org:5555",
        "tcp://[::]:5555",
        "tcp://999.0.0.1:80",
        "inproc://control",
        "udp://127.0.0.1:5555",
        "ipc://",
        "",
    ],
)
def test_what_others_could_reach_is_refused(endpoint):
    with pytest.raises(ConfigError, match="must not be reached from other machines"):
        check_endpoint(endpoint)


@pytest.mark.parametrize(
    "endpoint", ["tcp://127.0.0.1:5555", "tcp://[::1]:5555", "ipc:///run/me/control"]
)
def test_what_only_this_machine_can_reach_is_taken(endpoint):
    assert check_endpoint(endpoint) == endpoint


def test_a_port_that_is_taken_is_an_error_that_names_it(server):
    with (
        pytest.raises(SourceError, match=r"cannot listen at tcp://127\.0\.0\.1"),
        ControlServer(Microscope(), server.endpoint),
    ):
        pass


def test_it_listens_on_ipc(tmp_path):
    endpoint = f"ipc://{tmp_path}/control"
    with (
        ControlServer(Microscope(), endpoint),
        zmq.Context() as context,
        context.socket(zmq.REQ) as client,
    ):
        client.connect(endpoint)
        assert ask(client, action="get_state")["ok"] is True


def test_closing_ends_the_thread_and_frees_the_port():
    before = threading.active_count()
    with ControlServer(Microscope(), ANYWHERE) as server:
        endpoint = server.endpoint
    assert threading.active_count() == before
    with ControlServer(Microscope(), endpoint) as again:
        assert again.endpoint == endpoint


@pytest.fixture
def slow():
    delay_ms = {"move_stage": 600.0, "set_defocus": 100.0}
    with ControlServer(Microscope(scans=True), ANYWHERE, delay_ms) as server:
        yield server


@pytest.fixture
def clients(slow):
    with ExitStack() as stack:
        context = stack.enter_context(zmq.Context())
        found = [stack.enter_context(context.socket(zmq.REQ)) for _ in range(2)]
        for client in found:
            client.linger = 0
            client.rcvtimeo = client.sndtimeo = 10_000
            client.connect(slow.endpoint)
        yield found


def test_a_slow_command_does_not_hold_up_another_client(clients):
    one, other = clients
    one.send(msgpack.packb({"action": "move_stage", "x_m": 1e-6, "id": 1}))
    assert ask(other, action="get_state")["state"]["stage_x_m"] == 0.0
    assert ask(other, action="blank", on=True, id=2)["ok"] is True
    assert not one.poll(0)
    got = msgpack.unpackb(one.recv())
    assert got["state"]["stage_x_m"] == 1e-6
    assert got["state"]["blanked"] is True


def test_a_slow_command_that_is_sent_twice_is_carried_out_once(clients):
    one, other = clients
    for client in clients:
        client.send(
            msgpack.packb({"action": "set_defocus", "defocus_m": 1e-6, "id": 1})
        )
    assert one.recv() == other.recv()
    assert ask(one, action="get_state")["state"]["epoch"] == 1


def test_a_slow_command_past_its_deadline_is_refused(clients):
    soon = time.time_ns() + 50_000_000
    got = ask(clients[0], action="move_stage", x_m=1e-6, id=1, deadline=soon)
    assert "deadline passed" in got["reason"]


def test_place_beam_is_answered_when_the_beam_has_left_the_last_point(clients):
    one, other = clients
    points = [[0.0, 0.0], [1.0, 1.0]]
    request = {"action": "place_beam", "points": points, "dwell_s": 0.1, "id": 1}
    one.send(msgpack.packb(request))
    while not (probe := ask(other, action="get_state")["state"]["probe"]):
        pass  # it travels by another connection
    assert probe in points
    got = msgpack.unpackb(one.recv())
    assert (got["ok"], got["visited"]) == (True, 2)
    assert got["state"]["probe"] is None
    told = ask(other, action="get_visits", first=1)
    assert (told["first"], told["total"]) == (1, 2)
    assert told["visits"][0][1:] == [1.0, 1.0, 0.1]


def test_visits_are_asked_for_by_a_whole_number(client):
    assert "0 or more" in ask(client, action="get_visits", first=-1)["reason"]
    assert "0 or more" in ask(client, action="get_visits", first="a")["reason"]
    assert "no field 'x'" in ask(client, action="get_visits", x=1)["reason"]


def test_more_slow_commands_than_can_wait_are_refused():
    delay_ms = {"blank": 60_000.0}
    with (
        ControlServer(Microscope(), ANYWHERE, delay_ms) as server,
        zmq.Context() as context,
        context.socket(zmq.DEALER) as flood,
    ):
        flood.linger = 0
        flood.connect(server.endpoint)
        for k in range(MOST_WAITING + 1):
            flood.send(msgpack.packb({"action": "blank", "on": True, "id": k + 1}))
        assert flood.poll(10_000)
        assert "are waiting already" in msgpack.unpackb(flood.recv())["reason"]


def test_a_dealer_may_leave_the_empty_part_out_or_not(server):
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        dealer.connect(server.endpoint)
        for head in ([], [b""], [b"route", b""]):
            dealer.send_multipart([*head, msgpack.packb({"action": "get_state"})])
            assert dealer.poll(10_000)
            *back, data = dealer.recv_multipart()
            assert back == head
            assert msgpack.unpackb(data)["ok"] is True

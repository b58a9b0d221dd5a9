"""The epics channel against p4p's own server, on loopback."""

import sys
import time

import pytest
from pydantic import ValidationError
from tests.adapters.channels.memory import running, until

from scopeside.errors import SourceError
from scopeside_adapters.channels.epics_pv import EpicsPv

pytest.importorskip("p4p", reason="p4p is not installed (extra: epics)")

from p4p.nt import NTEnum, NTScalar
from p4p.server import Server
from p4p.server.thread import SharedPV


@pytest.fixture
def serving():
    servers = []

    def serve(**pvs):
        servers.append(Server(providers=[pvs], isolate=True))
        return f"127.0.0.1:{servers[-1].conf()['EPICS_PVA_SERVER_PORT']}"

    yield serve
    for server in servers:
        server.stop()


def scalar(value, t=0.0, severity=0, kind="d"):
    pv = SharedPV(nt=NTScalar(kind))
    pv.open(value, timestamp=t, severity=severity)
    return pv


def source(server, pv="heat", **more):
    return EpicsPv(EpicsPv.Params.model_validate({"pv": pv, "server": server, **more}))


def test_a_number_comes_with_the_time_that_the_pv_says(serving):
    pv = scalar(1.5, t=100.25)
    with running(source(serving(heat=pv))) as sink:
        until(lambda: sink.found)
        pv.post(2.5, timestamp=101.5)
        until(lambda: len(sink.found) == 2)
    assert sink.found == [(100_250_000_000, 1.5), (101_500_000_000, 2.5)]


def test_the_time_may_be_that_of_arrival(serving):
    before = time.time_ns()
    with running(source(serving(heat=scalar(1.5)), time="arrival")) as sink:
        until(lambda: sink.found)
    assert before <= sink.found[0][0] <= time.time_ns()


def test_a_pv_without_a_time_is_refused_and_says_what_to_do(serving):
    pv = scalar(1.5, t=0.0)
    with running(source(serving(heat=pv))) as sink:
        until(lambda: sink.rejects)
    ((n, cause, message),) = sink.rejects
    assert (n, cause) == (1, "wrong_time")
    assert "set time = 'arrival'" in message


def test_an_invalid_value_is_no_sample(serving):
    pv = scalar(1.5, t=1.0, severity=3)
    with running(source(serving(heat=pv), repeat_s=0.01)) as sink:
        until(lambda: sink.rejects)
        pv.post(2.5, timestamp=2.0, severity=2)
        until(lambda: sink.found)
    assert sink.found[0] == (2_000_000_000, 2.5)
    assert sink.rejects == [(1, "invalid", "PV 'heat' is in the alarm state INVALID")]


@pytest.mark.parametrize(("kind", "value"), [("i", -3), ("?", True), ("L", 7)])
def test_whole_numbers_and_switches_are_numbers(serving, kind, value):
    with running(source(serving(heat=scalar(value, t=1.0, kind=kind)))) as sink:
        until(lambda: sink.found)
    assert sink.found == [(1_000_000_000, float(value))]


def test_an_enumeration_is_its_index(serving):
    pv = SharedPV(nt=NTEnum())
    pv.open({"index": 1, "choices": ["closed", "open"]}, timestamp=1.0)
    with running(source(serving(heat=pv))) as sink:
        until(lambda: sink.found)
    assert sink.found == [(1_000_000_000, 1.0)]


@pytest.mark.parametrize(("kind", "value"), [("ad", [1.0, 2.0]), ("s", "hot")])
def test_what_is_no_number_ends_the_source(serving, kind, value):
    with running(source(serving(heat=scalar(value, t=1.0, kind=kind)))) as sink:
        until(lambda: sink.error)
    assert isinstance(sink.error, SourceError)
    assert "a channel takes one number" in str(sink.error)


def test_not_a_number_is_refused(serving):
    with running(source(serving(heat=scalar(float("nan"), t=1.0)))) as sink:
        until(lambda: sink.rejects)
    assert sink.rejects[0][1] == "wrong_value"


def test_an_unchanged_value_is_said_again_on_request(serving):
    with running(source(serving(heat=scalar(4.0, t=1.0)), repeat_s=0.01)) as sink:
        until(lambda: len(sink.found) >= 3)
    assert {value for _, value in sink.found} == {4.0}
    assert all(t > 1_000_000_000 for t, _ in sink.found[1:])


def test_a_disconnected_pv_is_named_and_not_repeated():
    pv = scalar(4.0, t=1.0)
    server = Server(providers=[{"heat": pv}], isolate=True)
    address = f"127.0.0.1:{server.conf()['EPICS_PVA_SERVER_PORT']}"
    with running(source(address, repeat_s=0.01)) as sink:
        until(lambda: sink.found)
        server.stop()
        until(lambda: sink.notes)
        n = len(sink.found)
        until(lambda: sink.notes[0].endswith("is disconnected; waits for it"))
        assert len(sink.found) <= n + 1


def test_a_pv_that_nobody_serves_is_told(serving, monkeypatch):
    monkeypatch.setattr("scopeside_adapters.channels.epics_pv.PATIENCE_S", 0.1)
    with running(source(serving(heat=scalar(1.0)), pv="cold")) as sink:
        until(lambda: sink.notes)
    assert sink.notes == ["waits for PV 'cold': nobody serves it yet"]


def test_a_lacking_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "p4p.client", None)
    (problem,) = source(None).check()
    assert "pip install 'scopeside[epics]'" in problem


@pytest.mark.parametrize("server", ["here", "a b:1", "host:port", "http://x:1"])
def test_a_server_is_a_host_and_a_port(server):
    with pytest.raises(ValidationError, match="host:port"):
        source(server)

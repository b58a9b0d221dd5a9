"""The hostile table over real sockets: real guard, real server of other people.

What reached the instrument is counted there, in temscript's own log of requests.
"""

import contextlib
import time

import pytest
from tests.faults.room import TOKEN, Room
from tests.hostile_commands import LIMITS, ROWS
from tests.peers.temscript_null import MISSING, is_installed, temscript_null

from scopeside.errors import ProtocolError
from scopeside.wire import Kind, decode_own, encode

pytestmark = [
    pytest.mark.peers,
    pytest.mark.system,
    pytest.mark.skipif(not is_installed(), reason=MISSING),
]

ARMED = [row for row in ROWS if row.when == "armed"]
NOT_OF_TEMSCRIPT = ("exposure", "pause")


@pytest.fixture(scope="module")
def server():
    with temscript_null() as found:
        yield found


@pytest.fixture(scope="module")
def room(server, tmp_path_factory):
    with contextlib.ExitStack() as closing:
        folder = tmp_path_factory.mktemp("h")
        found = Room(
            folder,
            closing,
            adapter={
                "kind": "temscript",
                "port": server.port,
                "defocus_unit_m": 1.0,
                "magnifications": [[10, 100_000.0]],
            },
            limits=LIMITS,
            per_s=10_000.0,
            read_every_ms=100,
        )
        yield found.armed()


def good(room):
    now_ns = time.time_ns()
    evidence = {
        "acquisition": "a1",
        "epoch": 1,
        "first": 0,
        "frame": 7,
        "t_frame_ns": now_ns,
        "sources": [],
        "confidence": 0.9,
        "valid": True,
        "reason": "",
        "missed": 0,
    }
    return {
        "id": f"a1/test/{now_ns}",
        "action": "set_beam_shift",
        "fields": {"x_m": 1e-7, "y_m": 0.0},
        "rule": "test",
        "evidence": evidence,
        "created_ns": now_ns,
        "deadline_ns": now_ns + 10**9,
        "why": "",
    }


def told(room, row):
    """Send a row; return what came back, None if it cannot even be put on the wire."""
    values = row.make(good(room), time.time_ns())
    if row.ask and not isinstance(values, dict):
        return None  # what is no table is no message; it is counted as garbled
    who, kind, back = (
        ("person", Kind.ASK, Kind.ANSWER)
        if row.ask
        else ("adviser", Kind.PROPOSAL, Kind.DECIDED)
    )
    header = values if row.ask else {"token": TOKEN, "proposal": values}
    room.said[who].clear()
    try:
        decode_own(encode(kind, header))
    except (TypeError, ValueError, OverflowError, ProtocolError):
        return None
    getattr(room, who).send(kind, header)
    return room.wait_for(who, back)


def test_no_hostile_command_reaches_the_instrument(room, server):
    before = server.puts()
    wrong, sent = [], 0
    for row in ARMED:
        found = told(room, row)
        if found is None:
            continue
        sent += 1
        allowed = {row.cause}
        if any(word in row.name for word in NOT_OF_TEMSCRIPT):
            allowed.add("not_offered")
        if found["state"] != "refused" or found["cause"] not in allowed:
            wrong.append((row.name, row.cause, found["state"], found["cause"]))
    assert wrong == []
    assert sent >= 60
    assert server.puts() == before
    assert room.status()["mode"] == "armed"


def test_a_good_one_is_counted_there(room, server):
    before = len(server.puts())
    proposal = good(room)
    room.adviser.send(Kind.PROPOSAL, {"token": TOKEN, "proposal": proposal})
    room.decided(proposal["id"], "done")
    assert len(server.puts()) == before + 1
    assert server.get("beam_shift") == [1e-7, 0.0]

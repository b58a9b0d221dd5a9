"""Another program proposes to a whole engine through the door, and strangers do not."""

import json
import signal
import time

import pytest
import zmq
from tests.engine.small import eventually
from tests.system.engine_runs import running, scopeside
from tests.system.test_feedback import LEVEL, armed, control, pipeline, records, scope

import scopeside as package
from scopeside.control.client import GuardClient, evidence_of
from scopeside.link import Link
from scopeside.security.keys import read_secret, write_pair
from scopeside.wire import Kind

pytestmark = pytest.mark.system


def with_a_door(folder, endpoint):
    """A pipeline without rules, and a door that one program has a key for."""
    done = scopeside(folder, "keys", "new", "guard", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    blue = write_pair("blue", folder)[0]
    write_pair("stranger", folder)
    door = {
        "endpoint": "tcp://127.0.0.1:0",
        "key": "guard.key_secret",
        "clients": [
            {"name": "blue", "key": blue.public, "roles": ["propose", "observe"]}
        ],
    }
    return pipeline(folder, endpoint, [LEVEL], {"door": door}, frames=1_000_000)


def live_result(folder):
    (run,) = (folder / "run" / "scopeside").iterdir()
    with package.subscribe(f"ipc://{run}/results", timeout=20) as subscription:
        return next(subscription)


def guard_of(folder):
    """All that the guard says of itself."""
    done = scopeside(folder, "guard", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def all_turned_away(door):
    refused = door["refused"].keys()
    # A plain peer that hangs up first is only known to have spoken something else.
    return {"unknown_key", "forged_key"} <= refused and {
        "no_key",
        "handshake",
    } & refused


def knocks(context, endpoint, server, public, secret):
    """A DEALER that asks for something under a key, or under none."""
    link = Link(context, zmq.DEALER)
    if public:
        link.socket.curve_serverkey = server.encode()
        link.socket.curve_publickey = public.encode()
        link.socket.curve_secretkey = secret.encode()
    link.socket.connect(endpoint)
    link.send(Kind.ASK, {"ask": "blank"})
    return link


def test_a_program_with_a_key_acts_and_strangers_reach_nothing(tmp_path):
    with scope(tmp_path) as (microscope, em):
        path = with_a_door(tmp_path, em)
        pairs = {
            name: read_secret(tmp_path / f"{name}.key_secret")
            for name in ("guard", "blue", "stranger")
        }
        context = zmq.Context()
        with running(tmp_path, "run", path, "--headless") as engine:
            armed(engine, tmp_path)
            door = guard_of(tmp_path)["door"]
            try:
                links = [
                    knocks(context, door["endpoint"], pairs["guard"].public, *keys)
                    for keys in (
                        pairs["stranger"],
                        (pairs["blue"].public, pairs["stranger"].secret),
                        (None, None),
                    )
                ]
                eventually(
                    lambda: all_turned_away(guard_of(tmp_path)["door"]),
                    lambda: time.sleep(0.1),
                    "a count of three strangers",
                )
                assert guard_of(tmp_path)["mode"] == "armed"
            finally:
                for link in links:
                    link.close()
                context.destroy(linger=0)
            with GuardClient(
                door["endpoint"],
                pairs["guard"].public,
                tmp_path / "blue.key_secret",
                name="blue",
                timeout_s=20,
            ) as client:
                acts_and_is_held_back(client, tmp_path, microscope)
            control(engine, lambda c: c["mode"] == "parked", "was held")
            engine.process.send_signal(signal.SIGTERM)
            assert engine.wait() == 143
    proposals = [r["decision"] for r in records(tmp_path, "proposal")]
    assert {one["proposal"]["rule"] for one in proposals} == {"door:blue"}
    assert scopeside(tmp_path, "audit", "verify", "audit.jsonl").returncode == 0


def acts_and_is_held_back(client, folder, microscope):
    epoch = client.epoch()

    def proposed(fields):
        seen = evidence_of(live_result(folder), epoch)
        said = client.propose("set_defocus", fields, seen, valid_for_s=20.0)
        return client.decided(said.id, final=True)

    for _ in range(20):  # a frame may have grown too old on a busy machine
        done = proposed({"defocus_m": 3e-7})
        if done.cause != "stale":
            break
    assert (done.state, done.reason) == ("done", "")
    assert microscope.state.defocus_m == 3e-7
    before = microscope.state
    assert proposed({"defocus_m": 1000.0}).state == "refused"
    assert proposed({"defocus_m": 3e-7, "x": 1}).state == "refused"
    assert client.ask("arm", seconds=60)["cause"] == "no_role"
    assert client.hold()["ok"]
    assert proposed({"defocus_m": 1e-7}).cause == "parked"
    assert microscope.state == before

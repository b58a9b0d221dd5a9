"""The guard as a real process: who dies, hangs, lies or is late does no harm."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.engine.scope_in_folder import calls, state
from tests.faults.room import TOKEN, Room

from scopeside.control.client import GuardClient
from scopeside.control.keys import write_pair
from scopeside.control.proposal import Evidence
from scopeside.errors import EngineNotFoundError
from scopeside.wire import Kind

pytestmark = pytest.mark.system

DOSE = {
    "budget_e_per_A2": 1000.0,
    "calibration": {
        "rate_e_per_A2_s": 1e-3,
        "uncertainty": 0.05,
        "date": "2026-11-01",
    },
    "moves": {"stage": 1.0},
    "field_m": [1e-6, 1e-6],
    "margin_m": 0.0,
    "cell_m": 1e-7,
    "blank_s": 0.05,
    "max_age_days": 1e6,
}
ORPHANED = """
import json, os, subprocess, sys
spec = json.loads(sys.stdin.readline())
spec["parent"] = os.getpid()
guard = subprocess.Popen(
    [sys.executable, "-m", "scopeside.control.guard_process"],
    stdin=subprocess.PIPE, pass_fds=[spec["board_fd"]], process_group=0,
)
guard.stdin.write(json.dumps(spec).encode())
guard.stdin.close()
print(guard.pid, flush=True)
guard.wait()
"""
"""A supervisor that does nothing but be the parent of a guard."""


@pytest.fixture
def closing():
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def room(tmp_path, closing):
    return Room(tmp_path, closing)


@pytest.fixture
def budgeted(tmp_path, closing):
    """A room in which a dose budget is enforced."""
    return Room(tmp_path, closing, dose=DOSE)


def test_an_armed_guard_does_what_is_proposed_and_writes_it_down_first(room):
    room.armed()
    name = room.proposes(1e-9)
    room.decided(name, "done")
    assert room.shifts() == [1e-9]
    kinds = [one["kind"] for one in room.records()]
    assert "proposal" in kinds
    assert kinds.index("proposal") < kinds.index("answer")
    room.until(lambda: room.known and room.known["beam_shift_x_m"] == 1e-9)
    told = [one["values"] for one in room.heard("adviser", Kind.READBACK)]
    assert None in told, "it was not told that the settings are changing"


def test_it_is_ready_before_the_instrument_answers(room):
    (room.scope / "gone").touch()
    room.start()
    assert room.asks_stop("hold")["ok"]
    room.until(
        lambda: any(
            "nobody answers" in n["message"] for n in room.heard("control", Kind.NOTE)
        )
    )
    (room.scope / "gone").unlink()
    room.until(lambda: room.known is not None, "a read-back")


def test_an_instrument_that_goes_away_and_comes_back_is_told_to_the_adviser(room):
    room.ready()
    (room.scope / "gone").touch()
    room.until(lambda: room.known is None)
    (room.scope / "gone").unlink()
    room.until(lambda: room.known is not None)


def test_hold_is_answered_while_a_command_is_in_flight(room):
    room.armed()
    (room.scope / "hangs").touch()
    name = room.proposes(1e-9)
    room.until(room.shifts)
    assert room.asks_stop("hold")["ok"]
    room.until(lambda: room.status()["parked"])
    (room.scope / "hangs").unlink()
    room.decided(name, "done", "failed")
    room.decided(room.proposes(2e-9), "refused")
    assert room.shifts() == [1e-9]


def test_blank_reaches_the_instrument_while_a_command_is_in_flight(room):
    room.armed()
    (room.scope / "hangs").touch()
    room.proposes(1e-9)
    room.until(room.shifts)
    assert room.asks_stop("blank")["ok"]
    assert state(room.scope)["blanked"] is True
    assert calls(room.scope, "set_beam_shift done") == []
    shift, blank = (calls(room.scope, name)[0] for name in ("set_beam_shift", "blank"))
    assert shift["connection"] != blank["connection"]
    room.until(lambda: room.status()["parked"])


def stick(room, closing):
    """Have the guard's main loop hang on its disk; returns what lets it go."""
    fifo = room.folder / "fifo"
    os.mkfifo(fifo)
    stuck = fifo.replace(room.audit.with_name("audit.jsonl.dose.new"))

    def let_go():
        # The reader stays: a guard that was let in and finds nobody would try again,
        # and hang again. What it opens next is a file.
        with contextlib.suppress(OSError):
            closing.callback(os.close, os.open(stuck, os.O_RDONLY | os.O_NONBLOCK))
            stuck.unlink()

    closing.callback(let_go)
    return let_go


def test_hold_and_blank_are_answered_while_the_main_loop_hangs(budgeted, closing):
    room = budgeted.armed()
    stick(room, closing)
    room.until(lambda: not room.answers_within(0.2), "a loop that hangs")
    assert room.asks_stop("hold")["ok"]
    assert room.asks_stop("blank")["ok"]
    assert state(room.scope)["blanked"] is True


def test_a_main_loop_that_hangs_is_held_and_blanked_unasked(tmp_path, closing):
    room = Room(tmp_path, closing, dose=DOSE, silence_ms=300).armed()
    let_go = stick(room, closing)
    room.until(lambda: state(room.scope)["blanked"], "a blank")
    let_go()
    room.until(lambda: room.status()["parked"], "a park")
    assert "stood still" in json.dumps(room.records())


def test_a_guard_that_is_killed_comes_up_parked_and_nothing_is_pending(room):
    room.armed()
    (room.scope / "hangs").touch()
    room.proposes(1e-9)
    room.until(room.shifts)
    room.member.kill()
    assert "SIGKILL" in room.member.reap()
    (room.scope / "hangs").unlink()
    room.ready()
    assert room.status()["parked"]
    room.decided(room.proposes(2e-9), "refused")
    assert room.shifts() == [1e-9]
    assert room.asks("arm", seconds=60)["ok"]
    room.decided(room.proposes(2e-9), "done")


def test_silence_of_the_engine_parks(tmp_path, closing):
    room = Room(tmp_path, closing, silence_ms=300).armed()
    room.beats = False
    room.until(lambda: room.status()["parked"])
    room.decided(room.proposes(1e-9), "refused")
    assert room.shifts() == []


def orphan(room, closing):
    """Start a guard under a supervisor of its own; returns both pids."""
    script = [sys.executable, "-S", "-c", ORPHANED]
    spec = room.member.spec
    path = os.pathsep.join(p for p in sys.path if p)
    supervisor = subprocess.Popen(
        script,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[spec.board_fd],
        env={**os.environ, "PYTHONPATH": path},
    )

    def end():
        supervisor.kill()
        supervisor.wait()
        supervisor.stdin.close()
        supervisor.stdout.close()

    closing.callback(end)
    supervisor.stdin.write(spec.to_json().encode() + b"\n")
    supervisor.stdin.flush()
    guard = int(supervisor.stdout.readline())

    def end_guard():
        if lives(guard):
            os.kill(guard, signal.SIGKILL)

    closing.callback(end_guard)
    return supervisor, guard


def lives(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with Path(f"/proc/{pid}/stat").open() as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"


def begun(room):
    room.until(lambda: room.heard("control", Kind.READY), "READY")
    room.control.send(Kind.EPOCH, {"epoch": 1}, to=room.identity)
    room.adviser.send(Kind.JOIN, {"token": TOKEN})
    room.until(lambda: room.known is not None, "a read-back")
    assert room.asks("arm", seconds=600)["ok"]


def test_a_supervisor_that_is_killed_leaves_a_guard_that_holds_and_ends(room, closing):
    supervisor, guard = orphan(room, closing)
    begun(room)
    supervisor.kill()
    supervisor.wait()
    room.until(lambda: not lives(guard), "the end of the guard")
    assert "supervisor is gone" in json.dumps(room.records()[-3:])
    assert calls(room.scope, "blank") == []
    room.proposes(1e-9)
    assert room.shifts() == []


def test_a_wrong_token_is_refused_and_told(room):
    room.armed()
    name = room.proposes(1e-9, token="guessed")
    assert room.decided(name, "refused")["cause"] == "wrong_token"
    assert room.status()["forged"] == 1
    assert room.shifts() == []


def test_garbage_on_every_socket_harms_nobody(room):
    room.armed()
    garbage = ([b""], [b"SF"], [b"SF\1\145", b"\xc1"], [b"x"] * 100, [b"\0" * 5000])
    for parts in garbage:
        for link in (room.adviser, room.person, room.stop):
            link.socket.send_multipart(parts)
        room.control.socket.send_multipart([room.identity, *parts])
    headers = ({}, {"ask": 1}, {"ask": "arm"}, {"ask": "arm", "seconds": "x"})
    for header in headers:
        room.person.send(Kind.ASK, header)
        room.stop.send(Kind.ASK, header)
    for kind in (Kind.PROPOSAL, Kind.HEARD, Kind.JOIN, Kind.START):
        for header in (
            {},
            {"token": TOKEN},
            {"token": 7},
            {"token": TOKEN, "proposal": 1},
        ):
            room.adviser.send(kind, header)
    assert room.asks("hold")["ok"]
    assert room.asks("arm", seconds=60)["ok"]
    room.decided(room.proposes(1e-9), "done")
    assert room.shifts() == [1e-9]


def test_an_audit_log_that_cannot_be_written_keeps_everything_from_being_sent(room):
    room.audit.symlink_to("/dev/full")
    room.ready()
    room.asks("arm", seconds=600)
    room.decided(room.proposes(1e-9), "refused", "failed")
    assert room.shifts() == []
    assert room.status()["unwritten"]
    assert room.asks_stop("hold")["ok"]
    assert room.asks_stop("blank")["ok"]
    assert state(room.scope)["blanked"] is True


def test_an_audit_log_that_is_taken_away_while_armed_parks(room):
    room.armed()
    room.audit.rename(room.folder / "elsewhere")
    room.decided(room.proposes(1e-9), "refused", "failed")
    assert room.shifts() == []
    room.until(lambda: room.status()["parked"])


def test_at_a_clean_end_the_log_says_so_and_nothing_is_left(room):
    room.armed()
    room.control.send(Kind.STOP, {}, to=room.identity)
    room.until(room.ended, "the end")
    assert room.member.reap() == "exited with code 0"
    assert "engine ends" in json.dumps(room.records()[-1])


def test_a_signal_to_end_is_a_clean_end(room):
    room.armed()
    room.member.process.send_signal(signal.SIGTERM)
    room.until(room.ended, "the end")
    assert room.member.reap() == "exited with code 0"
    assert "signal" in json.dumps(room.records()[-1])


def test_observe_needs_no_instrument_and_tells_the_adviser_so(tmp_path, closing):
    room = Room(tmp_path, closing, mode="observe", adapter=None, clock="frames")
    room.start()
    assert room.until(lambda: room.heard("adviser", Kind.READBACK))[0]["values"] == {}
    assert not room.asks_stop("blank")["ok"]
    assert room.asks_stop("hold")["ok"]


# -- the door ----------------------------------------------------------------------


def test_a_program_at_the_door_is_heard_as_itself_and_a_stranger_not(tmp_path, closing):
    guard, blue = (write_pair(name, tmp_path)[0] for name in ("guard", "blue"))
    write_pair("stranger", tmp_path)
    client = {"name": "blue", "key": blue.public, "roles": ["propose", "observe"]}
    door = {
        "endpoint": "tcp://127.0.0.1:0",
        "key": str(tmp_path / "guard.key_secret"),
        "clients": [client],
    }
    room = Room(tmp_path, closing, door=door).armed()
    endpoint = room.status()["door"]["endpoint"]

    def program(name, timeout_s):
        key = tmp_path / f"{name}.key_secret"
        there = GuardClient(
            endpoint, guard.public, key, name="blue", timeout_s=timeout_s
        )
        return closing.enter_context(there)

    evidence = Evidence("a", 1, 0, 0, time.time_ns())
    asked = ("set_beam_shift", {"x_m": 1e-9, "y_m": 0.0}, evidence)
    with pytest.raises(EngineNotFoundError):
        program("stranger", 0.2).propose(*asked)
    blue = program("blue", 10)
    assert blue.status()["door"]["clients"]["blue"]["roles"] == ["observe", "propose"]
    room.turn()
    decision = blue.propose(*asked)
    assert blue.decided(decision.id, final=True).state == "done"
    assert room.shifts() == [1e-9]
    assert blue.hold()["ok"]
    assert room.status()["parked"]


def test_a_door_that_cannot_be_opened_leaves_a_guard_that_says_so(tmp_path, closing):
    pair = write_pair("blue", tmp_path)[0]
    door = {
        "endpoint": "tcp://127.0.0.1:0",
        "key": str(tmp_path / "lost.key_secret"),
        "clients": [{"name": "blue", "key": pair.public, "roles": ["propose"]}],
    }
    room = Room(tmp_path, closing, door=door).ready()
    assert room.status()["door"] is None
    notes = [note["message"] for note in room.heard("control", Kind.NOTE)]
    assert any("stays shut" in note for note in notes)


# -- with a dose budget ------------------------------------------------------------


def test_with_a_budget_a_killed_supervisor_leaves_the_beam_blanked(budgeted, closing):
    room = budgeted
    supervisor, guard = orphan(room, closing)
    begun(room)
    supervisor.kill()
    supervisor.wait()
    room.until(lambda: not lives(guard), "the end of the guard")
    assert state(room.scope)["blanked"] is True
    said = [one for one in room.records() if one["kind"] == "event"]
    assert "blanked" in [one["what"] for one in said]
    assert said[-1]["what"] in ("ended", "blanked")


def test_an_orphaned_guard_does_not_end_before_the_beam_is_blanked(budgeted, closing):
    room = budgeted
    (room.scope / "dark").touch()
    supervisor, guard = orphan(room, closing)
    begun(room)
    supervisor.kill()
    supervisor.wait()
    room.until(lambda: len(calls(room.scope, "blank")) > 2, "blanks tried again")
    assert lives(guard)
    (room.scope / "dark").unlink()
    room.until(lambda: not lives(guard), "the end of the guard")
    assert state(room.scope)["blanked"] is True


def test_with_a_budget_silence_of_the_engine_blanks(tmp_path, closing):
    room = Room(tmp_path, closing, dose=DOSE, silence_ms=300).armed()
    room.beats = False
    room.until(lambda: state(room.scope)["blanked"], "a blank")
    room.until(lambda: room.status()["parked"])


def test_with_a_budget_a_clean_end_blanks(budgeted):
    room = budgeted.armed()
    room.control.send(Kind.STOP, {}, to=room.identity)
    room.until(room.ended, "the end")
    assert room.member.reap() == "exited with code 0"
    assert state(room.scope)["blanked"] is True


def test_the_dose_account_outlives_a_guard_that_is_killed(budgeted):
    room = budgeted.armed()
    kept = room.audit.with_name("audit.jsonl.dose.json")
    room.until(kept.exists, "an account")
    room.until(lambda: room.status()["dose"]["run_e_per_A2"][0] > 0, "a dose")
    room.asks("do", action="set_beam_shift", fields={"x_m": 1e-9, "y_m": 0.0})
    before = json.loads(kept.read_text())["run"]
    room.member.kill()
    room.member.reap()
    room.ready()
    room.until(lambda: room.status()["dose"]["run_e_per_A2"] > before, "more dose")
    assert before[0] > 0


def test_a_dose_account_that_is_damaged_is_not_begun_anew_in_silence(budgeted):
    room = budgeted
    room.audit.with_name("audit.jsonl.dose.json").write_text("{")
    room.ready()
    assert "cannot be read" in json.dumps(room.status()["parked"])

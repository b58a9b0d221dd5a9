"""What persons type, against a real guard: it is done, written down, and explained."""

import contextlib
import os
import signal
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.engine.scope_in_folder import state
from tests.faults.room import Room
from typer.testing import CliRunner

from scopeside.cli.main import app
from scopeside.wire import Kind

pytestmark = pytest.mark.system


@pytest.fixture
def closing():
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def room(closing, monkeypatch):
    base = closing.enter_context(tempfile.TemporaryDirectory(prefix="sf"))
    monkeypatch.setenv("SCOPESIDE_RUN", base)
    folder = Path(base, "scopeside", "1-a")
    folder.mkdir(parents=True)
    return Room(folder, closing).ready()


@pytest.fixture
def typed(room, closing):
    """Types a command while the room's supervisor goes on to beat."""
    thread = closing.enter_context(ThreadPoolExecutor(1))

    def run(*arguments):
        future = thread.submit(CliRunner().invoke, app, list(arguments))
        while not future.done():
            room.turn()
        result = future.result()
        return result.exit_code, " ".join(result.output.split())

    return run


def test_arm_act_blank_and_hold_are_confirmed_and_can_be_read_afterwards(room, typed):
    code, text = typed("arm", "--for", "10m", "--yes")
    assert code == 0
    assert "set_beam_shift: x -1 µm … 1 µm, step 1 µm" in text
    name = room.proposes(3e-9)
    room.wait_for("adviser", Kind.DECIDED, id=name, state="done")
    far = room.proposes(5e-6)
    room.wait_for("adviser", Kind.DECIDED, id=far)
    assert "BLANKED" in typed("blank")[1]
    assert state(room.scope)["blanked"] is True
    assert typed("unblank", "--yes")[0] == 0
    assert state(room.scope)["blanked"] is False
    code, text = typed("hold")
    assert code == 0
    assert "HELD" in text
    assert typed("guard")[1].startswith("mode parked")

    code, text = typed("audit", "verify")
    assert code == 0
    assert "sound" in text
    text = typed("audit", "explain", name)[1]
    assert "commands set_beam_shift: x = 3 nm" in text
    assert "in the end done" in text
    text = typed("audit", "explain", far)[1]
    assert "FAILED range" in text
    assert "commands none" in text


def test_a_person_accepts_one_and_declines_another(room, typed):
    assert typed("advise")[0] == 0
    name = room.proposes(1e-9)
    room.wait_for("adviser", Kind.DECIDED, id=name, state="waiting")
    assert name in typed("proposals")[1]
    code, text = typed("accept", name)
    assert (code, text) == (0, "done by the instrument")
    assert state(room.scope)["beam_shift_x_m"] == 1e-9
    again = room.proposes(2e-9)
    room.wait_for("adviser", Kind.DECIDED, id=again, state="waiting")
    assert typed("decline", again)[0] == 0
    assert typed("accept", again)[0] == 1
    text = typed("audit", "explain", name)[1]
    assert "asked to accept it" in text
    assert "in the end done" in text
    assert "in the end lapsed: declined" in typed("audit", "explain", again)[1]


def test_a_guard_that_is_stopped_or_dead_does_not_confirm(room, typed):
    guard = room.member.process.pid
    os.kill(guard, signal.SIGSTOP)
    try:
        code, text = typed("hold", "--run", str(room.folder))
    finally:
        os.kill(guard, signal.SIGCONT)
    assert code == 1
    assert "NOT CONFIRMED: use the instrument's own controls" in text
    room.member.kill()
    room.member.reap()
    code, text = typed("hold")
    assert code == 1
    assert "No guard of yours is running" in text

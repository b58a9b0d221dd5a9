"""Persons ask the guard from the command line, and are told the truth."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tests.engine.audit_records import T, session
from tests.engine.guard_double import failed, guard_in, refused, silent
from typer.testing import CliRunner

from scopeside.cli import commanding, overseeing, stopping
from scopeside.cli.main import app
from scopeside.control import asking
from scopeside.errors import ConfigError, EngineNotFoundError, ScopesideError

S = 10**9


@pytest.fixture
def root(monkeypatch):
    """Where run folders lie: a short name, for a socket's name has 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="sf"))
    monkeypatch.setenv("SCOPESIDE_RUN", str(folder))
    yield folder / "scopeside"
    shutil.rmtree(folder)


@pytest.fixture
def guard(root):
    with guard_in(root / "1-a") as double:
        yield double


def run(*arguments: str):
    """What a command prints, and its exit code; errors are raised."""
    result = CliRunner().invoke(app, list(arguments))
    if isinstance(result.exception, ScopesideError):
        raise result.exception
    return result.exit_code, " ".join(result.output.split())


# -- hold and blank -----------------------------------------------------------------


@pytest.mark.parametrize(("what", "said"), [("hold", "HELD"), ("blank", "BLANKED")])
def test_to_stop_asks_the_socket_that_is_for_it(guard, what, said):
    code, text = run(what)
    assert code == 0
    assert said in text
    assert "confirmed after" in text
    ((name, request),) = guard.heard
    assert name == "stop"
    assert request["ask"] == what
    assert request["who"] == asking.who()
    assert len(request["id"]) == 32


def test_a_blank_that_did_not_work_is_not_confirmed(guard):
    guard.answers["stop"] = failed("the instrument does not answer")
    code, text = run("blank")
    assert code == 1
    assert "NOT CONFIRMED: use the instrument's own controls" in text
    assert "Asked to blank: the instrument does not answer" in text
    assert "BLANKED" not in text


def test_if_the_stopper_is_silent_the_guard_itself_is_asked(guard, monkeypatch):
    monkeypatch.setattr(asking, "STOPPER_S", 0.1)
    guard.answers["stop"] = silent
    code, text = run("hold")
    assert code == 0
    assert "HELD" in text
    assert [name for name, _ in guard.heard] == ["stop", "guard"]
    assert guard.heard[0][1] == guard.heard[1][1]


def test_if_nobody_answers_it_is_not_confirmed(guard, monkeypatch):
    monkeypatch.setattr(asking.stop, "__defaults__", (0.4,))
    monkeypatch.setattr(asking, "STOPPER_S", 0.1)
    monkeypatch.setattr(stopping, "SOON_S", 0.1)
    guard.answers |= {"stop": silent, "guard": silent}
    code, text = run("hold")
    assert text.startswith("No answer yet; do not wait for it.")
    assert code == 1
    assert "NOT CONFIRMED" in text
    assert "Asked to hold: no answer within 0.4 s" in text


def test_what_is_only_under_way_is_not_confirmed(guard):
    guard.answers["stop"] = lambda _: [{"ok": True, "state": "sent"}]
    code, text = run("blank")
    assert code == 1
    assert "BLANKED" not in text


@pytest.mark.parametrize("what", ["hold", "blank"])
def test_without_a_guard_it_is_not_confirmed(root, what):
    code, text = run(what)
    assert code == 1
    assert "NOT CONFIRMED: use the instrument's own controls" in text
    assert "No guard of yours is running" in text


def test_where_nobody_listens_it_is_not_confirmed_and_said_at_once(root):
    code, text = run("blank", "--run", str(root / "none"))
    assert code == 1
    assert "NOT CONFIRMED" in text
    assert "no guard listens in" in text


def test_all_guards_are_stopped_and_one_that_fails_counts(guard, root):
    with guard_in(root / "2-b") as other:
        assert run("hold")[0] == 0
        assert len(guard.heard) == len(other.heard) == 1
        other.answers["stop"] = failed("no")
        code, text = run("hold")
        assert code == 1
        assert "HELD" in text
        assert "NOT CONFIRMED" in text


def test_one_guard_is_stopped_if_it_is_named(guard, root):
    with guard_in(root / "2-b") as other:
        assert run("hold", "--run", str(other.folder))[0] == 0
        assert guard.heard == []


def test_a_socket_that_a_killed_guard_has_left_is_passed_over(guard, root):
    dead = root / "2-b"
    dead.mkdir()
    left = "import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])"
    subprocess.run([sys.executable, "-c", left, str(dead / "stop")], check=True)
    assert (dead / "stop").is_socket()
    assert asking.guarded() == [guard.folder]
    assert run("hold")[0] == 0


def test_the_commands_that_stop_need_neither_numpy_nor_rich():
    code = (
        "import sys; from scopeside.cli.stopping import stop_command;"
        "print(sorted({'rich', 'pydantic', 'numpy'} & set(sys.modules)))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ).stdout
    assert "rich" not in loaded


# -- arm ----------------------------------------------------------------------------


def test_arm_says_limits_and_till_when_then_arms(guard):
    guard.status["limits"] = {
        "set_beam_shift": {
            "every_s": 0.1,
            "fields": {
                "x_m": {
                    "min": -1e-7,
                    "max": 1e-7,
                    "step": 1e-8,
                    "excursion": None,
                    "tolerance": 1e-9,
                }
            },
        }
    }
    code, text = run("arm", "--for", "10m", "--yes")
    assert code == 0
    limits = "x -100 nm … 100 nm, step 10 nm; at most once every 100 ms"
    assert f"set_beam_shift: {limits}" in text
    assert "ARMED until" in text
    assert "no safety system" in text
    ((name, request),) = guard.heard
    assert name == "guard"
    assert request == {"ask": "arm", "seconds": 600.0, "who": asking.who()}


def test_arm_names_what_has_limits_where_it_is_not_told_more(guard):
    guard.status["limited"] = ["move_stage", "set_fov"]
    assert "pipeline file for: move_stage, set_fov" in run("arm", "--for=9s", "-y")[1]
    guard.status["limited"] = []
    assert "all are refused" in run("arm", "--for=9s", "-y")[1]


def test_arm_says_why_it_is_parked(guard):
    guard.status["parked"] = {"cause": "silence", "reason": "not heard", "since_ns": T}
    assert (
        "It is parked now: silence: not heard (since" in run("arm", "--for=9s", "-y")[1]
    )


@pytest.mark.parametrize(("reply", "armed"), [("y", 1), ("n", 0), ("", 0)])
def test_arm_asks_back_at_a_terminal(guard, monkeypatch, reply, armed):
    monkeypatch.setattr(commanding.sys, "stdin", Terminal(reply))
    monkeypatch.setattr("builtins.input", lambda _: reply)
    assert commanding.arm_command("1h", yes=False, run=None) == 1 - armed
    assert len(guard.heard) == armed


class Terminal:
    def __init__(self, reply: str) -> None:
        self.reply = reply

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("command", [["arm", "--for", "10m"], ["unblank"]])
def test_where_nobody_can_be_asked_yes_is_needed(guard, command):
    with pytest.raises(ConfigError, match="give --yes"):
        run(*command)
    assert guard.heard == []


def test_a_refusal_is_told_with_its_cause(guard):
    guard.answers["guard"] = refused("observe_only", "mode = 'observe'")
    code, text = run("arm", "--for", "10m", "--yes")
    assert code == 1
    assert "REFUSED (observe_only): mode = 'observe'" in text
    assert "ARMED" not in text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1.5h", 5400), ("12h", 43200), (" 1s ", 1)],
)
def test_a_time_is_read_with_its_unit(text, seconds):
    assert commanding.seconds_in(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "10", "m", "-1s", "1d", "1e3s", "13h", "0s", "0.5s", "nan", "10 m", "١s"],
)
def test_what_is_no_time_is_said(text):
    with pytest.raises(ConfigError, match="--for: found"):
        commanding.seconds_in(text)


# -- the others ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "asked", "said"),
    [
        (["advise"], {"ask": "advise"}, "ADVISE"),
        (["unblank", "--yes"], {"ask": "unblank"}, "UNBLANKED"),
        (["accept", "a/b/1"], {"ask": "accept", "id": "a/b/1"}, "done by"),
        (["decline", "a/b/1"], {"ask": "decline", "id": "a/b/1"}, "declined"),
    ],
)
def test_a_command_asks_the_guard_and_says_what_came_of_it(guard, command, asked, said):
    code, text = run(*command)
    assert code == 0
    assert said in text
    assert guard.heard == [("guard", {**asked, "who": asking.who()})]


def test_what_was_sent_is_waited_for_until_it_is_done(guard):
    sent = {"ok": True, "state": "sent"}
    guard.answers["guard"] = lambda _: [sent, failed("it is stuck")({})[0]]
    code, text = run("accept", "a")
    assert code == 1
    assert "FAILED: it is stuck" in text


def test_what_was_sent_and_not_heard_of_since_is_not_confirmed(guard, monkeypatch):
    monkeypatch.setattr(asking, "INSTRUMENT_S", 0.2)
    monkeypatch.setattr(commanding, "INSTRUMENT_S", 0.2)
    guard.answers["guard"] = lambda _: [{"ok": True, "state": "sent"}]
    code, text = run("accept", "a")
    assert code == 1
    assert "NOT CONFIRMED: sent" in text


def test_a_guard_that_does_not_answer_is_not_taken_for_a_yes(guard, monkeypatch):
    monkeypatch.setattr(commanding, "PATIENCE_S", 0.2)
    guard.answers["guard"] = silent
    code, text = run("advise")
    assert code == 1
    assert "NOT CONFIRMED: the guard did not answer" in text


def test_an_answer_of_a_wrong_form_is_not_taken_for_a_yes(guard, monkeypatch):
    monkeypatch.setattr(commanding, "PATIENCE_S", 0.2)
    guard.answers["guard"] = lambda _: [{"ok": 1, "state": 7, "reason": ["\x1b"]}]
    code, text = run("advise")
    assert code == 1
    assert "\x1b" not in text


def test_without_a_guard_one_is_told(root):
    with pytest.raises(EngineNotFoundError, match="no guard of yours is running"):
        run("advise")


def test_of_several_guards_one_has_to_be_named(guard, root):
    with guard_in(root / "2-b") as other:
        with pytest.raises(ConfigError, match="choose one") as raised:
            run("advise")
        assert f"--run {other.folder}" in str(raised.value)
        assert run("advise", "--run", str(other.folder))[0] == 0
    with pytest.raises(EngineNotFoundError, match="no guard listens in"):
        run("advise", "--run", str(root / "3-c"))


def test_the_words_of_help_say_that_it_is_no_safety_system():
    for command in ("arm", "guard"):
        assert "is no safety system" in run(command, "--help")[1]
    assert "instrument's own controls" in run("hold", "--help")[1]


# -- what is shown ------------------------------------------------------------------

WAITING = {
    "id": "acq/go/7/0",
    "action": "set_fov",
    "fields": {"width_m": 1e-6},
    "rule": "go",
    "why": "it nucleates",
    "acquisition": "acq",
    "frame": 7,
    "confidence": 0.75,
    "t_frame_ns": T,
    "until_ns": T + 60 * S,
}


def test_proposals_are_listed_with_evidence_and_age(guard, monkeypatch):
    monkeypatch.setattr(overseeing.time, "time_ns", lambda: T + 5 * S)
    guard.status["waiting"] = [WAITING]
    code, text = run("proposals")
    assert code == 0
    for part in ("acq/go/7/0", "go", "5.0 s", "55.0 s"):
        assert part in text
    assert json.loads(run("proposals", "--json")[1]) == [WAITING]


def test_it_is_said_if_none_waits(guard):
    assert "no proposal waits for a person" in run("proposals")[1]


def test_watching_ends_with_ctrl_c(guard, monkeypatch):
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(overseeing.time, "sleep", interrupt)
    code, text = run("proposals", "--watch")
    assert code == 0
    assert "no proposal waits" in text


def test_guard_says_mode_parked_dose_and_the_last_verdicts(guard):
    guard.status |= {
        "mode": "parked",
        "parked": {"cause": "held", "reason": "anna asked to hold", "since_ns": T},
        "dose": {
            "lacking": "no calibration",
            "run_e_per_A2": [12.5, 14.25],
            "run_budget_e_per_A2": 100.0,
            "here_e_per_A2": None,
            "rate_e_per_A2_s": 2.0,
            "blanked": True,
        },
        "last": [{"t_ns": T, "id": "a", "action": "set_fov", "state": "refused"}],
        "audit": "/data/audit.jsonl",
        "readback": {"t_ns": T, "values": {"fov_m": 1e-6}},
        "counts": {"refused": 3},
        "blanking": {"wanted": "", "tried": 0, "failed": ""},
        "under_way": None,
    }
    text = run("guard")[1]
    for part in (
        "held: anna asked to hold",
        "NOT ENFORCED: no calibration; run 12.5 (at most 14.25) of 100 e⁻/Å²; rate = 2",
        "beam blanked",
        "refused",
        "fov = 1 µm",
        "/data/audit.jsonl",
        "no safety system",
    ):
        assert part in text
    assert "blanking" not in text
    assert json.loads(run("guard", "--json")[1]) == guard.status


def test_guard_says_that_the_dose_is_not_counted_and_till_when_it_is_armed(guard):
    guard.status |= {"mode": "armed", "armed_until_ns": T, "armed_by": "anna@tem"}
    text = run("guard")[1]
    assert "armed until" in text
    assert "by anna@tem" in text
    assert "not counted: the pipeline file has no [control.dose]" in text


# -- audit --------------------------------------------------------------------------


def test_audit_verify_says_what_to_note_down(root, tmp_path):
    log = session(tmp_path / "audit.jsonl")
    code, text = run("audit", "verify", str(log))
    assert code == 0
    assert "10 records: sound" in text
    head = text.rpartition("--head ")[2]
    assert head.startswith("10:")
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))
    assert run("audit", "verify", str(log))[0] == 0
    code, text = run("audit", "verify", str(log), "--head", head)
    assert code == 1
    assert "lines were cut off" in text


def test_audit_verify_names_lines_and_ends_with_1(root, tmp_path):
    log = session(tmp_path / "audit.jsonl")
    log.write_bytes(log.read_bytes().replace(b"0.93", b"0.39") + b"garbage\n" * 60)
    code, text = run("audit", "verify", str(log))
    assert code == 1
    assert "line 3 (n = 3): its contents do not fit its hash: changed" in text
    assert "BROKEN" in text
    assert "more" in text


def test_audit_verify_tells_of_a_crash(root, tmp_path):
    log = session(tmp_path / "audit.jsonl")
    with log.open("ab") as file:
        file.write(b"half")
    session(log)
    code, text = run("audit", "verify", str(log))
    assert code == 0
    assert "line 11: torn by a crash" in text


def test_audit_show_lists_filters_and_gives_json(root, tmp_path, monkeypatch):
    log = str(session(tmp_path / "audit.jsonl"))
    monkeypatch.setenv("COLUMNS", "200")
    text = run("audit", "show", log)[1]
    assert "acq7/hold_still/44/0" in text
    assert "refused: step" in text
    text = run("audit", "show", log, "--refused", "--rule", "visit")[1]
    assert "refused: parked" in text
    assert "refused: step" not in text
    (found,) = json.loads(run("audit", "show", log, "--last", "1", "--json")[1])
    assert found["n"] == 10
    assert "nothing of that kind" in run("audit", "show", log, "--rule", "none")[1]


def test_audit_explain_tells_the_story(root, tmp_path):
    log = session(tmp_path / "audit.jsonl")
    code, text = run("audit", "explain", "acq7/hold_still/42/0", str(log))
    assert code == 0
    assert "frames 40 … 42 of acquisition acq7" in text


def test_the_log_is_that_of_the_guard_that_runs(guard, tmp_path):
    guard.status["audit"] = str(session(tmp_path / "other.jsonl"))
    assert "10 records: sound" in run("audit", "verify")[1]


def test_without_a_guard_it_is_the_one_in_this_folder(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ScopesideError, match=r"there is no audit\.jsonl here"):
        run("audit", "verify")
    session(tmp_path / "audit.jsonl")
    assert "10 records: sound" in run("audit", "verify")[1]
    assert "10 records: sound" in run("audit", "verify", str(tmp_path))[1]

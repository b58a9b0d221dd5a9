"""``scopeside arm``, ``advise``, ``unblank``, ``accept``, ``decline``."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

from scopeside.control.answer_words import DONE, answer_in_words, state_of_answer
from scopeside.control.asking import (
    INSTRUMENT_S,
    PATIENCE_S,
    Answer,
    ask,
    status,
    the_guarded,
)
from scopeside.control.audit_words import moment
from scopeside.control.guard_words import limits_in_words, parked_in_words
from scopeside.errors import ConfigError

MAX_ARM_S = 12 * 3600
_UNITS = {"s": 1, "m": 60, "h": 3600}
_TIME = re.compile(r"(\d+(?:\.\d+)?)([smh])", re.ASCII)


def arm_command(text: str, *, yes: bool, run: Path | None) -> int:
    """Arm, after saying what may happen; 0 only if the guard has confirmed."""
    seconds = seconds_in(text)
    folder = the_guarded(run)
    now = status(folder)
    print(
        f"Until {_in(seconds)} proposals act on the microscope without asking a person."
    )
    for line in limits_in_words(now.get("limits", now.get("limited"))):
        print(line)
    if parked := now.get("parked"):
        print(f"It is parked now: {parked_in_words(parked)}")
    print("This is no safety system: the instrument's own interlocks stay.")
    if not (yes or agreed("Arm?")):
        return _left("arm")
    request = {"ask": "arm", "seconds": seconds}
    done = f"ARMED until {_in(seconds)}; stop it with 'scopeside hold'"
    return said(ask(folder, request), "arm", done)


def _in(seconds: float) -> str:
    return moment(time.time_ns() + int(seconds * 1e9))[:-4]


def unblank_command(*, yes: bool, run: Path | None) -> int:
    """Let the beam on; 0 only if the guard has confirmed."""
    folder = the_guarded(run)
    if not (yes or agreed("Let the beam on?")):
        return _left("unblank")
    answer = ask(folder, {"ask": "unblank"}, INSTRUMENT_S)
    return said(answer, "unblank", DONE["unblank"])


def plain_command(what: str, run: Path | None, **fields: str) -> int:
    """Ask something that needs no asking back; 0 only if the guard has confirmed."""
    seconds = INSTRUMENT_S if what == "accept" else PATIENCE_S
    answer = ask(the_guarded(run), {"ask": what, **fields}, seconds)
    done = DONE[what] + (" ('scopeside proposals')" if what == "advise" else "")
    return said(answer, what, done)


def said(answer: Answer, what: str, done: str) -> int:
    """Print what has come of a request, and return the exit code."""
    print(answer_in_words(answer, what, done))
    return 0 if state_of_answer(answer) == "done" else 1


def seconds_in(text: str) -> float:
    """Return a time such as 90s, 10m or 2h in seconds.

    Raises
    ------
    ConfigError
        If it is none, or longer than the 12 hours that a person may arm for.
    """
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise ConfigError(
            f"--for: found {text!r:.40}; expected a number and s, m or h, such as 10m"
        )
    seconds = float(found[1]) * _UNITS[found[2]]
    if not 1 <= seconds <= MAX_ARM_S:
        raise ConfigError(f"--for: found {text!r:.40}; expected 1s to 12h")
    return seconds


def agreed(question: str) -> bool:
    """Ask a person, y or N.

    Raises
    ------
    ConfigError
        If there is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise ConfigError("nobody can be asked here, this is no terminal: give --yes")
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _left(what: str) -> int:
    print(f"Nothing was changed: {what} was not asked for.")
    return 1

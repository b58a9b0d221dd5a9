"""``scopeside arm``, ``advise``, ``unblank``, ``accept``, ``decline``."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scopeside.control.asking import (
    INSTRUMENT_S,
    PATIENCE_S,
    Answer,
    ask,
    status,
    the_guarded,
)
from scopeside.control.audit_words import amount, joined, moment, printable
from scopeside.errors import ConfigError

MAX_ARM_S = 12 * 3600
_UNITS = {"s": 1, "m": 60, "h": 3600}
_TIME = re.compile(r"(\d+(?:\.\d+)?)([smh])", re.ASCII)
_DONE = {
    "advise": "ADVISE: every proposal waits for a person ('scopeside proposals')",
    "accept": "done by the instrument",
    "decline": "declined",
    "unblank": "UNBLANKED: the beam is on",
}


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
    return said(answer, "unblank", _DONE["unblank"])


def plain_command(what: str, run: Path | None, **fields: str) -> int:
    """Ask something that needs no asking back; 0 only if the guard has confirmed."""
    seconds = INSTRUMENT_S if what == "accept" else PATIENCE_S
    answer = ask(the_guarded(run), {"ask": what, **fields}, seconds)
    return said(answer, what, _DONE[what])


def said(answer: Answer, what: str, done: str) -> int:
    """Print what has come of a request, and return the exit code."""
    reason = printable(answer.reason)
    if answer.state == "done":
        print(joined([done, reason]))
        return 0
    if not answer.state:
        print(f"NOT CONFIRMED: the guard did not answer whether it will {what}.")
    elif answer.state in ("refused", "failed"):
        cause = f" ({printable(answer.cause, 40)})" if answer.cause else ""
        print(f"{answer.state.upper()}{cause}: {reason or 'no reason was given'}")
    else:
        print(joined([f"NOT CONFIRMED: {printable(answer.state, 20)}", reason]))
    return 1


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


def limits_in_words(limits: Any) -> list[str]:
    """Return a line for each action that may be asked for."""
    if not isinstance(limits, Mapping | list):
        return ["The limits are those of the pipeline file when the engine began."]
    if not limits:
        return ["No action has limits in the pipeline file: all are refused."]
    if isinstance(limits, list):
        names = ", ".join(printable(name, 40) for name in limits)
        return [f"Within the limits of the pipeline file for: {names}."]
    return ["Limits:", *(_limit(str(k), v) for k, v in sorted(limits.items()))]


def _limit(action: str, limits: Any) -> str:
    if not isinstance(limits, Mapping):
        return f"  {printable(action)}: {printable(limits)}"
    fields = limits.get("fields")
    fields = fields if isinstance(fields, Mapping) else {}
    parts = [_field(str(name), one) for name, one in fields.items()]
    every = amount("every_s", limits.get("every_s")).removeprefix("every = ")
    return f"  {printable(action)}: {joined([*parts, f'every {every} at most'])}"


def _field(name: str, one: Any) -> str:
    if not isinstance(one, Mapping):
        return printable(name)
    unit = name[name.rfind("_") :] if "_" in name else ""
    short = name.removesuffix(unit)
    said_of = {
        key: amount(f"v{unit}", value).removeprefix("v = ")
        for key, value in one.items()
        if value is not None
    }
    text = f"{short} {said_of.get('min', '?')} … {said_of.get('max', '?')}"
    steps = [f"{key} {said_of[key]}" for key in ("step", "excursion") if key in said_of]
    return joined([text, *steps], ", ")


def parked_in_words(parked: Any) -> str:
    """Return why it is parked, and since when."""
    if not isinstance(parked, Mapping):
        return printable(parked)
    since = parked.get("since_ns")
    text = joined([printable(parked.get(key, "")) for key in ("cause", "reason")], ": ")
    return f"{text} (since {moment(since, date=False)})" if since else text

"""What has come of a request, in words: done, refused, failed, not confirmed."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from scopeside.control.asking import Answer
from scopeside.control.audit_words import joined, printable

NOT_CONFIRMED = "NOT CONFIRMED: use the instrument's own controls"
DONE: Mapping[str, str] = MappingProxyType(
    {
        "advise": "ADVISE: every proposal waits for a person",
        "accept": "done by the instrument",
        "decline": "declined",
        "unblank": "UNBLANKED: the beam is on",
        "hold": "HELD: nothing is sent any more; a person has to arm or advise again",
        "blank": "BLANKED, and held; a person has to unblank",
    }
)
"""By what was asked; of ``arm`` the time belongs to it."""
State = Literal["done", "refused", "failed", "not_confirmed"]


def state_of_answer(answer: Answer) -> State:
    """Return which of four it is: what was not heard of is no yes."""
    if answer.state == "done":
        return "done"
    if answer.state == "refused":
        return "refused"
    return "failed" if answer.state == "failed" else "not_confirmed"


def answer_in_words(answer: Answer, what: str, done: str) -> str:
    """Return what has come of a request; `done` where it was done."""
    reason = printable(answer.reason)
    match state_of_answer(answer):
        case "done":
            return joined([done, reason])
        case "refused" | "failed":
            cause = f" ({printable(answer.cause, 40)})" if answer.cause else ""
            text = f"{answer.state.upper()}{cause}"
            return f"{text}: {reason or 'no reason was given'}"
        case _ if not answer.state:
            return f"NOT CONFIRMED: the guard did not answer whether it will {what}."
        case _:
            return joined([f"NOT CONFIRMED: {printable(answer.state, 20)}", reason])


def stop_in_words(what: str, answer: Answer) -> str:
    """Return what has come of a hold or a blank."""
    reason = printable(answer.reason)
    if answer.ok:
        more = f"; {reason}" if reason else ""
        return f"{DONE[what]}{more} [confirmed after {answer.took_ms:.0f} ms]"
    return f"{NOT_CONFIRMED}.\nAsked to {what}: {reason or 'it did not say why'}"

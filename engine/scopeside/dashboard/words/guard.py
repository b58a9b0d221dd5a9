"""Sentences on feedback: the guard, the instrument, the dose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scopeside.dashboard.words.given import at, number, table, tables, text
from scopeside.dashboard.words.sentence import Now, Sentence

WARN_SHARE = 0.8
"""Of a dose budget; from there on it is told."""
WELL_AGAIN = "everything runs again: arm or advise when you are ready"
_AGAIN = "when the reason is gone, arm or advise again"


def guard_sentences(now: Now) -> Iterator[Sentence]:
    """Yield what is to be said of feedback; nothing where there is none."""
    control = table(now.status, "control")
    if text(control, "mode") == "lost":
        yield Sentence(
            "bad",
            "guard",
            "the guard was given up: nothing is sent to the microscope, and hold and "
            "blank on this page do nothing",
            "use the microscope's own controls; stop and start again",
        )
        return
    yield from _parked(control, now)
    why = text(control, "unreadable")
    if why and control.get("connected"):
        yield Sentence(
            "warn",
            "readback",
            f"the microscope does not say what it is set to ({why}): nothing is sent",
            "look at the instrument's program and its link",
        )
    if unwritten := text(control, "unwritten"):
        yield Sentence(
            "bad",
            "audit",
            f"the audit log cannot be written, so nothing is sent: {unwritten}",
            "make room on its disk; it is tried again",
        )
    yield from _dose(table(control, "dose"))


def _parked(control: Any, now: Now) -> Iterator[Sentence]:
    if not table(control, "parked"):
        return
    cause, reason = text(control, "parked", "cause"), text(control, "parked", "reason")
    asked = cause in ("held", "blanked", "ended")
    why = f": {reason}" if reason else ""
    yield Sentence(
        "warn" if asked or cause == "budget" else "bad",
        "parked",
        f"feedback is parked ({cause or 'no cause given'}), nothing is sent{why}",
        WELL_AGAIN if cause == "silence" and _runs(now) else _AGAIN,
    )


def _runs(now: Now) -> bool:
    """Whether no process of the engine is missing."""
    states = {text(one, "state") for one in tables(now.status, "processes")}
    down = states & {"starting", "degraded"}
    return text(now.status, "phase") == "running" and not down


def _dose(dose: Any) -> Iterator[Sentence]:
    for what, spent, budget in _budgets(dose):
        about = f"dose.{what}"
        if spent >= budget:
            yield Sentence(
                "bad",
                about,
                f"the dose of {what} is {spent:.3g} e⁻/Å², beyond its budget of "
                f"{budget:.3g} e⁻/Å²",
                "blank the beam or go to a fresh place",
            )
        elif spent >= WARN_SHARE * budget:
            yield Sentence(
                "warn",
                about,
                f"the dose of {what} is {spent:.3g} e⁻/Å², "
                f"{100 * spent / budget:.0f} % of its budget of {budget:.3g} e⁻/Å²",
                "go to a fresh place soon",
            )
    lacking = text(dose, "lacking")
    if lacking and list(_budgets(dose)):
        yield Sentence(
            "warn", "dose.lacking", f"the dose budget cannot be kept: {lacking}"
        )


def _budgets(dose: Any) -> Iterator[tuple[str, float, float]]:
    """Yield what has a budget, its upper dose and the budget, e⁻/Å²."""
    place, spent_here = "the place in the beam", at(dose, "here_e_per_A2")
    if spent_here is None:
        place = "the place that has most"
        spent_here = _upper(at(dose, "highest_e_per_A2"))
    for what, spent, key in (
        (place, spent_here, "budget_e_per_A2"),
        ("the run", _upper(at(dose, "run_e_per_A2")), "run_budget_e_per_A2"),
    ):
        budget = number(dose, key)
        if budget > 0 and spent is not None:
            yield what, number(spent), budget


def _upper(pair: Any) -> Any:
    return pair[-1] if isinstance(pair, list | tuple) and pair else None

"""What the guard says of itself, in words: limits, parks, dose, what is under way."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from scopeside.control.audit_words import amount, amounts, joined, moment, printable

NO_SAFETY_SYSTEM = (
    "scopeside is no safety system: the instrument's own interlocks and controls stay."
)
REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        "held": "Arm or advise when you are ready.",
        "blanked": "Let the beam on when the specimen may have it; then arm or advise.",
        "budget": "The dose budget is spent here: go to another place of the specimen, "
        "or stop; then advise or arm.",
        "silence": "The engine was not heard: see under Health what does not run; then "
        "advise or arm.",
        "instrument": "Look at the instrument: it did not do as told, or it reads back "
        "something else. Put that right; then advise or arm.",
        "overdue": "A command was not answered: look at the instrument. Nobody can arm "
        "before it has answered.",
        "second_writer": "Somebody else has moved what was set from here: find out "
        "who; then advise or arm.",
        "no_readback": "The instrument cannot be read: see to its connection; then "
        "advise or arm.",
        "restarted": "The guard was started again: see how the microscope stands; then "
        "advise or arm.",
        "ended": "The engine ends; start it again.",
    }
)
"""By the cause of a park: what a person can do."""


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
    return f"  {printable(action)}: {joined([*parts, f'at most once every {every}'])}"


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


def trouble_in_words(value: Any) -> str:
    """Return what is under way or wrong, empty if nothing is."""
    if not isinstance(value, Mapping):
        return printable(value) if value else ""
    return amounts({key: one for key, one in value.items() if one})


def dose_in_words(dose: Any) -> str:
    """Return dose against budget, or why it is not counted."""
    if not isinstance(dose, Mapping) or not dose:
        return "not counted: the pipeline file has no [control.dose]"
    lacking = dose.get("lacking")
    head = f"NOT ENFORCED: {printable(lacking)}" if lacking else ""
    if not head and dose.get("enforced") is False:
        head = "counted, without a budget"
    places = [
        _against("here", dose.get("here_e_per_A2"), dose.get("budget_e_per_A2")),
        _against("highest", dose.get("highest_e_per_A2"), dose.get("budget_e_per_A2")),
        _against("run", dose.get("run_e_per_A2"), dose.get("run_budget_e_per_A2")),
    ]
    rest = ("rate_e_per_A2_s", "left_e_per_A2", "pending_e_per_A2")
    found = [amount(key, dose[key]) for key in rest if dose.get(key) is not None]
    blanked = dose.get("blanked")
    beam = "" if blanked is None else "beam blanked" if blanked else "beam on"
    return joined([head, *places, *found, beam])


def _against(name: str, dose: Any, budget: Any) -> str:
    """Return a dose, [nominal, upper], against its budget."""
    if not isinstance(dose, list | tuple) or len(dose) != 2:
        return ""
    nominal, upper = (_number(one) for one in dose)
    of = "" if budget is None else f" of {_number(budget)}"
    return f"{name} {nominal} (at most {upper}){of} e⁻/Å²"


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else printable(value, 20)

"""What the guard's account of the dose adds to the plots: lines, and budgets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from scopeside.series.lines import Line

UNIT = "e⁻/Å²"
_LINES = (
    ("here_e_per_A2", 1, "dose", "here, at most"),
    ("highest_e_per_A2", 1, "dose", "worst place"),
    ("run_e_per_A2", 0, "run", "all places"),
    ("run_e_per_A2", 1, "run", "all places, at most"),
)
"""Key of the account, which of its two numbers, row, and label. Of here there is the
upper one only."""


def readings_of(account: Mapping[str, Any]) -> Iterator[tuple[Line, float]]:
    """Yield the doses and the rate as the guard counts them at this moment."""
    for key, which, row, label in _LINES:
        found = account.get(key)
        value = found[which] if isinstance(found, list | tuple) else found
        counts = row != "run" or account.get("run_budget_e_per_A2") is not None
        if value is not None and counts:
            line = Line(f"guard.{key}.{which}", row, f"guard: {label}", UNIT)
            yield line, float(value)
    rate = account.get("rate_e_per_A2_s")
    if rate is not None:
        lit = 0.0 if account.get("blanked") else float(rate)
        yield Line("guard.rate", "rate", "guard: calibrated", f"{UNIT}/s"), lit


def limits_of(account: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return by row what is not to be passed."""
    found = {}
    for row, key, label in (
        ("dose", "budget_e_per_A2", "budget of a place"),
        ("run", "run_budget_e_per_A2", "budget of all places"),
    ):
        if account.get(key) is not None:
            found[row] = [{"value": account[key], "label": label, "unit": UNIT}]
    return found

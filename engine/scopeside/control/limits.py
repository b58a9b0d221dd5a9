"""What the values of a call are held against: range, step, excursion, tolerance.

Comparisons are written so that a NaN, wherever it comes from, fails them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from scopeside.control.actions import ACTIONS, targets
from scopeside.control.checks import Check, failed, passed
from scopeside.control.instrument import Call, Readback, Value
from scopeside.control.settings import ActionLimits, FieldLimits


def values_checked(
    call: Call,
    limits: ActionLimits,
    readback: Readback | None,
    start: Mapping[str, float],
    *,
    connected: bool,
) -> Iterator[Check]:
    """Check every field of a call against its limits.

    Parameters
    ----------
    start
        By quantity: the value at arming.
    connected
        False where there is no instrument: then step and excursion cannot be checked,
        and nothing can be sent either.
    """
    action = ACTIONS[call.action]
    for field in action.fields:
        if field.name not in call.fields or field.kind == "switch":
            continue
        where = f"{call.action}.{field.name}"
        limit = limits.fields.get(field.name)
        if limit is None:
            yield failed("limits", "no_limits", f"{where} has no limits")
            continue
        yield _range(where, call.fields[field.name], limit)
        if limit.step is None and limit.excursion is None:
            continue
        if connected:
            value = call.fields[field.name]
            yield from _moves(where, value, limit, field.quantity, (readback, start))
        else:
            yield passed("step", f"{where}: not checked: there is no instrument")


def _range(where: str, value: Any, limit: FieldLimits) -> Check:
    numbers = [n for point in value for n in point] if _is_list(value) else [value]
    for number in numbers:
        if not number >= limit.min:
            text = f"{where} = {number:g} is below min = {limit.min:g}"
            return failed("range", "out_of_range", text)
        if not number <= limit.max:
            text = f"{where} = {number:g} is above max = {limit.max:g}"
            return failed("range", "out_of_range", text)
    shown = f"{len(value)} points lie" if _is_list(value) else f"{value:g} lies"
    return passed("range", f"{where}: {shown} in {limit.min:g} … {limit.max:g}")


def _moves(
    where: str,
    value: Any,
    limit: FieldLimits,
    quantity: str,
    origins: tuple[Readback | None, Mapping[str, float]],
) -> Iterator[Check]:
    """Check how far the value lies from the last one, and from that at arming."""
    readback, start = origins
    last = number_of(readback, quantity)
    for name, most, origin, of in (
        ("step", limit.step, last, "the value read back last"),
        ("excursion", limit.excursion, start.get(quantity), "the value at arming"),
    ):
        if most is None:
            continue
        if origin is None or _is_list(value):
            what = quantity or where
            text = f"{where}: {name} cannot be checked: {what} is not read back"
            yield failed(name, "no_readback", text)
            continue
        distance = abs(value - origin)
        if distance <= most:
            text = f"{where}: {distance:g} from {of} is within {name} = {most:g}"
            yield passed(name, text)
        else:
            text = f"{where} = {value:g} lies {distance:g} from {of}, {origin:g}"
            yield failed(name, name, f"{text}: above {name} = {most:g}")


def number_of(readback: Readback | None, quantity: str) -> float | None:
    """Return a finite number that was read back, None if there is none."""
    value = None if readback is None else readback.values.get(quantity)
    if value is None or isinstance(value, str):
        return None
    return float(value) if math.isfinite(value) else None


Wanted = dict[str, tuple[Value, float]]
"""By quantity: what was set, and how far a read-back may lie from it."""


def wanted(calls: Iterable[Call], limits: Mapping[str, ActionLimits]) -> Wanted:
    """Return what is to be read back once `calls` are done, in this order."""
    found: Wanted = {}
    for call in calls:
        known = ACTIONS[call.action]
        of_action = limits.get(call.action)
        tolerances = {
            field.quantity: of_action.fields[field.name].tolerance or 0.0
            for field in known.fields
            if of_action is not None and field.name in of_action.fields
        }
        for quantity, value in targets(call.action, call.fields).items():
            found[quantity] = (value, tolerances.get(quantity, 0.0))
    return found


def differs(want: Wanted, readback: Readback) -> str:
    """Return where a read-back is not what was set, in words; "" if nowhere.

    A switch or count that the instrument does not read back is not compared; a number
    must be there.
    """
    for quantity, (value, tolerance) in want.items():
        found = readback.values.get(quantity)
        if isinstance(value, float):
            number = number_of(readback, quantity)
            if number is None:
                return f"{quantity} was set to {value:g} and is not read back any more"
            if not abs(number - value) <= tolerance:
                away = f"{abs(number - value):g} away, tolerance {tolerance:g}"
                return f"{quantity} is {number:g}, was set to {value:g} ({away})"
        elif found is not None and found != value:
            return f"{quantity} is {found!r:.60}, was set to {value!r:.60}"
    return ""


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)

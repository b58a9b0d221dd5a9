"""The commands of the simulated microscope, and what is allowed in each.

What cannot be done exactly as asked is refused with a reason; nothing is ever clamped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scopeside_adapters.simulator.placing import Point

ENVELOPE = frozenset(
    {"action", "id", "created", "deadline", "frame", "epoch", "session"}
)
# In design 4.7, but nothing that this instrument could do: the size of a scan is that
# of its acquisition, and the detector takes acquisitions without being told.
NOT_OFFERED = frozenset({"set_scan", "acquire"})
MAX_POINTS = 10_000
LONGEST_DWELL_S = 60.0
LONGEST_PLACING_S = 600.0


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an action: its name, what it sets, and what is allowed."""

    name: str
    sets: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Action:
    """What may be asked for; without `partial` every field must be there."""

    fields: tuple[Field, ...] = ()
    switches: str = ""
    to: bool | None = None
    partial: bool = False


def _pair(prefix: str, limit: float) -> Action:
    return Action(
        tuple(Field(f"{a}_m", f"{prefix}_{a}_m", -limit, limit) for a in "xy")
    )


def _one(name: str, sets: str, low: float, high: float) -> Action:
    return Action((Field(name, sets, low, high),))


ACTIONS: Mapping[str, Action] = {
    "set_beam_shift": _pair("beam_shift", 5e-6),
    "set_image_shift": _pair("image_shift", 5e-6),
    "set_view_offset": _pair("view_offset", 5e-6),
    "move_stage": Action(
        (
            Field("x_m", "stage_x_m", -1e-3, 1e-3),
            Field("y_m", "stage_y_m", -1e-3, 1e-3),
            Field("z_m", "stage_z_m", -3e-4, 3e-4),
            Field("alpha_rad", "stage_alpha_rad", -1.25, 1.25),
            Field("beta_rad", "stage_beta_rad", -0.5, 0.5),
        ),
        partial=True,
    ),
    "set_defocus": _one("defocus_m", "defocus_m", -1e-4, 1e-4),
    "set_magnification": _one("value", "magnification", 50.0, 5e7),
    "set_fov": _one("width_m", "fov_m", 1e-10, 1e-3),
    "set_exposure": _one("exposure_s", "exposure_s", 1e-6, 100.0),
    "set_dose_rate": _one("e_per_A2_s", "dose_rate_e_per_A2_s", 0.0, 1e12),
    "blank": Action(switches="blanked"),
    "pause": Action(switches="paused", to=True),
    "resume": Action(switches="paused", to=False),
}


class Refused(Exception):  # noqa: N818 - it is no error, and never leaves the instrument
    """Why a command is not carried out."""


def check_deadline(deadline: Any, now_ns: int) -> None:
    """Raise Refused if a deadline has passed or is none."""
    if deadline is None:
        return
    if type(deadline) not in (int, float) or not math.isfinite(deadline):
        raise Refused(f"deadline is a time in ns since 1970, not {deadline!r:.60}")
    if deadline < now_ns:
        raise Refused(f"the deadline passed {(now_ns - deadline) / 1e6:.1f} ms ago")


def changes_of(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes of state that a request asks for, all of them allowed."""
    name = request.get("action")
    action = ACTIONS.get(name) if isinstance(name, str) else None
    if action is None:
        why = "not offered by" if _is_known(name) else "unknown to"
        raise Refused(f"action {name!r:.60} is {why} the simulated microscope")
    given = {key: value for key, value in request.items() if key not in ENVELOPE}
    if action.switches:
        return {action.switches: _switched(action, given)}
    allowed = {field.name: field for field in action.fields}
    _check_names(given, allowed, partial=action.partial)
    return {
        allowed[key].sets: _number(allowed[key], value) for key, value in given.items()
    }


def _is_known(name: Any) -> bool:
    return isinstance(name, str) and name in NOT_OFFERED


def _switched(action: Action, given: Mapping[str, Any]) -> bool:
    if action.to is not None:
        _check_names(given, {}, partial=False)
        return action.to
    _check_names(given, {"on": None}, partial=False)
    if type(given["on"]) is not bool:
        raise Refused(f"on is true or false, not {given['on']!r:.60}")
    return given["on"]


def _check_names(
    given: Mapping[str, Any], allowed: Mapping[str, Any], *, partial: bool
) -> None:
    for key in given:
        if key not in allowed:
            known = ", ".join(allowed) or "none"
            raise Refused(f"unknown field {key!r:.60}; this action has: {known}")
    if not given and allowed:
        raise Refused(f"fields are missing: {', '.join(allowed)}")
    if not partial and (missing := [key for key in allowed if key not in given]):
        raise Refused(f"fields are missing: {', '.join(missing)}")


def _number(field: Field, value: Any) -> float:
    if type(value) not in (int, float):
        raise Refused(f"{field.name} is a number, not {value!r:.60}")
    if not field.low <= value <= field.high:  # false for NaN too
        raise Refused(
            f"{field.name} = {value!r:.60} is outside {field.low:g} … {field.high:g}"
        )
    return float(value)


def placing(request: Mapping[str, Any]) -> tuple[tuple[Point, ...], int]:
    """Return the points of ``place_beam``, and how long to stay on each, ns."""
    given = {key: value for key, value in request.items() if key not in ENVELOPE}
    _check_names(given, {"points": None, "dwell_s": None}, partial=False)
    dwell_s = _number(Field("dwell_s", "", 1e-6, LONGEST_DWELL_S), given["dwell_s"])
    points = given["points"]
    if not isinstance(points, list | tuple) or not 1 <= len(points) <= MAX_POINTS:
        raise Refused(f"points is a list of 1 to {MAX_POINTS} [row, column]")
    if len(points) * dwell_s > LONGEST_PLACING_S:
        raise Refused(
            f"{len(points)} points of {dwell_s:g} s take longer than "
            f"{LONGEST_PLACING_S:g} s"
        )
    return tuple(_point(point) for point in points), round(dwell_s * 1e9)


def _point(point: Any) -> Point:
    if not isinstance(point, list | tuple) or len(point) != 2:
        raise Refused(f"a point is [row, column], not {point!r:.60}")
    row, column = point
    return (
        _number(Field("row of a point", "", 0.0, 1.0), row),
        _number(Field("column of a point", "", 0.0, 1.0), column),
    )


def check_range(action: str, value: float) -> None:
    """Raise Refused if a value follows from another one and is out of range."""
    _number(ACTIONS[action].fields[0], value)

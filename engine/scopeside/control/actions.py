"""The vocabulary of control: what a microscope can be asked for, in SI units.

Every field is absolute and bears its unit in its name. What is asked is taken exactly
as it stands or refused with a reason: unknown and missing fields, numbers that are not
finite, and values of a wrong type are never mended, rounded or clamped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from scopeside.errors import RefusedError
from scopeside.messages import unknown

FieldKind = Literal["number", "switch", "count", "points"]
MAX_POINTS = 10_000


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an action.

    Attributes
    ----------
    quantity
        What a read-back calls it; empty: nothing reads it back.
    kind
        ``number`` (finite), ``switch`` (true or false), ``count`` (a whole number of 1
        or more), ``points`` (a list of [row, column], each 0 … 1 of the scanned field).
    """

    name: str
    quantity: str = ""
    kind: FieldKind = "number"
    required: bool = True


@dataclass(frozen=True, slots=True)
class Action:
    """What may be asked for.

    Attributes
    ----------
    sets
        (quantity, value) that the action sets without being told, as ``pause`` does.
    """

    name: str
    fields: tuple[Field, ...] = ()
    sets: tuple[tuple[str, bool], ...] = ()

    def field(self, name: str) -> Field | None:
        """Return the field of that name."""
        return next((field for field in self.fields if field.name == name), None)


def _pair(name: str, quantity: str) -> Action:
    return Action(name, tuple(Field(f"{a}_m", f"{quantity}_{a}_m") for a in "xy"))


def _table(actions: Iterable[Action]) -> Mapping[str, Action]:
    return MappingProxyType({action.name: action for action in actions})


ACTIONS: Mapping[str, Action] = _table(
    [
        _pair("set_beam_shift", "beam_shift"),
        _pair("set_image_shift", "image_shift"),
        # Point of the specimen that the view is centred on, in the picture's own axes.
        _pair("set_view_offset", "view_offset"),
        Action(
            "move_stage",
            tuple(
                Field(name, f"stage_{name}", required=False)
                for name in ("x_m", "y_m", "z_m", "alpha_rad", "beta_rad")
            ),
        ),
        Action("set_defocus", (Field("defocus_m", "defocus_m"),)),
        Action("set_magnification", (Field("value", "magnification"),)),
        Action("set_fov", (Field("width_m", "fov_m"),)),
        Action(
            "set_scan",
            (
                Field("rows", "scan_rows", "count"),
                Field("columns", "scan_columns", "count"),
                Field("dwell_s", "scan_dwell_s"),
                Field("rotation_rad", "scan_rotation_rad", required=False),
            ),
        ),
        Action("place_beam", (Field("points", "", "points"), Field("dwell_s"))),
        Action("set_exposure", (Field("exposure_s", "exposure_s"),)),
        Action("acquire", (Field("frames", "", "count", required=False),)),
        Action("pause", sets=(("paused", True),)),
        Action("resume", sets=(("paused", False),)),
        Action("blank", (Field("on", "blanked", "switch"),)),
        Action("set_dose_rate", (Field("e_per_A2_s", "dose_rate_e_per_A2_s"),)),
    ]
)
"""All actions by name (design 4.7)."""


def checked(action: Any, fields: Any) -> dict[str, Any]:
    """Return the fields of an action, every one known, there, and of its type.

    Numbers come back as float; counts as int; points as a list of (row, column).

    Raises
    ------
    RefusedError
        With the cause ``unknown_action``, ``wrong_type``, ``unknown_field``,
        ``missing_field``, ``not_finite`` or ``out_of_range``.
    """
    known = ACTIONS.get(action) if isinstance(action, str) else None
    if known is None:
        raise RefusedError(
            unknown("action", f"{action!s:.60}", ACTIONS), "unknown_action"
        )
    if not isinstance(fields, Mapping):
        raise RefusedError(
            f"{action}: fields are a table of names and values, not {fields!r:.60}",
            "wrong_type",
        )
    for name in fields:
        if not isinstance(name, str) or known.field(name) is None:
            names = [field.name for field in known.fields]
            raise RefusedError(
                f"{action}: {unknown('field', f'{name!s:.60}', names)}", "unknown_field"
            )
    lacking = [f.name for f in known.fields if f.required and f.name not in fields]
    if not lacking and known.fields and not fields and action == "move_stage":
        lacking = ["one of x_m, y_m, z_m, alpha_rad, beta_rad"]
    if lacking:
        raise RefusedError(f"{action}: missing: {', '.join(lacking)}", "missing_field")
    return {
        field.name: _value(f"{action}.{field.name}", field.kind, fields[field.name])
        for field in known.fields
        if field.name in fields
    }


def targets(action: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the quantities that an action sets, as a read-back would give them."""
    known = ACTIONS[action]
    found: dict[str, Any] = dict(known.sets)
    for name, value in fields.items():
        field = known.field(name)
        if field is not None and field.quantity:
            found[field.quantity] = value
    return found


def _value(where: str, kind: FieldKind, value: Any) -> Any:
    match kind:
        case "switch":
            if type(value) is not bool:
                raise RefusedError(
                    f"{where} is true or false, not {value!r:.60}", "wrong_type"
                )
            return value
        case "count":
            if type(value) is not int:
                raise RefusedError(
                    f"{where} is a whole number, not {value!r:.60}", "wrong_type"
                )
            if not 1 <= value <= 1 << 31:
                raise RefusedError(
                    f"{where} is 1 or more, not {value!r:.60}", "out_of_range"
                )
            return value
        case "points":
            return _points(where, value)
        case _:
            return _number(where, value)


def _number(where: str, value: Any) -> float:
    if type(value) not in (int, float):
        raise RefusedError(f"{where} is a number, not {value!r:.60}", "wrong_type")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise RefusedError(f"{where} = {value!r:.60} is not finite", "not_finite")
    return number


def _points(where: str, value: Any) -> list[tuple[float, float]]:
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= MAX_POINTS:
        raise RefusedError(
            f"{where} is a list of 1 to {MAX_POINTS} [row, column]", "wrong_type"
        )
    found = []
    for k, point in enumerate(value):
        if not isinstance(point, list | tuple) or len(point) != 2:
            raise RefusedError(
                f"{where}[{k}] is [row, column], not {point!r:.60}", "wrong_type"
            )
        row, column = (_number(f"{where}[{k}]", one) for one in point)
        if not (0 <= row <= 1 and 0 <= column <= 1):
            raise RefusedError(
                f"{where}[{k}] = [{row:g}, {column:g}] lies outside of the scanned "
                "field, 0 … 1",
                "out_of_range",
            )
        found.append((row, column))
    return found

"""What the beam does at given settings: how bright it is, and what it lights.

Specimen coordinates (y, x) are those of the middle of the field, in metres: the sum of
what each of `DoseSettings.moves` contributes. A shift of +1 m that moves the beam by
+1 m has 1; a stage that carries the specimen along with it has -1. For the simulator,
whose picture is what is lit, ``moves = { view_offset = 1, beam_shift = 1,
image_shift = -1, stage = -1 }``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from scopeside.control.actions import targets
from scopeside.control.dose_settings import Calibration, Condition, DoseSettings
from scopeside.control.instrument import Call, Value

ELEMENTARY_CHARGE_C = 1.602176634e-19
A2_PER_M2 = 1e20
_SAME = 1e-3
SIGMAS = 2.0
"""The upper bound of a rate lies so many standard deviations above it."""


class Rate(NamedTuple):
    """A dose rate and its upper bound, e⁻/Å²/s."""

    nominal: float
    upper: float


class Box(NamedTuple):
    """A rectangle of the specimen, metres."""

    top: float
    left: float
    bottom: float
    right: float

    def wider(self, by_m: float) -> Box:
        """Return one that reaches farther by so much on each side."""
        top, left, bottom, right = self
        return Box(top - by_m, left - by_m, bottom + by_m, right + by_m)

    def with_(self, other: Box) -> Box:
        """Return the smallest one around both."""
        return Box(
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )


@dataclass(frozen=True, slots=True)
class Beam:
    """What the beam does.

    Attributes
    ----------
    on
        Whether it reaches the specimen; also where the instrument does not say.
    box
        What it may light when it is on, margin included; None if unknown.
    field
        What it lights nominally.
    rate
        Its dose rate when it is on; None if unknown. Where electrons are counted, the
        most that the beam can bring.
    calibration
        What `rate` is known from.
    lacking
        Why `box` or `rate` or `on` is unknown; "" if nothing is.
    stage
        Where the stage stands: between two places the beam lights all that lies there.
    """

    on: bool
    box: Box | None
    field: Box | None
    rate: Rate | None
    calibration: Calibration | None
    lacking: str
    stage: tuple[Value | None, ...]


def beam(settings: DoseSettings, values: Mapping[str, Value]) -> Beam:
    """Return what the beam does at the settings `values` of the instrument."""
    blanked = values.get("blanked")
    lacking = []
    if not isinstance(blanked, bool):
        lacking.append("the instrument does not say whether the beam is blanked")
    field, rate = _field(settings, values), _rate(settings, values)
    lacking += [one for one in (rate, field) if isinstance(one, str)]
    return Beam(
        on=blanked is not True,
        box=None if isinstance(field, str) else field.wider(settings.margin_m),
        field=None if isinstance(field, str) else field,
        rate=None if isinstance(rate, str) else rate[0],
        calibration=None if isinstance(rate, str) else rate[1],
        lacking="; ".join(lacking),
        stage=tuple(values.get(name) for name in ("stage_x_m", "stage_y_m")),
    )


def predicted(values: Mapping[str, Value], call: Call) -> dict[str, Any]:
    """Return the settings after a call; width of field times magnification stays."""
    after = {**values, **targets(call.action, call.fields)}
    fov, magnification = _number(values, "fov_m"), _number(values, "magnification")
    if fov and magnification:
        if call.action == "set_fov":
            after["magnification"] = magnification * fov / call.fields["width_m"]
        elif call.action == "set_magnification":
            after["fov_m"] = fov * magnification / call.fields["value"]
    return after


def field_m(
    settings: DoseSettings, values: Mapping[str, Value]
) -> tuple[float, float] | str:
    """Return height and width of the field, metres, or why they are unknown."""
    if settings.field_m is not None:
        return settings.field_m
    width = _number(values, "fov_m")
    if width is None or width <= 0:
        return "the instrument does not say the width of the field (fov_m)"
    aspect = settings.field_aspect or 1.0
    rows, columns = _number(values, "scan_rows"), _number(values, "scan_columns")
    if rows and columns and rows > 0 and columns > 0:
        aspect = max(aspect, rows / columns)
    return width * aspect, width


def centre_m(
    settings: DoseSettings, values: Mapping[str, Value]
) -> tuple[float, float] | str:
    """Return (y, x) of the middle of the field, or why it is unknown."""
    y = x = 0.0
    for name, factor in settings.moves.items():
        by_x, by_y = _number(values, f"{name}_x_m"), _number(values, f"{name}_y_m")
        if by_x is None or by_y is None:
            return f"the instrument does not say {name}_x_m and {name}_y_m"
        if isinstance(factor, tuple):
            (xx, xy), (yx, yy) = factor
        else:
            xx, xy, yx, yy = factor, 0.0, 0.0, factor
        x += xx * by_x + xy * by_y
        y += yx * by_x + yy * by_y
    return y, x


def turned(settings: DoseSettings, values: Mapping[str, Value]) -> float | str:
    """Return the rotation of the field, rad, or why it is unknown."""
    if not settings.rotation:
        return 0.0
    angle = _number(values, settings.rotation)
    return (
        f"the instrument does not say {settings.rotation}" if angle is None else angle
    )


def _field(settings: DoseSettings, values: Mapping[str, Value]) -> Box | str:
    centre, field = centre_m(settings, values), field_m(settings, values)
    angle = turned(settings, values)
    for one in (centre, field, angle):
        if isinstance(one, str):
            return one
    assert not isinstance(centre, str)
    assert not isinstance(field, str)
    assert not isinstance(angle, str)
    (y, x), (height, width) = centre, field
    c, s = abs(math.cos(angle)), abs(math.sin(angle))
    half_y = (height * c + width * s) / 2
    half_x = (width * c + height * s) / 2
    return Box(y - half_y, x - half_x, y + half_y, x + half_x)


def _rate(
    settings: DoseSettings, values: Mapping[str, Value]
) -> tuple[Rate, Calibration] | str:
    """Return the highest rate of the calibrations that hold, or why none does."""
    reasons, found = [], []
    for calibration in settings.calibration:
        rate = _not_at(calibration, values) or _of(calibration, settings, values)
        if isinstance(rate, str):
            reasons.append(rate)
        else:
            found.append((rate, calibration))
    if found:
        return max(found, key=lambda each: each[0].upper)
    listed = "; ".join(dict.fromkeys(reasons))
    return f"no calibration of the dose rate holds here: {listed}"


def _of(
    calibration: Calibration, settings: DoseSettings, values: Mapping[str, Value]
) -> Rate | str:
    if (most := calibration.at_most_e_per_A2_s) is not None:
        return Rate(most, most)
    if (rate := calibration.rate_e_per_A2_s) is None:
        name = calibration.quantity or calibration.current or ""
        said = _number(values, name)
        if said is None or said < 0:
            return f"the instrument does not say {name}"
        if calibration.quantity:
            rate = said * (calibration.scale or 0.0)
        else:
            area = calibration.area_m2
            if area == "field":
                field = field_m(settings, values)
                if isinstance(field, str):
                    return field
                area = field[0] * field[1]
            assert isinstance(area, float)
            rate = said / ELEMENTARY_CHARGE_C / (area * A2_PER_M2)
    return Rate(rate, rate * (1 + SIGMAS * (calibration.uncertainty or 0.0)))


def _not_at(calibration: Calibration, values: Mapping[str, Value]) -> str:
    """Return why a calibration does not hold at these settings; "" if it does."""
    for quantity, wanted in calibration.at.items():
        found = values.get(quantity)
        if found is None:
            return f"the instrument does not say {quantity}"
        if not _is(wanted, found):
            return f"{quantity} is {_as_said(found)}, not {_as_said(wanted)}"
    return ""


def _is(wanted: Condition, found: Value) -> bool:
    if isinstance(wanted, str | bool) or isinstance(found, str | bool):
        return type(wanted) is type(found) and wanted == found
    if isinstance(wanted, tuple):
        return wanted[0] <= found <= wanted[1]
    return abs(found - wanted) <= _SAME * abs(wanted)


def _as_said(value: Condition) -> str:
    if isinstance(value, tuple):
        return f"{value[0]:g} … {value[1]:g}"
    if isinstance(value, bool | str):
        return str(value).lower() if isinstance(value, bool) else repr(value)
    return f"{value:g}"


def _number(values: Mapping[str, Value], name: str) -> float | None:
    """Return a quantity as a finite number, None where it is not one."""
    value = values.get(name)
    if isinstance(value, bool | str) or value is None or not math.isfinite(value):
        return None
    return float(value)

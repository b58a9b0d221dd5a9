"""How the stage comes to a place always from the same side, against its backlash."""

from __future__ import annotations

from scopeside.control.instrument import Call, Readback
from scopeside.control.settings import ActionLimits
from scopeside.errors import RefusedError

AXES = ("x_m", "y_m")


def approach_of(call: Call, last_leg_m: tuple[float, float]) -> Call | None:
    """Return the move that comes before the last leg of another, None if there is none.

    Parameters
    ----------
    last_leg_m : (x, y), m; 0: along this axis it goes straight
    """
    if call.action != "move_stage":
        return None
    fields = {
        name: call.fields[name] - leg
        for name, leg in zip(AXES, last_leg_m, strict=True)
        if leg and name in call.fields
    }
    return Call(call.action, {**call.fields, **fields}) if fields else None


def check_approach(call: Call, now: Readback, limits: ActionLimits) -> None:
    """Refuse an approach that goes where the stage itself may not go.

    Fields without limits are left to the guard, which refuses the move itself.

    Raises
    ------
    RefusedError
        With the cause ``plan``.
    """
    for name in AXES:
        one = limits.fields.get(name)
        if name not in call.fields or one is None:
            continue
        value, here = call.fields[name], now.number(f"stage_{name}")
        what = f"the last leg of the stage would begin at {name} = {value:g}"
        if not one.min <= value <= one.max:
            allowed = f"{one.min:g} … {one.max:g}"
            raise RefusedError(f"{what}, outside of {allowed}", "plan")
        if here is None:
            raise RefusedError(f"the instrument does not say stage_{name}", "plan")
        if one.step is not None and abs(value - here) > one.step:
            raise RefusedError(
                f"{what}, more than a step of {one.step:g} m from {here:g}", "plan"
            )

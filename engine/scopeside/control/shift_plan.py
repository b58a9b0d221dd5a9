"""Where an actuator is moved to measure how content moves with it. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from scopeside.control.settings import ActionLimits
from scopeside.errors import ConfigError

Place = tuple[float, float]

OF_FIELD = 0.1
"""Share of the field of view that a step moves content by, if it moves it as told."""
OF_LIMIT = 0.9
"""Share of the limits that a step uses."""


def star(start: Place, step_m: float, repeats: int) -> list[Place]:
    """Return the places to visit, (x, y) m, the first and the last of them `start`.

    Out along +x, +y, −x, −y and back each time, so that no move is longer than a step;
    every other round in the opposite order, so that what drifts evenly in time looks
    like no motion along an axis.
    """
    x, y = start
    arms = [(x + step_m, y), (x, y + step_m), (x - step_m, y), (x, y - step_m)]
    places = [start]
    for k in range(repeats):
        for arm in arms if k % 2 == 0 else arms[::-1]:
            places += [arm, start]
    return places


def step_for(limits: ActionLimits, field_m: float | None) -> float:
    """Return a step that limits and field of view allow, m.

    Parameters
    ----------
    field_m
        The shorter side of the field of view, None where it is not known.

    Raises
    ------
    ConfigError
        If nothing says how large it may be.
    """
    allowed = [
        OF_LIMIT * bound
        for name in ("x_m", "y_m")
        if name in limits.fields
        for bound in (limits.fields[name].step, limits.fields[name].excursion)
        if bound is not None
    ]
    if field_m is not None:
        allowed.append(OF_FIELD * field_m)
    if not allowed:
        raise ConfigError("neither limits nor a pixel size say how far to move: --step")
    return min(allowed)


def check(places: Sequence[Place], step_m: float, limits: ActionLimits) -> None:
    """Refuse what the guard would refuse, before anything has moved.

    Raises
    ------
    ConfigError
        If a place lies outside of the limits, or a step is longer than they allow.
    """
    for k, name in enumerate(("x_m", "y_m")):
        if name not in limits.fields:
            raise ConfigError(f"{name} has no limits, so it may not be moved")
        one = limits.fields[name]
        low, high = min(p[k] for p in places), max(p[k] for p in places)
        if low < one.min or high > one.max:
            raise ConfigError(
                f"{name} would go from {low:g} to {high:g}; the limits are {one.min:g} "
                f"to {one.max:g}"
            )
        for what, bound in (("step", one.step), ("excursion", one.excursion)):
            if bound is not None and step_m > bound:
                raise ConfigError(
                    f"a step of {step_m:g} m is more than the limit of {name}.{what}, "
                    f"{bound:g} m"
                )

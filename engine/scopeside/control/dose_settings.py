"""``[control.dose]``: what the dose rate is known from, where the beam is, the budget.

What the account stands on has no defaults: a person measures it and writes it down.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from scopeside.params import Params

Positive = Annotated[float, Field(gt=0)]
Matrix = tuple[tuple[float, float], tuple[float, float]]
Condition = bool | float | str | tuple[float, float]
_KINDS = ("rate_e_per_A2_s", "quantity", "current", "from")
_NEEDS = {
    "rate_e_per_A2_s": ("uncertainty",),
    "quantity": ("uncertainty", "scale"),
    "current": ("uncertainty", "area_m2"),
    "from": ("uncertainty", "at_least_e_per_A2_s", "at_most_e_per_A2_s", "holds_s"),
}


class Calibration(Params):
    """``[[control.dose.calibration]]``: what the dose rate is at given settings."""

    rate_e_per_A2_s: Positive | None = None  # noqa: N815 - Å
    """It is so many e⁻/Å²/s."""
    quantity: str | None = Field(None, min_length=1)
    """The instrument says it in this quantity, times `scale`."""
    scale: Positive | None = None
    """e⁻/Å²/s for one unit of `quantity`."""
    current: str | None = Field(None, min_length=1)
    """The instrument says the beam current in this quantity, A, over `area_m2`."""
    area_m2: Positive | Literal["field"] | None = None
    """Lit area of the specimen, m²; "field": that of the field, as of a scan."""
    counted_by: str | None = Field(None, alias="from", pattern=r"^[^.\s]+\.[^.\s]+$")
    """A result of the chain that counts electrons, as "dose.dose"."""
    at_least_e_per_A2_s: Positive | None = None  # noqa: N815 - Å
    """Fewer counted than this are not believed (a camera that is out of the beam)."""
    at_most_e_per_A2_s: Positive | None = None  # noqa: N815 - Å
    """What the beam can bring at most: counted where nothing believable was counted."""
    holds_s: Positive | None = None
    """So long a counted rate holds, s; then `at_most_e_per_A2_s` is counted."""
    uncertainty: float | None = Field(None, ge=0, lt=0.5)
    """One standard deviation, relative; of counted rates, besides that of counting."""
    date: datetime.date
    """When it was measured."""
    at: Mapping[str, Condition] = {}
    """Settings that it holds at, by quantity: a number (± 0.1 %), [lowest, highest],
    true, false or a word."""

    @property
    def kind(self) -> str:
        """Which of the four it is."""
        given = (self.rate_e_per_A2_s, self.quantity, self.current, self.counted_by)
        return next(k for k, one in zip(_KINDS, given, strict=True) if one is not None)

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = (self.rate_e_per_A2_s, self.quantity, self.current, self.counted_by)
        if sum(one is not None for one in given) != 1:
            raise ValueError(f"give one of {', '.join(_KINDS)}")
        needed = _NEEDS[self.kind]
        if lacking := [name for name in needed if getattr(self, name) is None]:
            raise ValueError(f"{self.kind}: missing: {', '.join(lacking)}")
        others = {name for names in _NEEDS.values() for name in names} - set(needed)
        if extra := sorted(n for n in others if getattr(self, n) is not None):
            raise ValueError(f"{self.kind}: it has no {', '.join(extra)}")
        return self

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        least, most = self.at_least_e_per_A2_s, self.at_most_e_per_A2_s
        if least is not None and most is not None and least > most:
            raise ValueError(f"at_least = {least:g} is above at_most = {most:g}")
        for quantity, one in self.at.items():
            if isinstance(one, tuple) and one[0] > one[1]:
                raise ValueError(
                    f"at.{quantity} = [{one[0]:g}, {one[1]:g}] is upside down"
                )
        return self


class DoseSettings(Params):
    """``[control.dose]``: the account of the dose, and its budget."""

    budget_e_per_A2: Positive | None = None  # noqa: N815 - Å
    """What any place of the specimen may get, e⁻/Å²; none: it is counted only."""
    run_budget_e_per_A2: Positive | None = None  # noqa: N815 - Å
    """What all places together may get, as if they were one, e⁻/Å²."""
    calibration: tuple[Calibration, ...] = Field(min_length=1)
    """What the dose rate is known from; of several that fit, the highest counts."""
    moves: Mapping[str, float | Matrix] = Field(min_length=1)
    """How far the beam moves on the specimen for one metre of what is read back as
    NAME_x_m and NAME_y_m: a number, or [[xx, xy], [yx, yy]]. What is not named moves
    the beam not at all."""
    field_m: tuple[Positive, Positive] | None = None
    """What the beam lights, [height, width], m, where it is always the same."""
    field_aspect: Positive | None = None
    """Height over width of the field whose width the instrument says as fov_m."""
    rotation: str = ""
    """Quantity by which the field is turned, rad, as "scan_rotation_rad"; none: it is
    taken not to be."""
    margin_m: float = Field(ge=0)
    """Around the field, m: drift of the specimen, the rim of the beam, errors of the
    stage."""
    cell_m: Positive
    """Side of a cell of the map, m; a cell that is touched counts as a whole."""
    probe_area_m2: Positive | None = None
    """Area that place_beam lights at a point, m²; none: it is refused under a
    budget."""
    blank_s: Positive
    """What blanking takes at the worst, s, from the decision to no beam."""
    down_s: float = Field(0.0, ge=0, le=3600)
    """So long the guard may be dead, until it is started again, without a budget being
    passed, s; it is reserved as the time of blanking is."""
    at_least_s: float = Field(1.0, ge=0, le=3600)
    """The beam is not let on for less than this, s."""
    warn_at: float = Field(0.8, gt=0, le=1)
    """From this share of a budget on the operator is told."""
    max_age_days: float = Field(180.0, gt=0)
    """Of an older calibration the operator is told, days."""

    @model_validator(mode="before")
    @classmethod
    def _one_is_a_list(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and isinstance(
            values.get("calibration"), Mapping
        ):
            return {**values, "calibration": (values["calibration"],)}
        return values

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.field_m is None) == (self.field_aspect is None):
            raise ValueError(
                "give field_m = [height, width], or field_aspect where the instrument "
                "says the width as fov_m"
            )
        if len(self.calibration) > 1 and any(c.counted_by for c in self.calibration):
            raise ValueError("calibration: one that counts (from) stands alone")
        return self

    @property
    def budgeted(self) -> bool:
        """Whether there is a budget."""
        return self.budget_e_per_A2 is not None or self.run_budget_e_per_A2 is not None

    @property
    def counted_by(self) -> str:
        """The result that counts electrons, as "dose.dose"; "": none does."""
        return self.calibration[0].counted_by or ""

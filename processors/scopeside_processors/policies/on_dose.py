"""``on_dose``: what to do as a field nears the dose that it may have.

Levels are shares of `budget`: at `slow_at` a lower dose rate, or another exposure, is
asked for; at `blank_at` the beam is to be blanked. It asks for nothing in order to
warn: no action only speaks, and a pause would leave the beam on. The guard's account
warns (`warn_at` of ``[control.dose]``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import BaseModel, Field, model_validator

from scopeside.acquisition import Acquisition
from scopeside.control.policy import Knows, Outcome, Seen
from scopeside.control.proposal import Wish
from scopeside.params import Params
from scopeside.result import Result

Positive = Annotated[float, Field(gt=0)]
_SETTLED = ("done", "observed")


class OnDoseParams(Params):
    """``[[control.policy]]`` with ``kind = "on_dose"``."""

    budget: Positive
    """What `column` may reach, in its unit (e⁻/Å² unless another column is named)."""
    result: Annotated[str, Field(pattern=r"^[^.\s]+\.[^.\s]+$")] = "dose.dose"
    """The result that it looks at, as processor.result; a table of one row."""
    column: str = "cumulative_e_per_A2"
    """Column of it."""
    slow_at: Annotated[float, Field(gt=0, le=1)] = 0.9
    """At this share the beam is slowed, if one of the next two is given."""
    slow_e_per_A2_s: Positive | None = None  # noqa: N815 - Å
    """Dose rate to slow to, e⁻/Å²/s."""
    slow_exposure_s: Positive | None = None
    """Exposure to slow to, s, where the instrument blanks between exposures."""
    blank_at: Annotated[float, Field(gt=0, le=1)] = 1.0
    """At this share the beam is blanked."""
    hysteresis: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """A level counts anew when the share was below it by this."""
    again_frames: Annotated[int, Field(ge=1, le=1_000_000)] = 50
    """A wish that was refused or failed is made again after so many frames."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.slow_at > self.blank_at:
            raise ValueError(
                f"slow_at = {self.slow_at:g} is above blank_at = {self.blank_at:g}"
            )
        if self.slow_e_per_A2_s is not None and self.slow_exposure_s is not None:
            raise ValueError("give slow_e_per_A2_s or slow_exposure_s, not both")
        return self


class _Level:
    """One level: passed or not, and what became of the wish made for it."""

    def __init__(self, at: float, action: str, fields: dict[str, Any]) -> None:
        self.at = at
        self.action, self.fields = action, fields
        self.forget()

    def forget(self) -> None:
        """Be as before it was passed."""
        self.wish: Wish | None = None
        self.done = False
        self.not_before = -1

    def due(self, share: float, frame: int, hysteresis: float) -> bool:
        """Whether a wish is to be made now."""
        if share < self.at - hysteresis:
            self.forget()
        passed = share >= self.at
        return passed and not self.done and not self.wish and frame >= self.not_before


class OnDose:
    """Slows and blanks by what a result says of the dose."""

    Params: ClassVar[type[BaseModel]] = OnDoseParams

    def __init__(self, params: OnDoseParams) -> None:
        self._params = params
        self._frame = -1
        self._levels = [_Level(params.blank_at, "blank", {"on": True})]
        if params.slow_e_per_A2_s is not None:
            fields = {"e_per_A2_s": params.slow_e_per_A2_s}
            self._levels.append(_Level(params.slow_at, "set_dose_rate", fields))
        elif params.slow_exposure_s is not None:
            fields = {"exposure_s": params.slow_exposure_s}
            self._levels.append(_Level(params.slow_at, "set_exposure", fields))

    @property
    def wants(self) -> tuple[str, ...]:
        """The result that tells the dose."""
        return (self._params.result,)

    def begin(self, acquisition: Acquisition) -> None:  # noqa: ARG002 - of the protocol
        """Begin anew: a result that adds up begins with the acquisition."""
        for level in self._levels:
            level.forget()

    def hear(self, seen: Seen, microscope: Knows) -> Iterable[Wish]:  # noqa: ARG002
        """Take in a dose; ask for what the highest level that it passes says."""
        dose = _value(seen.result, self._params.column)
        if dose is None:
            return ()
        self._frame, share = seen.result.frame, dose / self._params.budget
        level = self._due(share)
        if level is None:
            return ()
        budget = self._params.budget
        why = f"{share:.0%} of the dose budget are spent: {dose:.4g} of {budget:g}"
        level.wish = Wish(level.action, level.fields, why, confidence=1.0)
        return (level.wish,)

    def _due(self, share: float) -> _Level | None:
        """Return the highest level for which a wish is to be made now.

        While one waits for a person, or was refused, the one below it may help.
        """
        found = None
        for level in self._levels:  # the highest comes first
            due = level.due(share, self._frame, self._params.hysteresis)
            if level.done:
                break
            found = found or (level if due else None)
        return found

    def told(self, outcome: Outcome) -> Iterable[Wish]:
        """Take note; what was not done is asked for again after a while."""
        for level in self._levels:
            if level.wish != outcome.wish:
                continue
            if outcome.state in _SETTLED:
                level.wish, level.done = None, True
            elif outcome.state in ("refused", "failed"):
                level.wish = None
                level.not_before = self._frame + self._params.again_frames
        return ()


def _value(result: Result, column: str) -> float | None:
    """Return the dose of a result, None where it says none.

    A dose that is marked invalid counts: it is as much as was seen, or more.
    """
    columns = result.meta.get("columns", ())
    if result.data is None or column not in columns:
        return None
    value = float(np.asarray(result.data)[-1, list(columns).index(column)])
    return value if math.isfinite(value) else None

"""``[control]`` of the pipeline file: what may be asked of the microscope, by whom.

Times have defaults; limits have none. An action without limits is refused, whoever asks
for it, except blanking, which is always allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from scopeside.control.actions import ACTIONS
from scopeside.control.actions import Field as ActionField
from scopeside.control.door_settings import DoorSettings
from scopeside.control.dose_settings import DoseSettings
from scopeside.control.view_settings import ViewSettings
from scopeside.messages import unknown
from scopeside.params import LocalPath, Params

Mode = Literal["observe", "advise", "armed"]


class FieldLimits(Params):
    """What one field of an action may be; every one is set by a person."""

    min: float
    """Smallest value that is sent, in the unit of the field's name."""
    max: float
    """Largest value that is sent."""
    step: float | None = Field(None, gt=0)
    """Largest distance from the value read back last."""
    excursion: float | None = Field(None, gt=0)
    """Largest distance from the value at arming."""
    tolerance: float | None = Field(None, ge=0)
    """How far the value read back afterwards may lie from the one sent."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.max < self.min:
            raise ValueError(f"max = {self.max:g} is below min = {self.min:g}")
        return self


class ActionLimits(Params):
    """``[control.limits.ACTION]``: how often, and one table for each field."""

    every_s: float = Field(gt=0)
    """Shortest time between two commands of this action, s."""
    fields: Mapping[str, FieldLimits] = {}
    """By name of the field; in the file they stand beside `every_s`."""

    @model_validator(mode="before")
    @classmethod
    def _beside(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        own = {key: value for key, value in values.items() if key == "every_s"}
        fields = {key: value for key, value in values.items() if key not in own}
        return {**own, "fields": fields} if set(fields) != {"fields"} else values


class ControlSettings(Params):
    """``[control]``: feedback. No safety system: the instrument's interlocks stay."""

    mode: Mode = "observe"
    """How far it may ever go: observe (write down what would be done), advise (a person
    accepts each proposal), armed (a person may arm it for a time, till then advise)."""
    adapter: dict[str, Any] | None = None
    """The microscope: { kind = "temscript", … }; absent: none, and observe only."""
    clock: Literal["wall", "frames"] = "wall"
    """What age is measured by: the clock, or the time stamps of the frames (observe
    only: a recording gives the same decisions whenever it is played)."""
    audit: LocalPath = Path("audit.jsonl")
    """The audit log; it is continued if it is there."""
    silence_ms: float = Field(500.0, ge=50, le=60_000)
    """So long may the engine be silent; then hold and disarm, ms."""
    max_age_ms: float = Field(1000.0, gt=0, le=600_000)
    """Frames that are older are no evidence any more, ms."""
    valid_for_ms: float = Field(1000.0, gt=0, le=600_000)
    """After so long a proposal is not carried out any more, ms."""
    advice_s: float = Field(60.0, gt=0, le=3600)
    """So long a proposal waits for a person, s."""
    min_confidence: float = Field(0.5, ge=0, le=1)
    """Evidence that says it is less sure is refused."""
    read_every_ms: float = Field(200.0, ge=10, le=60_000)
    """How often the instrument is asked what it is set to, ms."""
    answer_ms: float = Field(5000.0, gt=0, le=600_000)
    """So long may the instrument take to carry out a command, ms; longer parks."""
    settle_ms: float = Field(0.0, ge=0, le=60_000)
    """So long after a command frames may still show what was before, ms."""
    may_unblank: bool = False
    """Whether a rule or policy may let the beam on again; a person may."""
    per_s: float = Field(50.0, gt=0, le=10_000)
    """Proposals that are looked at each second; more are refused as a flood."""
    limits: Mapping[str, ActionLimits] = {}
    """By action. There are no defaults."""
    dose: DoseSettings | None = None
    """The account of the dose, and its budget."""
    view: ViewSettings | None = None
    """How a view offset is made from shifters and stage, where there is none."""
    door: DoorSettings | None = None
    """Where other programs may propose, with keys."""
    rule: tuple[dict[str, Any], ...] = ()
    """[[control.rule]]: when … propose …"""
    policy: tuple[dict[str, Any], ...] = ()
    """[[control.policy]]: built-in or your own."""

    @model_validator(mode="after")
    def _limits_fit(self) -> Self:
        for name, limits in self.limits.items():
            action = ACTIONS.get(name)
            if action is None:
                raise ValueError(f"limits: {unknown('action', name, ACTIONS)}")
            for key, one in limits.fields.items():
                field = action.field(key)
                if field is None:
                    names = [field.name for field in action.fields]
                    raise ValueError(f"limits.{name}: {unknown('field', key, names)}")
                _complete(f"limits.{name}.{key}", field, one)
            for field in action.fields:
                limited = field.kind in ("number", "count", "points")
                if field.required and limited and field.name not in limits.fields:
                    raise ValueError(f"limits.{name}: {field.name} has no limits")
        return self

    @model_validator(mode="after")
    def _modes_fit(self) -> Self:
        if self.adapter is None and self.mode != "observe":
            raise ValueError(f"mode = {self.mode!r} needs an adapter; without, observe")
        if self.clock == "frames" and self.mode != "observe":
            raise ValueError(
                f"clock = 'frames' is for observe; mode = {self.mode!r} needs 'wall'"
            )
        return self


def _complete(where: str, field: ActionField, limits: FieldLimits) -> None:
    """Check that a field that is read back has all of its limits."""
    if field.kind == "switch":
        raise ValueError(f"{where}: true or false has no limits; leave it out")
    if field.kind != "number" or not field.quantity:
        return
    lacking = [
        name
        for name in ("step", "excursion", "tolerance")
        if getattr(limits, name) is None
    ]
    if lacking:
        raise ValueError(
            f"{where}: missing: {', '.join(lacking)}; there are no defaults"
        )

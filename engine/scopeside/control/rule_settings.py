"""``[[control.rule]]`` as it is written: when … where … propose …, checked at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Self, TypeVar

from pydantic import AliasChoices, Field, field_validator, model_validator

from scopeside.control.actions import ACTIONS, checked
from scopeside.errors import ConfigError, RefusedError
from scopeside.messages import unknown, validate
from scopeside.params import Params

M = TypeVar("M", bound=Params)

POSITION = "event.position"
FROM_RESULT = "result."
_RESERVED = ("action", "to", "why")


class Between(Params):
    """Numbers that count: more than `above`, less than `below`."""

    above: float | None = None
    """It has to be more than this."""
    below: float | None = None
    """It has to be less than this."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.above is None and self.below is None:
            raise ValueError("expected above, below, or both")
        return self

    def holds(self, value: Any) -> bool:
        """Whether `value` is a number and lies between."""
        if type(value) is not float:
            return False
        over = self.above is None or value > self.above
        return over and (self.below is None or value < self.below)


class Taken(Params):
    """A number of the result, times one number, plus another."""

    key: str = Field(min_length=1, validation_alias=AliasChoices("from", "key"))
    """Which one: a key of the event, a column, meta.KEY, or one of an array."""
    times: float = 1.0
    """What it is multiplied by."""
    plus: float = 0.0
    """What is added then."""


class Propose(Params):
    """What is asked for: an action, and where its fields come from."""

    action: str
    """One of the actions of control."""
    to: str | None = None
    """"event.position": the place of the event, for set_view_offset."""
    why: str = ""
    """In words, for the audit log."""
    fields: Mapping[str, Any] = {}
    """By name; in the file they stand beside `action`. A value, "result.KEY", or
    { from = "KEY", times = …, plus = … }."""

    @model_validator(mode="before")
    @classmethod
    def _beside(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or "fields" in values:
            return values
        own = {key: value for key, value in values.items() if key in _RESERVED}
        fields = {key: value for key, value in values.items() if key not in own}
        return {**own, "fields": fields}

    @field_validator("fields")
    @classmethod
    def _read(cls, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        return {name: _source(name, value) for name, value in fields.items()}

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if self.action not in ACTIONS:
            raise ValueError(unknown("action", self.action, ACTIONS))
        fields = dict(self.fields)
        if self.to is not None:
            if self.to != POSITION or self.action != "set_view_offset":
                raise ValueError(
                    f"to = {self.to!r} with action = {self.action!r}: 'to' is "
                    f"{POSITION!r}, and set_view_offset only has it"
                )
            if fields:
                raise ValueError(f"to = {POSITION!r} gives both x_m and y_m already")
            fields = {"x_m": 0.0, "y_m": 0.0}
        for name, value in fields.items():
            fields[name] = self._stand_in(name, value)
        try:
            checked(self.action, fields)
        except RefusedError as refused:
            raise ValueError(str(refused)) from refused
        return self

    def _stand_in(self, name: str, value: Any) -> Any:
        """Return a number in place of one that the result will bring."""
        if not isinstance(value, Taken):
            return value
        field = ACTIONS[self.action].field(name)
        if field is not None and field.kind != "number":
            raise ValueError(f"{name} is a {field.kind}; a result gives numbers only")
        return 0.0


def _source(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return _table(Taken, name, value)
    if isinstance(value, str):
        if not value.startswith(FROM_RESULT) or value == FROM_RESULT:
            raise ValueError(f"{name} = {value!r}: a text is 'result.KEY'")
        return Taken(key=value.removeprefix(FROM_RESULT))
    return value


class RuleParams(Params):
    """A rule: when a result says so, propose."""

    when: Annotated[str, Field(pattern=r"^[^.\s]+\.[^.\s]+$")]
    """The result it looks at, as processor.result."""
    where: Mapping[str, Any] = {}
    """Only results of which all this holds: { status = "confirmed" }, one of
    { status = ["confirmed", "dissolved"] }, { confidence = { above = 0.9 } }."""
    value: str = ""
    """What is compared with above or below; absent: the result is a number itself."""
    above: float | None = None
    """It fires when the value goes above this; then again only after it has been below
    `until_below`."""
    until_below: float | None = None
    """As much as `above`, or less."""
    below: float | None = None
    """It fires when the value goes below this; then again only after it has been above
    `until_above`."""
    until_above: float | None = None
    """As much as `below`, or more."""
    frames: int = Field(1, ge=1, le=100_000)
    """So many results one after the other have to be above, or below."""
    once: bool = False
    """Whether it fires once in a run of the engine, and never again."""
    once_per: str = ""
    """It fires once for each value of this key in an acquisition, such as id."""
    valid_for_s: float | None = Field(None, gt=0, le=600)
    """After so long the proposal is not carried out any more, s."""
    propose: Propose
    """The action and its fields."""

    @field_validator("where")
    @classmethod
    def _conditions(cls, where: Mapping[str, Any]) -> Mapping[str, Any]:
        return {name: _condition(name, value) for name, value in where.items()}

    @property
    def has_threshold(self) -> bool:
        """Whether it compares a value."""
        return self.above is not None or self.below is not None

    @model_validator(mode="after")
    def _threshold_fits(self) -> Self:
        if self.above is not None and self.below is not None:
            raise ValueError("above or below, not both: write two rules")
        _with_way_back("above", self.above, "until_below", self.until_below, 1)
        _with_way_back("below", self.below, "until_above", self.until_above, -1)
        if not self.has_threshold and (self.value or self.frames > 1):
            name = "value" if self.value else "frames"
            raise ValueError(f"{name} goes with above or below")
        if self.has_threshold and self.once_per:
            raise ValueError("once_per goes with events, not with above or below")
        return self


def _condition(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return _table(Between, name, value)
    if isinstance(value, list | tuple) and value:
        return tuple(_plain(name, one) for one in value)
    return _plain(name, value)


def _plain(name: str, value: Any) -> bool | float | str:
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    raise ValueError(
        f"{name}: found {value!r:.60}; expected a text, a number, true or false, a "
        "list of them, or { above = …, below = … }"
    )


def _table(model: type[M], name: str, value: Mapping[str, Any]) -> M:
    """Return a table within a table of any names; its errors bear its name."""
    try:
        return validate(model, value, where=name)
    except ConfigError as error:
        raise ValueError(str(error)) from error


def _with_way_back(
    name: str, limit: float | None, back: str, until: float | None, sign: int
) -> None:
    if limit is None:
        if until is not None:
            raise ValueError(f"{back} goes with {name}")
        return
    bound = "or less" if sign > 0 else "or more"
    if until is None:
        raise ValueError(
            f"{name} = {limit:g} needs {back} ({limit:g} {bound}), lest a value that "
            "wavers there fires again and again"
        )
    if sign * (until - limit) > 0:
        raise ValueError(f"{back} = {until:g}; expected {limit:g} {bound}")

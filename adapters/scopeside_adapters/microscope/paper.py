"""An instrument on paper: it remembers what it is set to, and moves nothing.

For rehearsals, and to observe with: rules, limits and budgets see a microscope that
does exactly what it is told, at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, PrivateAttr, field_validator

from scopeside.control.actions import ACTIONS, checked, targets
from scopeside.control.instrument import Call, Readback, Value
from scopeside.errors import InstrumentError, RefusedError
from scopeside.params import Params as Base

_KINDS = {
    **{
        field.quantity: field.kind
        for action in ACTIONS.values()
        for field in action.fields
        if field.quantity
    },
    **{
        quantity: "switch" for action in ACTIONS.values() for quantity, _ in action.sets
    },
}


class Sheet:
    """What is written on the paper; all connections look at the same one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changes: dict[str, Value] = {}

    def write(self, values: Mapping[str, Value]) -> None:
        """Set quantities."""
        with self._lock:
            self._changes.update(values)

    def read(self) -> dict[str, Value]:
        """Return what was set."""
        with self._lock:
            return dict(self._changes)


class PaperParams(Base):
    """``adapter = { kind = "paper", state = { … } }``."""

    state: dict[str, bool | float | str] = {}
    """What it is set to at first, by quantity, SI units: { view_offset_x_m = 0.0, … }.
    What does not stand here is not known before it is set."""
    # Both connections of the guard are made of the same parameters, and see one sheet.
    _sheet: Sheet = PrivateAttr(default_factory=Sheet)

    @field_validator("state")
    @classmethod
    def _of_their_kind(cls, state: dict[str, Value]) -> dict[str, Value]:
        for quantity, value in state.items():
            kind = _KINDS.get(quantity)
            if kind == "switch" and not isinstance(value, bool):
                raise ValueError(f"{quantity} is true or false, not {value!r:.60}")
            if kind in ("number", "count") and type(value) not in (int, float):
                raise ValueError(f"{quantity} is a number, not {value!r:.60}")
        return state

    @property
    def sheet(self) -> Sheet:
        """What was set since."""
        return self._sheet


class Paper:
    """A connection to the instrument on paper. It can do every action."""

    Params: ClassVar[type[BaseModel]] = PaperParams
    moves_nothing = True
    """So a replay may have it."""

    def __init__(self, params: PaperParams) -> None:
        self._params = params
        self._open = False

    @property
    def actions(self) -> frozenset[str]:
        """All of them."""
        return frozenset(ACTIONS)

    def check(self) -> list[str]:
        """Nothing can go wrong on paper."""
        return []

    def open(self) -> None:
        """Take the sheet."""
        self._open = True

    def close(self) -> None:
        """Put the sheet away; what was set stays."""
        self._open = False

    def read(self) -> Readback:
        """Return what stands on the sheet.

        Raises
        ------
        InstrumentError
            If it is not open.
        """
        self._look()
        t_ns = time.time_ns()
        return Readback(t_ns, {**self._params.state, **self._params.sheet.read()})

    def act(self, call: Call) -> Mapping[str, Any]:
        """Write down what an action sets; returns it.

        Raises
        ------
        InstrumentError
            If it is not open, or there is no such action or field.
        """
        self._look()
        try:
            fields = checked(call.action, call.fields)
        except RefusedError as error:
            raise InstrumentError(str(error)) from error
        values = targets(call.action, fields)
        self._params.sheet.write(values)
        return values

    def _look(self) -> None:
        if not self._open:
            raise InstrumentError("the instrument on paper is not open")

"""The interface of a control adapter: one connection to a microscope.

Only the guard makes one. It makes two objects of it: one that acts and reads, and one
for holding and blanking, each with a connection of its own and used by one thread, so
that a command in flight does not stand in the way of a blank.

An adapter does exactly what it is asked, or raises. It never clamps, never retries a
command, and knows no limits: those are the guard's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from pydantic import BaseModel

Value = float | bool | str
"""Of a quantity: SI units, true or false, or a word such as a mode."""


@dataclass(frozen=True, slots=True)
class Readback:
    """What the instrument says it is set to.

    Attributes
    ----------
    t_ns
        When it was asked, ns since 1970 UTC: the values held then.
    values
        By quantity (`actions.Field.quantity`): ``view_offset_x_m``, ``blanked`` …, and
        what tells optical states apart: ``high_tension_V``, ``mode``,
        ``magnification``, ``rotation_rad``. What an instrument does not say is absent.
    """

    t_ns: int
    values: Mapping[str, Value]

    def number(self, quantity: str) -> float | None:
        """Return a quantity as a number, None where the instrument does not say."""
        value = self.values.get(quantity)
        return None if value is None or isinstance(value, str) else float(value)


@dataclass(frozen=True, slots=True)
class Call:
    """An action with its fields, checked."""

    action: str
    fields: Mapping[str, Any]


class Instrument(Protocol):
    """One connection to a microscope; entry-point group ``scopeside.controls``.

    Everything may raise `InstrumentError`, with a message for the person at the
    microscope; what a library raises is turned into it.

    One that ends with the engine, as a simulated one does, says so by a class attribute
    ``ends_with_engine = True``: nobody tries for a minute to blank what is not there.
    """

    Params: ClassVar[type[BaseModel]]

    def __init__(self, params: Any) -> None: ...

    @property
    def actions(self) -> frozenset[str]:
        """Names of the actions that it can do; known without being connected."""

    def check(self) -> list[str]:
        """Return what would go wrong, one sentence each; changes nothing."""

    def open(self) -> None:
        """Connect; raises if the instrument is not there."""

    def close(self) -> None:
        """Disconnect; may be called at any time, also twice."""

    def read(self) -> Readback:
        """Ask what the instrument is set to."""

    def act(self, call: Call) -> Mapping[str, Any]:
        """Carry out one action, wait for it, and return the instrument's answer.

        It returns when the instrument says that it is done (a stage that has arrived),
        or raises `InstrumentError`. The answer is plain values, for the audit log.
        """


@runtime_checkable
class Plans(Protocol):
    """An instrument that does an action by others, as a view offset by shifters."""

    def plan(self, call: Call, now: Readback) -> tuple[Call, ...]:
        """Return the calls that do it, in order; each is checked by the guard.

        Raises
        ------
        RefusedError
            If it cannot be done from here.
        """

"""``[control.adapter] kind = "epics"``: which PV is which quantity."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from scopeside.control.actions import ACTIONS, Action
from scopeside.params import Params

SWITCHES = frozenset({"blanked", "paused"})
SETTABLE = frozenset(
    {field.quantity for action in ACTIONS.values() for field in action.fields}
    | {quantity for action in ACTIONS.values() for quantity, _ in action.sets}
) - {""}


class Variable(Params):
    """The PVs of one quantity. PV = quantity × scale + offset."""

    read: str = Field(min_length=1, max_length=256)
    """PV that says what the instrument is set to: a read-back, not the demand."""
    put: str | None = Field(None, min_length=1, max_length=256)
    """PV that sets it; absent: it is only read."""
    scale: float = 1.0
    """Units of the PV in one SI unit: 1e9 for a PV in nm."""
    offset: float = 0.0
    """In units of the PV."""
    tolerance: float = Field(0.0, ge=0)
    """It has arrived when the read-back lies so near to what was set, SI units."""
    on: float = 1.0
    """Of true and false ones: the value of the PV that means true."""
    off: float = 0.0
    """And the one that means false."""
    text: bool = False
    """Whether it is a word, such as a mode; a word is only read."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.scale == 0:
            raise ValueError("scale = 0 makes every value the same")
        if self.on == self.off:
            raise ValueError(f"on and off are both {self.on:g}")
        if self.text and self.put is not None:
            raise ValueError("a word is only read: take out put, or text = true")
        if self.put is not None and self.put == self.read:
            raise ValueError(
                f"put and read are both {self.put!r}: a demand reads back what was "
                "asked, also where something else was done; name its read-back"
            )
        return self

    def to_pv(self, value: float | bool) -> float:
        """Return a quantity in the PV's units."""
        if isinstance(value, bool):
            return self.on if value else self.off
        return value * self.scale + self.offset

    def from_pv(self, value: float) -> float:
        """Return the PV's value in SI units."""
        return (value - self.offset) / self.scale

    def switch(self, value: float) -> bool | None:
        """Return what a PV's value means; None: neither true nor false."""
        known = {self.on: True, self.off: False}
        return known.get(value)

    def arrived(self, wanted: float | bool, read: float) -> bool:
        """Whether what was read back, in the PV's units, is what was set."""
        if isinstance(wanted, bool):
            return self.switch(read) is wanted
        # One unit in the last place is lost on the way to nm and back.
        near = self.tolerance + 1e-12 * abs(wanted)
        return math.isfinite(read) and abs(self.from_pv(read) - wanted) <= near


class EpicsParams(Params):
    """``[control.adapter]`` with ``kind = "epics"``."""

    protocol: Literal["ca", "pva"] = "pva"
    """Channel Access, or PVAccess."""
    timeout_s: float = Field(2.0, gt=0, le=60)
    """So long is an answer waited for, s."""
    settle_s: float = Field(5.0, gt=0, le=600)
    """So long may a read-back take to arrive at what was set, s."""
    quantities: Mapping[str, Variable] = Field(min_length=1)
    """By quantity: defocus_m, image_shift_x_m, blanked, magnification … and what is
    only read: high_tension_V, mode, rotation_rad …"""

    @model_validator(mode="after")
    def _known(self) -> Self:
        for name, variable in self.quantities.items():
            if variable.put is not None and name not in SETTABLE:
                raise ValueError(
                    f"quantities.{name}: no action sets {name!r} (those that do: "
                    f"{', '.join(sorted(SETTABLE))})"
                )
        return self

    @property
    def actions(self) -> frozenset[str]:
        """Those all of whose fields have a PV that sets them."""
        return frozenset(
            name for name, action in ACTIONS.items() if self._offers(action)
        )

    def can_set(self, quantity: str) -> bool:
        """Whether there is a PV that sets it."""
        found = self.quantities.get(quantity)
        return found is not None and found.put is not None

    def _offers(self, action: Action) -> bool:
        needed = [field.quantity for field in action.fields if field.required]
        needed += [quantity for quantity, _ in action.sets]
        if not needed:  # one of its fields will do: move_stage
            return any(
                self.can_set(f.quantity) for f in action.fields if f.kind == "number"
            )
        return all(self.can_set(quantity) for quantity in needed)

"""The control adapter `epics`: a quantity is a pair of PVs, a demand and a read-back.

An IOC clamps to its drive limits without a word and lets NaN pass. So every value that
is set is read back, from another PV than the one that was written, until it has arrived
or `settle_s` is over; what did not arrive is an error.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel

from scopeside.control.actions import checked, targets
from scopeside.control.instrument import Call, Readback, Value
from scopeside.errors import InstrumentError, MissingExtraError, RefusedError
from scopeside_adapters.microscope.epics import ca, pva
from scopeside_adapters.microscope.epics.link import PvLink
from scopeside_adapters.microscope.epics.parameters import (
    SWITCHES,
    EpicsParams,
    Variable,
)

LOOK_S = 0.005
"""Between two looks at a read-back that has not arrived yet."""


class EpicsInstrument:
    """A microscope, or a stage or shutter, behind an EPICS IOC."""

    Params: ClassVar[type[BaseModel]] = EpicsParams

    def __init__(self, params: EpicsParams) -> None:
        self._params = params
        self._link: PvLink = (
            ca.CaLink(params.timeout_s)
            if params.protocol == "ca"
            else pva.PvaLink(params.timeout_s)
        )

    @property
    def actions(self) -> frozenset[str]:
        """Those all of whose fields have a PV."""
        return self._params.actions

    def check(self) -> list[str]:
        """Return what is not installed, and what is of no use."""
        found = []
        try:
            if self._params.protocol == "ca":
                ca.aioca_library()
            else:
                pva.p4p_library()
        except MissingExtraError as error:
            found.append(str(error))
        if not self.actions:
            found.append("no action can be done: no quantity has a PV that sets it")
        return found

    def open(self) -> None:
        """Connect, and read every PV once."""
        self._link.open(self._names)

    def close(self) -> None:
        """Disconnect."""
        self._link.close()

    def read(self) -> Readback:
        """Ask for all quantities; those whose PV is in INVALID alarm are absent."""
        t_ns = time.time_ns()
        found = self._link.read([v.read for v in self._params.quantities.values()])
        values: dict[str, Value] = {}
        for name, variable in self._params.quantities.items():
            if variable.read in found:
                value = _in_si(name, variable, found[variable.read])
                if value is not None:
                    values[name] = value
        return Readback(t_ns, values)

    def act(self, call: Call) -> Mapping[str, Any]:
        """Write the PVs of an action, and wait until their read-backs have arrived."""
        try:
            wanted = targets(call.action, checked(call.action, call.fields))
        except RefusedError as error:
            raise InstrumentError(str(error)) from error
        if call.action not in self.actions:
            raise InstrumentError(f"there are no PVs for {call.action}")
        if lacking := [name for name in wanted if not self._params.can_set(name)]:
            raise InstrumentError(f"there is no PV that sets {', '.join(lacking)}")
        puts = {name: self._params.quantities[name] for name in wanted}
        self._link.put({str(v.put): v.to_pv(wanted[name]) for name, v in puts.items()})
        return self._arrival(wanted, puts)

    def _arrival(
        self, wanted: Mapping[str, Any], puts: Mapping[str, Variable]
    ) -> dict[str, Any]:
        until = time.monotonic() + self._params.settle_s
        names = [variable.read for variable in puts.values()]
        while True:
            found = self._link.read(names)
            away = {
                name: found.get(variable.read)
                for name, variable in puts.items()
                if not _has_arrived(variable, wanted[name], found.get(variable.read))
            }
            if not away:
                return {
                    name: _in_si(name, variable, found[variable.read])
                    for name, variable in puts.items()
                }
            if time.monotonic() > until:
                raise InstrumentError(_not_arrived(away, wanted, puts, self._params))
            time.sleep(LOOK_S)

    @property
    def _names(self) -> list[str]:
        variables = self._params.quantities.values()
        names = [v.read for v in variables] + [v.put for v in variables if v.put]
        return list(dict.fromkeys(names))


def _in_si(name: str, variable: Variable, value: float | str) -> Value | None:
    if variable.text or isinstance(value, str):
        return str(value)
    if name in SWITCHES:
        return variable.switch(value)
    return variable.from_pv(value)


def _has_arrived(variable: Variable, wanted: Any, read: float | str | None) -> bool:
    return isinstance(read, float) and variable.arrived(wanted, read)


def _not_arrived(
    away: Mapping[str, Any],
    wanted: Mapping[str, Any],
    puts: Mapping[str, Variable],
    params: EpicsParams,
) -> str:
    said = "; ".join(
        f"{puts[name].read} reads {value!r} where {puts[name].to_pv(wanted[name])!r} "
        f"was set ({name} = {wanted[name]!r})"
        for name, value in away.items()
    )
    return f"after {params.settle_s:g} s {said}"

"""What a temscript server is told; everything is read back, and compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from scopeside.errors import InstrumentError
from scopeside_adapters.microscope.temscript.parameters import TemscriptParams
from scopeside_adapters.microscope.temscript.reading import AXES, Reading, Values
from scopeside_adapters.microscope.temscript.server import TemscriptServer

_LOOK_S = 0.05
_SAME_MAGNIFICATION = 1e-3  # relative: it is indicated with three or four digits


def offered(params: TemscriptParams) -> frozenset[str]:
    """Return the actions that there are with these parameters."""
    found = {"set_beam_shift", "set_image_shift", "move_stage", "blank"}
    if params.defocus_unit_m is not None:
        found.add("set_defocus")
    if params.magnifications:
        found.add("set_magnification")
    return frozenset(found)


class Commands:
    """Carries out what is offered: fields in, what was read back out."""

    def __init__(self, server: TemscriptServer, params: TemscriptParams) -> None:
        self._server = server
        self._params = params
        self._reading = Reading(server, params)
        self._acts: Mapping[str, Callable[[Mapping[str, Any]], Values]] = {
            "set_beam_shift": lambda fields: self._set_shift("beam_shift", fields),
            "set_image_shift": lambda fields: self._set_shift("image_shift", fields),
            "move_stage": self._move_stage,
            "set_defocus": self._set_defocus,
            "set_magnification": self._set_magnification,
            "blank": self._blank,
        }

    def carry_out(self, action: str, fields: Mapping[str, Any]) -> Values:
        """Do one action that is offered; `InstrumentError` if it reads otherwise."""
        return self._acts[action](fields)

    def _set_shift(self, what: str, fields: Mapping[str, Any]) -> Values:
        self._server.put(what, [fields["x_m"], fields["y_m"]], self._params.act_s)
        wanted = {f"{what}_{name}": value for name, value in fields.items()}
        return self._compared(wanted, self._reading.shift(what))

    def _set_defocus(self, fields: Mapping[str, Any]) -> Values:
        wanted_m = fields["defocus_m"]
        assert self._params.defocus_unit_m is not None  # or it would not be offered
        value = wanted_m / self._params.defocus_unit_m
        self._server.put("defocus", value, self._params.act_s)
        return self._compared({"defocus_m": wanted_m}, self._reading.defocus())

    def _blank(self, fields: Mapping[str, Any]) -> Values:
        self._server.put("beam_blanked", fields["on"], self._params.act_s)
        found = self._reading.blanked()
        if found["blanked"] is not fields["on"]:
            raise InstrumentError(
                f"{self._server.name}: beam_blanked was set to {fields['on']} and "
                f"reads {found['blanked']}"
            )
        return found

    def _move_stage(self, fields: Mapping[str, Any]) -> Values:
        self._check_limits(fields)
        status = self._server.word("stage_status", self._params.answer_s)
        if status != "READY":
            raise InstrumentError(
                f"{self._server.name}: the stage is {status}, not READY; it was not "
                "moved"
            )
        target = {AXES[name]: value for name, value in fields.items()}
        path = f"stage_position?method={self._params.stage_method}"
        self._server.put(path, target, self._params.act_s)
        self._wait_for_stage()
        wanted = {f"stage_{name}": value for name, value in fields.items()}
        return self._compared(wanted, self._reading.stage())

    def _check_limits(self, fields: Mapping[str, Any]) -> None:
        """Refuse what the stage could not reach, before it is moved."""
        limits = self._server.table("stage_limits", self._params.answer_s)
        for name, value in fields.items():
            found = limits.get(AXES[name])
            if not isinstance(found, list) or len(found) != 2:
                raise InstrumentError(
                    f"{self._server.name} says no limits of the stage's {AXES[name]}; "
                    "it was not moved"
                )
            low, high = (self._server.as_number("stage_limits", one) for one in found)
            if not low <= value <= high:
                raise InstrumentError(
                    f"{self._server.name}: {name} = {value:g} is outside of the "
                    f"stage's limits, {low:g} … {high:g}; it was not moved"
                )

    def _wait_for_stage(self) -> None:
        end = time.monotonic() + self._params.act_s
        while (
            status := self._server.word("stage_status", self._params.answer_s)
        ) != "READY":
            if time.monotonic() > end:
                raise InstrumentError(
                    f"{self._server.name}: the stage is still {status} after "
                    f"{self._params.act_s:g} s"
                )
            time.sleep(_LOOK_S)

    def _set_magnification(self, fields: Mapping[str, Any]) -> Values:
        wanted = fields["value"]
        by_value = {value: index for index, value in self._params.magnifications}
        if wanted not in by_value:
            known = ", ".join(f"{value:g}" for value in sorted(by_value))
            raise InstrumentError(
                f"{self._server.name}: magnification {wanted:g} is not in the table of "
                f"`magnifications` ({known})"
            )
        self._check_table()
        index = by_value[wanted]
        self._server.put("magnification_index", index, self._params.act_s)
        return self._indicated(wanted)

    def _check_table(self) -> None:
        """Refuse a table that does not say what the instrument indicates now."""
        wait_s = self._params.answer_s
        mode = self._server.word("instrument_mode", wait_s)
        projection = self._server.word("projection_mode", wait_s)
        if (mode, projection) != ("TEM", "IMAGING"):
            raise InstrumentError(
                f"{self._server.name}: magnification is set in TEM IMAGING only, not "
                f"in {mode} {projection}"
            )
        now = round(self._server.number("magnification_index", wait_s))
        expected = dict(self._params.magnifications).get(now)
        if expected is not None:
            self._indicated(
                expected, "the table of `magnifications` is of another mode"
            )

    def _indicated(self, expected: float, why: str = "") -> Values:
        found = self._reading.magnification().get("magnification")
        assert found is None or isinstance(found, float)
        if found is None or abs(found - expected) > _SAME_MAGNIFICATION * expected:
            raise InstrumentError(
                f"{self._server.name} indicates a magnification of {found}, not "
                f"{expected:g}{why and f': {why}'}"
            )
        return {"magnification": found}

    def _compared(self, wanted: Mapping[str, float], found: Values) -> Values:
        """Return what was read back of what was set, if it is that."""
        for name, value in wanted.items():
            reads = found.get(name)
            if not isinstance(reads, float) or not (
                abs(reads - value) <= self._tolerance(name)
            ):
                raise InstrumentError(
                    f"{self._server.name}: {name} was set to {value:g} and reads "
                    f"{reads}: it was clipped, or has not arrived"
                )
        return {name: found[name] for name in wanted}

    def _tolerance(self, name: str) -> float:
        if not name.startswith("stage_"):
            return self._params.shift_tolerance_m
        if name.endswith("_rad"):
            return self._params.stage_tolerance_rad
        return self._params.stage_tolerance_m

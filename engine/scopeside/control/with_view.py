"""An instrument that has no view offset of its own, with one made from what it has."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel

from scopeside.control.approach import approach_of, check_approach
from scopeside.control.calibration import ACTIONS, Calibration
from scopeside.control.instrument import Call, Instrument, Plans, Readback
from scopeside.control.settings import ActionLimits
from scopeside.control.view import Mover, View
from scopeside.control.view_settings import ViewSettings
from scopeside.errors import ConfigError, InstrumentError, RefusedError

VIEW_OFFSET = "set_view_offset"


class WithView:
    """An `Instrument` around another; it plans view offsets and reads them back.

    A view offset of the inner one is hidden: the pipeline file asks for this one. The
    calibration files are read when it is opened. One that is not there yet is no error,
    for an engine has to run to measure it; view offsets are refused until then.

    Parameters
    ----------
    instrument
        What carries out the calls.
    kind
        Of the control adapter: calibrations bear the one they were measured with.
    limits
        Of ``[control.limits]``. The guard judges every call; what it does not see, the
        approach of the stage, is held to them here.
    sleep
        Waits for so many seconds.
    """

    Params: ClassVar[type[BaseModel]] = ViewSettings

    def __init__(
        self,
        instrument: Instrument,
        settings: ViewSettings,
        kind: str = "",
        limits: Mapping[str, ActionLimits] = MappingProxyType({}),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._inner = instrument
        self._settings = settings
        self._kind = kind
        self._limits = limits
        self._sleep = sleep
        self._view = _view(settings, {})

    @property
    def ends_with_engine(self) -> bool:
        """As the one within."""
        return bool(getattr(self._inner, "ends_with_engine", False))

    @property
    def actions(self) -> frozenset[str]:
        """Those of the inner one, and the view offset if it can be made."""
        inner = self._inner.actions - {VIEW_OFFSET}
        return inner if self._lacking() else inner | {VIEW_OFFSET}

    def check(self) -> list[str]:
        """Return what would go wrong, one sentence each."""
        found = list(self._inner.check())
        found += [
            f"[control.view] needs {action}, which this instrument cannot do"
            for action in self._lacking()
        ]
        found += self._narrow()
        for path, actuator in self._settings.files.items():
            try:
                if path.exists():  # one that is to be measured yet is no hindrance
                    self._load(path, actuator)
            except ConfigError as error:
                found.append(str(error))
        return found

    def open(self) -> None:
        """Read the calibrations, and connect."""
        try:
            files = self._settings.files.items()
            loaded = {path: self._load(path, a) for path, a in files if path.exists()}
        except ConfigError as error:
            raise InstrumentError(str(error)) from error
        self._view = _view(self._settings, loaded)
        self._inner.open()

    def close(self) -> None:
        """Disconnect."""
        self._inner.close()

    def read(self) -> Readback:
        """Return what the inner one says, and the view offset where it is known."""
        found = self._inner.read()
        values = {
            quantity: value
            for quantity, value in found.values.items()
            if not quantity.startswith("view_offset_")
        }
        try:
            x_m, y_m = self._view.offset(found).tolist()
        except RefusedError:
            return Readback(found.t_ns, values)  # absent: not known in this state
        values |= {"view_offset_x_m": x_m, "view_offset_y_m": y_m}
        return Readback(found.t_ns, values)

    def act(self, call: Call) -> Mapping[str, Any]:
        """Have the inner one do it; the stage counts as moving until it has settled."""
        if call.action == VIEW_OFFSET:
            raise InstrumentError(
                "set_view_offset is done by the calls that plan() gives, not by itself"
            )
        if call.action != ACTIONS["stage"] or self._settings.stage is None:
            return self._inner.act(call)
        before = approach_of(call, self._settings.stage.approach_m)
        if before is not None:
            self._inner.act(before)
        answer = self._inner.act(call)
        if self._settings.stage.settle_s:
            self._sleep(self._settings.stage.settle_s)
        return answer

    def plan(self, call: Call, now: Readback) -> tuple[Call, ...]:
        """Return the calls that make a view offset; others are as they are.

        Raises
        ------
        RefusedError
            As `View.plan`.
        """
        calls: tuple[Call, ...] = (call,)
        if call.action == VIEW_OFFSET:
            calls = self._view.plan(call.fields["x_m"], call.fields["y_m"], now)
        elif isinstance(self._inner, Plans):
            calls = self._inner.plan(call, now)
        stage, limits = self._settings.stage, self._limits.get(ACTIONS["stage"])
        for one in calls:
            before = None if stage is None else approach_of(one, stage.approach_m)
            if before is not None and limits is not None:
                check_approach(before, now, limits)
        return calls

    def _lacking(self) -> list[str]:
        needed = [ACTIONS[one.name] for one in self._view.movers]
        return [action for action in needed if action not in self._inner.actions]

    def _narrow(self) -> list[str]:
        """Return what the limits would not let the shifter do."""
        shifter = self._settings.shifter
        if shifter is None or self._settings.stage is None:
            return []
        action = ACTIONS[shifter.by]
        limits = self._limits.get(action)
        fields = {} if limits is None else limits.fields
        return [
            f"[control.limits.{action}] {name}.step = {one.step:g} is less than "
            f"range_m = {shifter.range_m:g}: when the stage takes over, the shifter "
            "could not go back to its middle"
            for name, one in fields.items()
            if one.step is not None and one.step < shifter.range_m
        ]

    def _load(self, path: Path, actuator: str) -> Calibration:
        found = Calibration.load(path)
        if self._kind and found.instrument != self._kind:
            raise ConfigError(
                f"calibration {path} was measured with {found.instrument!r}; this is "
                f"{self._kind!r}"
            )
        if found.actuator != actuator:
            raise ConfigError(
                f"calibration {path} is one of {found.actuator}, not of {actuator}"
            )
        return found


def _view(settings: ViewSettings, loaded: Mapping[Path, Calibration]) -> View:
    """Return the view of these settings with the calibrations that are there."""
    shifter, stage = settings.shifter, settings.stage
    first = second = None
    if shifter is not None:
        known = tuple(loaded[p] for p in shifter.calibration if p in loaded)
        first = Mover(shifter.by, known, np.array(shifter.middle_m))
    if stage is not None:
        known = tuple(loaded[p] for p in stage.calibration if p in loaded)
        second = Mover("stage", known, np.array(stage.origin_m))
    return View(first, second, 0.0 if shifter is None else shifter.range_m)

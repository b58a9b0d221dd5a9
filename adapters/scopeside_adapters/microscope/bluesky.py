"""A microscope that a bluesky RunEngine drives: commands become steps of its plan.

The process of the RunEngine holds a `scopeside.bluesky.PlanLink` and a plan that takes
from it; the wire is in `scopeside.bluesky.plan_wire`. What a command is to set is
named by ophyd devices; the plan sets them, reads them, and answers.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

import zmq
from pydantic import AfterValidator, BaseModel, Field, model_validator

from scopeside.bluesky.plan_wire import (
    MAX_BYTES,
    DeviceValue,
    Reply,
    Request,
    checked_endpoint,
    reply,
)
from scopeside.control.actions import ACTIONS
from scopeside.control.instrument import Call, Readback, Value
from scopeside.errors import InstrumentError, ProtocolError
from scopeside.messages import unknown
from scopeside.params import Params

_SETTABLE = ("number", "switch", "count")


class DeviceParams(Params):
    """A device and its unit."""

    device: str = Field(min_length=1, max_length=200)
    """The ``name`` of the ophyd device in the process of the RunEngine."""
    scale: float = Field(1.0, gt=0)
    """Units of the device in one of ours: 1000 for a device in mm, ours being m."""


class BlueskyParams(Params):
    """``[control.adapter]`` with kind = "bluesky"."""

    endpoint: Annotated[str, AfterValidator(checked_endpoint)]
    """Where the plan's process listens: ``ipc:///PATH`` or ``tcp://127.0.0.1:PORT``."""
    blank_endpoint: Annotated[str, AfterValidator(checked_endpoint)] | None = None
    """Where its thread listens that blanks beside the RunEngine. Absent: a blank waits
    until the plan comes to it, and is not done while the RunEngine is busy."""
    devices: Mapping[str, DeviceParams]
    """By ``action.field``, such as "move_stage.x_m": the device, a name or
    { device = "name", scale = 1000.0 }. An action can be done if all the fields that
    it needs are there."""
    timeout_s: float = Field(5.0, gt=0, le=600)
    """So long is an answer waited for; a command not begun by then is called off."""
    state: Mapping[str, str | float] = {}
    """What tells the optical state and is not read from a device, such as
    high_tension_V; a person sees to it that it is true."""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, values: Any) -> Any:
        devices = values.get("devices") if isinstance(values, Mapping) else None
        if not isinstance(devices, Mapping):
            return values
        spread = {
            key: {"device": one} if isinstance(one, str) else one
            for key, one in devices.items()
        }
        return {**values, "devices": spread}

    @model_validator(mode="after")
    def _fields_are_known(self) -> Self:
        for key, one in self.devices.items():
            action, _, name = key.partition(".")
            if action not in ACTIONS:
                raise ValueError(f"devices: {unknown('action', action, ACTIONS)}")
            field = ACTIONS[action].field(name)
            if field is None or field.kind not in _SETTABLE or not field.quantity:
                fits = [
                    f.name
                    for f in ACTIONS[action].fields
                    if f.kind in _SETTABLE and f.quantity
                ]
                raise ValueError(f"devices: {unknown('field', key, fits)}")
            if field.kind == "switch" and one.scale != 1.0:
                raise ValueError(f"devices.{key}: true and false have no scale")
        if self.blank_endpoint and "blank.on" not in self.devices:
            raise ValueError("blank_endpoint: devices has no 'blank.on'")
        return self


class BlueskyInstrument:
    """A microscope driven by a plan of a bluesky RunEngine."""

    Params: ClassVar[type[BaseModel]] = BlueskyParams

    def __init__(self, params: BlueskyParams) -> None:
        self._params = params
        self._by_field = dict(params.devices)
        self._blanker = self._by_field.get("blank.on")
        self._owner = f"scopeside {os.getpid()}"
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._plan: zmq.Socket[bytes] | None = None
        self._direct: zmq.Socket[bytes] | None = None

    @property
    def actions(self) -> frozenset[str]:
        """Those of which every field that is needed has a device."""
        found = set()
        for name, action in ACTIONS.items():
            mapped = [f for f in action.fields if f"{name}.{f.name}" in self._by_field]
            if mapped and all(f in mapped for f in action.fields if f.required):
                found.add(name)
        return frozenset(found)

    def check(self) -> list[str]:
        """Return why the plan's process cannot be spoken to, empty if it can."""
        try:
            self.open()
            self.read()
        except InstrumentError as error:
            return [str(error)]
        finally:
            self.close()
        return []

    def open(self) -> None:
        """Connect and see whether the devices are there."""
        self.close()
        self._context = zmq.Context()
        self._plan = self._dial(self._params.endpoint)
        if self._params.blank_endpoint is not None:
            self._direct = self._dial(self._params.blank_endpoint)
        names = tuple(dict.fromkeys(one.device for one in self._by_field.values()))
        blanker = "" if self._blanker is None else self._blanker.device
        for connection in (self._plan, self._direct):
            if connection is not None:
                self._ask(connection, "hello", devices=names, blanker=blanker)

    def close(self) -> None:
        """Disconnect; what the plan has not begun it drops."""
        for connection in (self._plan, self._direct):
            if connection is not None:
                connection.close(linger=0)
        self._plan = self._direct = None
        if self._context is not None:
            self._context.destroy(linger=0)
            self._context = None

    def read(self) -> Readback:
        """Read every device, in the plan's process but not by the plan."""
        names = tuple(dict.fromkeys(one.device for one in self._by_field.values()))
        t_ns = time.time_ns()
        found = self._ask(self._plan, "read", devices=names).values
        return Readback(t_ns, {**self._params.state, **self._quantities(found)})

    def act(self, call: Call) -> Mapping[str, Any]:
        """Have the plan do it, and return what the devices read afterwards."""
        if call.action not in self.actions:
            raise InstrumentError(f"no devices are named for {call.action}")
        if call.action == "blank":
            return self._blank(bool(call.fields["on"]))
        values = {
            device.device: self._in_device_units(name, device, value)
            for name, value in call.fields.items()
            for device in [self._device(call.action, name)]
        }
        answer = self._ask(
            self._plan,
            "set",
            action=call.action,
            values=values,
            within_s=self._params.timeout_s,
        )
        return self._quantities(answer.values)

    # ---------------------------------------------------------------------------

    def _blank(self, on: bool) -> Mapping[str, Any]:
        """Blank directly where there is a way; unblanking is always the plan's."""
        within_s = self._params.timeout_s
        if on and self._direct is not None:
            answer = self._ask(self._direct, "blank", on=True, within_s=within_s)
            return self._quantities(answer.values)
        try:
            answer = self._ask(self._plan, "blank", on=on, within_s=within_s)
        except InstrumentError as error:
            if not on or self._params.blank_endpoint is not None:
                raise
            raise InstrumentError(
                f"{error}. THE BEAM IS NOT BLANKED: it waited for the plan, since "
                "control.adapter.blank_endpoint is not set"
            ) from error
        return self._quantities(answer.values)

    def _device(self, action: str, name: str) -> DeviceParams:
        found = self._by_field.get(f"{action}.{name}")
        if found is None:
            raise InstrumentError(f"no device is named for {action}.{name}")
        return found

    @staticmethod
    def _in_device_units(name: str, device: DeviceParams, value: Any) -> DeviceValue:
        if type(value) not in (int, float):
            raise InstrumentError(f"{name} is no number: {value!r:.60}")
        scaled: DeviceValue = value if device.scale == 1.0 else value * device.scale
        return scaled

    def _quantities(self, found: Mapping[str, DeviceValue]) -> dict[str, Value]:
        """Return what devices read by our names, in our units."""
        values: dict[str, Value] = {}
        for key, device in self._by_field.items():
            if device.device not in found:
                continue
            action, _, name = key.partition(".")
            field = ACTIONS[action].field(name)
            assert field is not None  # the parameters are checked
            read = found[device.device]
            if field.kind == "switch":
                values[field.quantity] = _switch(device.device, read)
            else:
                values[field.quantity] = float(read) / device.scale
        return values

    def _dial(self, endpoint: str) -> zmq.Socket[bytes]:
        assert self._context is not None  # made in open
        connection = self._context.socket(zmq.DEALER)
        connection.linger = 0
        connection.maxmsgsize = MAX_BYTES
        connection.setsockopt(zmq.IMMEDIATE, 1)
        connection.connect(endpoint)
        return connection

    def _ask(
        self, connection: zmq.Socket[bytes] | None, op: str, **fields: Any
    ) -> Reply:
        if connection is None:
            raise InstrumentError(f"not connected to {self._params.endpoint}")
        asked = Request(uuid.uuid4().hex, op, self._owner, **fields)
        ends = time.monotonic() + self._params.timeout_s
        _send(connection, asked, ends)
        while (left := ends - time.monotonic()) > 0:
            if not connection.poll(int(left * 1000) + 1):
                break
            try:
                found = reply(connection.recv())
            except ProtocolError as error:
                raise InstrumentError(f"the plan's process: {error}") from error
            if found.id in (asked.id, ""):
                return _good(op, found)
        if op in ("set", "blank"):
            _send(
                connection, Request(asked.id, "cancel", self._owner, of=asked.id), ends
            )
        raise InstrumentError(
            f"the plan at {self._params.endpoint} did not answer {op} within "
            f"{self._params.timeout_s:g} s: it does not run, is paused, or is busy"
        )


def _send(connection: zmq.Socket[bytes], asked: Request, ends: float) -> None:
    """Send, but leave nothing behind for a process that may come later."""
    left_ms = max(1, int((ends - time.monotonic()) * 1000))
    if not connection.poll(left_ms, zmq.POLLOUT):
        raise InstrumentError(
            "nobody listens at the plan's end of the link: is its PlanLink open?"
        )
    connection.send(asked.pack())


def _good(op: str, found: Reply) -> Reply:
    if not found.ok:
        raise InstrumentError(f"{op}: {found.reason}")
    return found


def _switch(name: str, value: DeviceValue) -> bool:
    if value not in (0, 1):
        raise InstrumentError(f"{name} reads {value!r}; expected true or false")
    return bool(value)

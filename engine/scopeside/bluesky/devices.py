"""Reading and setting ophyd devices outside of a plan."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from scopeside.bluesky.plan_wire import DeviceValue
from scopeside.errors import ConfigError, InstrumentError


def by_name(devices: Iterable[Any]) -> dict[str, Any]:
    """Return devices by their names.

    Raises
    ------
    ConfigError
        If one has no name, cannot be set or read, or two have the same name.
    """
    found: dict[str, Any] = {}
    for device in devices:
        name = getattr(device, "name", "")
        if not name or not hasattr(device, "set") or not hasattr(device, "read"):
            raise ConfigError(f"{device!r:.80} is no device with a name, set and read")
        if name in found:
            raise ConfigError(f"two devices are called {name!r}")
        found[name] = device
    return found


def value_of(name: str, reading: Mapping[str, Mapping[str, Any]]) -> DeviceValue:
    """Return the one value of a device from what its ``read`` gave.

    Raises
    ------
    InstrumentError
        If it does not read a number under its own name.
    """
    value = reading.get(name, {}).get("value")
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise InstrumentError(
            f"the device {name} reads no finite number under its own name: "
            f"{value!r:.60}"
        )
    return value


def read(device: Any, loop: asyncio.AbstractEventLoop | None, timeout_s: float) -> Any:
    """Return the device's value; one of ophyd-async is read in the RunEngine's loop.

    Raises
    ------
    InstrumentError
        If it cannot be read in time; what a device raises is turned into it.
    """
    name = str(device.name)
    try:
        reading = device.read()
        if inspect.isawaitable(reading):
            reading = _waited_for(name, reading, loop, timeout_s)
    except InstrumentError:
        raise
    except Exception as error:  # a device raises what its makers thought of
        raise InstrumentError(f"the device {name} cannot be read: {error}") from error
    return value_of(name, reading)


def move(device: Any, value: Any, timeout_s: float) -> None:
    """Set a device and wait for it, with no RunEngine.

    Raises
    ------
    InstrumentError
        If it does not get there in time; what a device raises is turned into it.
    """
    try:
        status = device.set(value)
        status.wait(timeout_s)
    except Exception as error:  # as in read
        raise InstrumentError(
            f"the device {device.name} was not set to {value}: "
            f"{type(error).__name__} {error}".rstrip()
        ) from error


def _waited_for(
    name: str, reading: Any, loop: asyncio.AbstractEventLoop | None, timeout_s: float
) -> Any:
    if loop is None:
        reading.close()
        raise InstrumentError(
            f"the device {name} is read in an event loop; PlanLink(…, loop=RE.loop)"
        )
    return asyncio.run_coroutine_threadsafe(reading, loop).result(timeout_s)

"""Plans that carry out what the guard has allowed."""

from __future__ import annotations

import importlib
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from scopeside.bluesky.devices import value_of
from scopeside.bluesky.link import PlanLink
from scopeside.bluesky.plan_wire import DeviceValue
from scopeside.bluesky.waiting import PlanCall
from scopeside.errors import MissingExtraError

_IDLE_S = 0.005


def follow(
    link: PlanLink, sensors: Sequence[Any] = (), md: Mapping[str, Any] | None = None
) -> Generator[Any, Any, None]:
    """Do what the guard sends, one command after another, until `link` is stopped.

    One run; an event for each command, in a stream named by its action and its
    devices, with what these and the sensors read afterwards. If a device fails the
    guard hears it and parks; the plan goes on.
    """
    wrapper = _of_bluesky("preprocessors").run_wrapper
    md = {"plan_name": "follow", **(md or {})}
    yield from wrapper(_commands(link, sensors), md=md)


def until_called(link: PlanLink) -> Generator[Any, Any, bool]:
    """Wait for a command and leave it there; return whether there is one.

    Unlike `ScopesideOptimizer.suggest` it does not hold up the RunEngine: it can be
    paused, and devices of ophyd-async be read, meanwhile.
    """
    stubs = _of_bluesky("plan_stubs")
    while not link.called and not link.stopped:
        yield from stubs.sleep(_IDLE_S)
    return not link.stopped


def set_and_read(
    link: PlanLink,
    values: Mapping[str, DeviceValue],
    sensors: Sequence[Any],
    stream: str,
) -> Generator[Any, Any, dict[str, DeviceValue]]:
    """Set devices together, wait for all, read them into an event; return the values.

    Raises
    ------
    InstrumentError
        If one reads no number.
    """
    stubs = _of_bluesky("plan_stubs")
    moved = {name: link.devices[name] for name in values}
    pairs = [one for name, device in moved.items() for one in (device, values[name])]
    yield from stubs.mv(*pairs)
    read = yield from stubs.trigger_and_read([*moved.values(), *sensors], name=stream)
    return {name: value_of(name, read) for name in moved}


def _commands(link: PlanLink, sensors: Sequence[Any]) -> Generator[Any, Any, None]:
    while (yield from until_called(link)):
        if (call := link.take()) is not None:
            yield from _carry_out(link, call, sensors)


def _carry_out(
    link: PlanLink, call: PlanCall, sensors: Sequence[Any]
) -> Generator[Any, Any, None]:
    stopped = _of_bluesky("utils").RunEngineControlException
    stream = " ".join([call.action, *sorted(call.values)])
    ok, reason = False, "the plan was stopped"
    values: dict[str, DeviceValue] = {}
    try:
        values = yield from set_and_read(link, call.values, sensors, stream)
        ok, reason = True, ""
    except stopped:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a device raises, the guard is told
        reason = f"{type(error).__name__}: {error}"
    finally:
        link.answer(call.id, ok, reason, values)


def _of_bluesky(module: str) -> Any:
    try:
        return importlib.import_module(f"bluesky.{module}")
    except ImportError as error:
        raise MissingExtraError("a plan of scopeside", "bluesky", "bluesky") from error

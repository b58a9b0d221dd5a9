"""Finds plug-ins of all kinds by entry point or ``module:Class``."""

from __future__ import annotations

import importlib
import re
import sys
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, cast

from scopeside.channel import ChannelSource
from scopeside.control.instrument import Instrument
from scopeside.control.policy import Policy
from scopeside.detector import Detector
from scopeside.errors import PluginError
from scopeside.export.exporter import Exporter
from scopeside.messages import unknown
from scopeside.processor import Order, Processor

DETECTORS = "scopeside.detectors"
PROCESSORS = "scopeside.processors"
CHANNELS = "scopeside.channels"
SIMULATORS = "scopeside.simulators"
CONTROLS = "scopeside.controls"
POLICIES = "scopeside.policies"
SINKS = "scopeside.sinks"
_OWN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_NEEDS = {
    Order.ANY: ("merge",),
    Order.ORDERED: (),
    Order.KEYED: ("merge", "context", "resume"),
}
_imported: set[str] = set()
GROUPS = (DETECTORS, PROCESSORS, CHANNELS, CONTROLS, POLICIES, SINKS)


@cache
def installed(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of a group by name; ours are among them."""
    found = {point.name: point for point in entry_points(group=group)}
    return found or _of_this_checkout(group)


def detector_class(kind: str) -> type[Detector]:
    """Return the detector of that kind.

    Raises
    ------
    PluginError
        If there is none or it does not load.
    """
    return cast("type[Detector]", _load(DETECTORS, "detector", kind, ("run", "check")))


def channel_class(kind: str) -> type[ChannelSource]:
    """Return the channel of that kind.

    Raises
    ------
    PluginError
        If there is none or it does not load.
    """
    found = _load(CHANNELS, "channel", kind, ("run", "check"))
    return cast("type[ChannelSource]", found)


def instrument_class(kind: str) -> type[Instrument]:
    """Return the control adapter of that kind.

    Raises
    ------
    PluginError
        If there is none or it does not load.
    """
    required = ("actions", "check", "open", "close", "read", "act")
    return cast("type[Instrument]", _load(CONTROLS, "control adapter", kind, required))


def policy_class(kind: str) -> type[Policy]:
    """Return the policy of that kind.

    Raises
    ------
    PluginError
        If there is none or it does not load.
    """
    required = ("wants", "begin", "hear", "told")
    return cast("type[Policy]", _load(POLICIES, "policy", kind, required))


def exporter_class(kind: str) -> type[Exporter]:
    """Return the export format of that name.

    Raises
    ------
    PluginError
        If there is none or it does not load.
    """
    required = ("suffix", "takes_frames", "check", "names", "size", "write")
    return cast("type[Exporter]", _load(SINKS, "export format", kind, required))


def processor_class(kind: str) -> type[Processor]:
    """Return the processor of that kind.

    Raises
    ------
    PluginError
        If there is none or it does not load.
    """
    required = ("order", "process", "results", "snapshot", "restore")
    found = _load(PROCESSORS, "processor", kind, required)
    if not isinstance(found.order, Order):
        raise PluginError(
            f"processor {kind!r} has order = {found.order!r}; it is Order.ANY, "
            "Order.ORDERED or Order.KEYED"
        )
    lacking = [name for name in _NEEDS[found.order] if not hasattr(found, name)]
    if lacking:
        raise PluginError(
            f"processor {kind!r} lacks {', '.join(lacking)}, which order = "
            f"{found.order} needs"
        )
    return cast("type[Processor]", found)


def imported() -> frozenset[str]:
    """Return the modules of our own plug-ins that this process has imported so far.

    Of those we know that they start nothing when they are imported: a process may
    import them and fork. A user's are loaded where they are used, as they are then.
    """
    return frozenset(_imported)


def look_in(folder: Path) -> None:
    """Let ``module:Class`` find modules beside the pipeline file as well."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _load(group: str, what: str, kind: str, required: tuple[str, ...]) -> Any:
    if ":" in kind:
        if not _OWN.fullmatch(kind):
            raise PluginError(
                f"{what} {kind!r} is not 'package.module:Class', such as 'mine:Peaks'"
            )
        point = EntryPoint(kind, kind, group)
    else:
        known = installed(group)
        if kind not in known:
            raise PluginError(
                f"{unknown(what, kind, known)}; your own: 'package.module:Class'"
            )
        point = known[kind]
    try:
        found = point.load()
        if ":" not in kind and (point.dist is None or point.dist.name == "scopeside"):
            _imported.add(point.module)
    except Exception as error:
        # Whatever a plug-in does when it is imported, the file's author must see it.
        raise PluginError(
            f"{what} {kind!r} does not load: {type(error).__name__}: {error}"
        ) from error
    lacking = [name for name in ("Params", *required) if not hasattr(found, name)]
    if lacking:
        raise PluginError(f"{what} {kind!r} lacks {', '.join(lacking)}")
    return found


def _of_this_checkout(group: str) -> dict[str, EntryPoint]:
    """Read the entry points from pyproject.toml when nothing is installed.

    Tests run straight from a checkout; there the metadata does not exist.
    """
    import tomllib  # noqa: PLC0415 - only needed here

    project = Path(__file__).parents[2] / "pyproject.toml"
    if not project.is_file():
        return {}
    tables = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    points = tables.get("entry-points", {}).get(group, {})
    return {name: EntryPoint(name, value, group) for name, value in points.items()}


def import_error(module: str) -> str | None:
    """Return why `module` cannot be imported, None if it can."""
    try:
        importlib.import_module(module)
    except ImportError as error:
        return str(error)
    return None

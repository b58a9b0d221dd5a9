"""``scopeside simulate``: a detector's double, on the detector's own protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol, cast

from pydantic import BaseModel
from rich.console import Console

from scopeside.cli.assignments import assignments
from scopeside.errors import PluginError
from scopeside.messages import unknown, validate
from scopeside.plugins import SIMULATORS, installed


class Simulator(Protocol):
    """The other end of a detector's protocol, as ``scopeside simulate`` plays it.

    `Params` validates the settings that the command line gives as ``KEY=VALUE``.
    """

    Params: ClassVar[type[BaseModel]]

    def __init__(self, params: Any) -> None: ...

    def run(self, say: Callable[[str], None]) -> None:
        """Play until there is no more; `say` tells the person who started it."""


def simulate_command(kind: str, settings: Sequence[str]) -> int:
    """Play the detector `kind` with ``KEY=VALUE`` settings; return the exit code.

    Raises
    ------
    PluginError
        If there is no such simulator or it does not load.
    ConfigError
        If a setting is not known or its value not allowed.
    """
    simulator = _simulator(kind)
    table = assignments(settings, "fps=1000")
    params = validate(simulator.Params, table, where=f"simulate {kind}")
    console = Console(highlight=False)
    try:
        simulator(params).run(
            lambda text: console.print(text, markup=False, soft_wrap=True)
        )
    except KeyboardInterrupt:
        console.print("interrupted; the acquisition is left without an end")
        return 130
    return 0


def _simulator(kind: str) -> type[Simulator]:
    known = installed(SIMULATORS)
    if kind not in known:
        raise PluginError(unknown("simulator", kind, known))
    try:
        return cast("type[Simulator]", known[kind].load())
    except (ImportError, AttributeError) as error:
        raise PluginError(f"simulator {kind!r} does not load: {error}") from error

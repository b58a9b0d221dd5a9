"""Commands of the guard as suggestions for bluesky-adaptive (1.0 or newer).

What is suggested has been allowed by the guard already; what is ingested is the
guard's answer. It is the same link, whether a plan of bluesky-adaptive or `follow`
takes from it.
"""

from __future__ import annotations

from collections.abc import Generator, Hashable, Mapping, Sequence
from typing import Any

from scopeside.bluesky.link import PlanLink
from scopeside.bluesky.plans import set_and_read
from scopeside.errors import ConfigError, InstrumentError, MissingExtraError

_ID = "_id"


class ScopesideOptimizer:
    """An ``Optimizer`` of bluesky-adaptive whose points are what the guard has allowed.

    A plan of bluesky-adaptive moves the same devices at every step, so this one takes
    the commands for just these; others are answered with a refusal. It suggests one
    point at a time, since the guard sends one command at a time.

    Parameters
    ----------
    devices
        Names of the devices that every suggestion moves; empty: all of the link but
        the blanker.
    patience_s
        So long `suggest` waits for a command. It holds up the RunEngine's loop
        meanwhile; `until_called` before it does not.
    """

    def __init__(
        self, link: PlanLink, devices: Sequence[str] = (), *, patience_s: float = 60.0
    ) -> None:
        blanker = "" if link.blanker is None else link.blanker.name
        self.link = link
        self.devices = tuple(devices) or tuple(
            name for name in link.devices if name != blanker
        )
        if unknown := set(self.devices) - set(link.devices):
            raise ConfigError(f"the link has no device {', '.join(sorted(unknown))}")
        self._patience_s = patience_s
        self._open: set[str] = set()

    def suggest(self, num_points: int | None = None) -> list[dict[str, Any]]:  # noqa: ARG002 - of the protocol
        """Wait for a command; return it as the one suggestion.

        Raises
        ------
        InstrumentError
            If none comes in time, or the link was stopped.
        """
        while True:
            call = self.link.take(self._patience_s)
            if call is None:
                raise InstrumentError(
                    "the link was stopped"
                    if self.link.stopped
                    else f"the guard sent no command within {self._patience_s:g} s"
                )
            if set(call.values) == set(self.devices):
                self._open.add(call.id)
                return [{_ID: call.id, **call.values}]
            self.link.answer(
                call.id,
                False,
                f"this plan sets {', '.join(self.devices)} together, not "
                f"{', '.join(call.values)}",
            )

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Answer the guard with what the devices read, as the outcomes say it.

        An outcome has ``_id`` and, by the name of each device, what it read; anything
        else in it is the plan's own.
        """
        for point in points:
            ident = point.get(_ID)
            if ident not in self._open:
                continue  # from another source, such as a baseline
            lacking = [name for name in self.devices if name not in point]
            values = {name: point[name] for name in self.devices if name in point}
            reason = f"not read afterwards: {', '.join(lacking)}" if lacking else ""
            self._close(ident, not lacking, reason, values)

    def register_failures(self, suggestions: Sequence[Mapping[str, Any]]) -> None:
        """Answer the guard that it was not done."""
        for suggestion in suggestions:
            if suggestion.get(_ID) in self._open:
                self._close(suggestion[_ID], False, "the plan failed", {})

    def should_stop(self) -> tuple[bool, str | None]:
        """Return whether the link was stopped."""
        return self.link.stopped, "the link was stopped" if self.link.stopped else None

    def get_best_points(self) -> list[tuple[Hashable, Mapping[str, Any], Any]]:
        """Return nothing: commands are not compared."""
        return []

    def _close(
        self, ident: str, ok: bool, reason: str, values: Mapping[str, Any]
    ) -> None:
        self._open.discard(ident)
        self.link.answer(ident, ok, reason, values)


def problem(optimizer: ScopesideOptimizer, sensors: Sequence[Any] = ()) -> Any:
    """Return an ``OptimizationProblem`` that moves, reads back, and answers the guard.

    Raises
    ------
    MissingExtraError
        If bluesky-adaptive is not installed.
    """
    try:
        from bluesky_adaptive.protocols import (  # noqa: PLC0415 - optional
            OptimizationProblem,
        )
    except ImportError as error:
        raise MissingExtraError(
            "ScopesideOptimizer", "bluesky-adaptive 1.0", "bluesky"
        ) from error
    link = optimizer.link
    read: dict[str, Mapping[str, Any]] = {}

    def acquire(
        suggestions: Sequence[Mapping[str, Any]],
        actuators: Sequence[Any],  # noqa: ARG001 - of the protocol
        sensors: Sequence[Any] | None = None,
        md: Mapping[str, Any] | None = None,  # noqa: ARG001 - of the protocol
    ) -> Generator[Any, Any, tuple[str, ...]]:
        read.clear()
        for suggestion in suggestions:
            values = {name: suggestion[name] for name in optimizer.devices}
            read[suggestion[_ID]] = yield from set_and_read(
                link, values, sensors or (), "commands"
            )
        return tuple(read)

    def evaluate(
        uid: Any,  # noqa: ARG001 - of the protocol
        suggestions: Sequence[Mapping[str, Any]],
    ) -> list[dict[str, Any]]:
        return [{_ID: one[_ID], **read[one[_ID]]} for one in suggestions]

    return OptimizationProblem(
        optimizer=optimizer,
        actuators=[link.devices[name] for name in optimizer.devices],
        sensors=list(sensors),
        evaluation_function=evaluate,
        acquisition_plan=acquire,
    )

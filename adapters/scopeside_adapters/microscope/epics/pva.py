"""PVs over PVAccess, by p4p."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scopeside.errors import InstrumentError, MissingExtraError
from scopeside_adapters.microscope.epics.link import PvValue

INVALID = 3
"""Alarm severity: the value is not to be trusted."""


class PvaLink:
    """A client of its own; the EPICS_PVA_ environment variables say where to search."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._context: Any = None

    def open(self, names: Sequence[str]) -> None:
        """Connect to these PVs."""
        self.close()
        self._context = p4p_library().Context("pva", nt=False)
        self.read(names)

    def close(self) -> None:
        """Disconnect; may be called twice."""
        context, self._context = self._context, None
        if context is not None:
            context.close()

    def read(self, names: Sequence[str]) -> dict[str, PvValue]:
        """Return the values that can be trusted."""
        found = self._client().get(list(names), timeout=self._timeout_s, throw=False)
        values: dict[str, PvValue] = {}
        for name, structure in zip(names, found, strict=True):
            if isinstance(structure, Exception):
                raise InstrumentError(_words("read", name, structure))
            alarm = structure.get("alarm.severity", 0)
            if alarm < INVALID:
                values[name] = _value(name, structure)
        return values

    def put(self, values: Mapping[str, float]) -> None:
        """Write all of them, and wait until the IOC says that it has done so."""
        answers = self._client().put(
            list(values),
            [{"value": value} for value in values.values()],
            timeout=self._timeout_s,
            throw=False,
        )
        for name, answer in zip(values, answers, strict=True):
            if isinstance(answer, Exception):
                raise InstrumentError(_words("set", name, answer))

    def _client(self) -> Any:
        if self._context is None:
            raise InstrumentError("the link to EPICS is not open")
        return self._context


def _value(name: str, structure: Any) -> PvValue:
    value = structure.get("value")
    if hasattr(value, "get"):  # an enumeration: its index
        value = value.get("index")
    if isinstance(value, str):
        return value
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise InstrumentError(f"PV {name!r} holds no number or text") from error


def _words(what: str, name: str, error: Exception) -> str:
    why = "nobody answered" if isinstance(error, TimeoutError) else f"{error}"
    return f"PV {name!r} could not be {what}: {why or type(error).__name__}"


def p4p_library() -> Any:
    """Return the library, or raise `MissingExtraError`."""
    try:
        from p4p.client import thread  # noqa: PLC0415 - an optional library
    except ImportError as error:
        raise MissingExtraError("control over PVAccess", "p4p", "epics") from error
    return thread

"""One connection to the instrument, used by one thread; failures are said alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from scopeside.control.instrument import Call, Instrument, Plans, Readback
from scopeside.errors import InstrumentError, RefusedError

T = TypeVar("T")
_DEPTH = 6


class Connection:
    """An `Instrument` whose plug-in may be of anybody's making.

    Whatever it raises comes out as `InstrumentError`, and what it returns is checked:
    a read-back of NaN would pass every comparison with a limit.
    """

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self.is_open = False

    @property
    def actions(self) -> frozenset[str]:
        """Names of the actions that the instrument can do."""
        return frozenset(self._instrument.actions)

    def open(self) -> None:
        """Connect, if it is not."""
        if not self.is_open:
            _call(self._instrument.open)
            self.is_open = True

    def close(self) -> str:
        """Disconnect; returns what went wrong, usually nothing."""
        self.is_open = False
        try:
            _call(self._instrument.close)
        except InstrumentError as error:
            return str(error)
        return ""

    def read(self) -> Readback:
        """Ask what the instrument is set to."""
        return _checked(_call(self._instrument.read))

    @property
    def plans(self) -> bool:
        """Whether it does actions by others."""
        return isinstance(self._instrument, Plans)

    def plan(self, call: Call, now: Readback) -> tuple[Call, ...]:
        """Return the calls that do it; asks the instrument nothing, any thread may.

        Raises
        ------
        RefusedError
            If it cannot be done from here.
        """
        assert isinstance(self._instrument, Plans)
        try:
            return tuple(self._instrument.plan(call, now))
        except RefusedError:
            raise
        except Exception as error:
            # A plug-in may raise anything; here it must not end the guard.
            raise RefusedError(
                f"{call.action}: {type(error).__name__}: {error}", "plan"
            ) from error

    def act(self, call: Call) -> Any:
        """Carry out one action; returns the answer as plain values, for the log."""
        return plain(_call(lambda: self._instrument.act(call)))


def plain(value: Any, depth: int = _DEPTH) -> Any:
    """Return a value as JSON can write it; what is neither number nor text by repr."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else repr(float(value))
    if depth and isinstance(value, Mapping):
        return {str(key): plain(one, depth - 1) for key, one in value.items()}
    if depth and isinstance(value, list | tuple):
        return [plain(one, depth - 1) for one in value]
    return f"{value!r:.200}"


def _call(function: Callable[[], T]) -> T:
    try:
        return function()
    except InstrumentError:
        raise
    except Exception as error:
        # A plug-in may raise anything; the guard has to go on and say what it was.
        raise InstrumentError(f"{type(error).__name__}: {error}") from error


def _checked(readback: Any) -> Readback:
    if not isinstance(readback, Readback) or type(readback.t_ns) is not int:
        raise InstrumentError(
            f"a read-back has a time in ns and values, not {readback!r:.100}"
        )
    values: dict[str, float | bool | str] = {}
    for quantity, value in readback.values.items():
        if isinstance(value, bool | str):
            values[str(quantity)] = value
        elif isinstance(value, int | float) and math.isfinite(value):
            values[str(quantity)] = float(value)
        else:
            raise InstrumentError(f"it reads back {quantity} = {value!r:.60}")
    return Readback(readback.t_ns, values)

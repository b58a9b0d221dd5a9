"""Reads a message with samples: one map, msgpack or JSON. Does no I/O.

::

    {"name": "temperature", "t_ns": 1767225600000000000, "value": 21.5, "unit": "degC"}

``t_ns`` and ``value`` are numbers, or lists of equal length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from scopeside.errors import ProtocolError
from scopeside.join import LATEST_NS, FloatArray, IntArray
from scopeside.strangers import from_json, from_msgpack

MAX_MESSAGE = 1 << 16
"""Bytes of a message."""
MAX_NAME = 128


class SamplesReceived(NamedTuple):
    """Samples of one channel; `unit` is None where the message does not say."""

    name: str
    times: IntArray
    values: FloatArray
    unit: str | None


def parse(parts: Sequence[bytes]) -> SamplesReceived:
    """Read a message; of several parts, such as a topic before it, the last.

    Raises
    ------
    ProtocolError
        With the cause ``truncated``, ``oversized``, ``wrong_message`` or
        ``wrong_value``.
    """
    if not parts or not parts[-1]:
        raise ProtocolError("an empty message", cause="truncated")
    if len(parts) > 2 or sum(map(len, parts)) > MAX_MESSAGE:
        raise ProtocolError(
            f"a message has a map, perhaps a topic before it, and {MAX_MESSAGE} bytes "
            f"at most, not {len(parts)} parts of {sum(map(len, parts))} bytes",
            cause="oversized",
        )
    said = _decoded(parts[-1])
    if not isinstance(said, dict):
        raise ProtocolError("the message is no map", cause="wrong_message")
    name, unit = said.get("name"), said.get("unit")
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        raise ProtocolError(
            f"'name' is a text, not {name!r:.60}", cause="wrong_message"
        )
    if unit is not None and not isinstance(unit, str):
        raise ProtocolError(
            f"'unit' is a text, not {unit!r:.60}", cause="wrong_message"
        )
    times, values = _list(said.get("t_ns")), _list(said.get("value"))
    if len(times) != len(values):
        raise ProtocolError(
            f"{len(times)} times for {len(values)} values", cause="wrong_message"
        )
    return SamplesReceived(name, _times(times), _values(values), unit)


def _decoded(data: bytes) -> Any:
    try:
        if data[:1] in b"{ \t\r\n":
            return from_json(data)
        return from_msgpack(data)
    except ValueError as error:
        raise ProtocolError(
            f"the message is neither msgpack nor JSON: {error!s:.80}",
            cause="wrong_message",
        ) from error


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _times(times: list[Any]) -> IntArray:
    for t_ns in times:
        if type(t_ns) is not int or not 0 <= t_ns < LATEST_NS:
            raise ProtocolError(
                f"'t_ns' is a whole number, ns since 1970, not {t_ns!r:.60}",
                cause="wrong_value",
            )
    return np.array(times, np.int64)


def _values(values: list[Any]) -> FloatArray:
    for value in values:
        if type(value) not in (int, float) or abs(value) > 1e300 or value != value:  # noqa: PLR0124 - NaN
            raise ProtocolError(
                f"'value' is a finite number, not {value!r:.60}", cause="wrong_value"
            )
    return np.array(values, np.float64)

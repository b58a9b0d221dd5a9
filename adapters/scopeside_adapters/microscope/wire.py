"""The control wire: messages that a microscope of any make can answer.

One request, one answer, a msgpack map each (docs/control_wire.md). Does no I/O, and
knows no clock::

    {"v": 1, "id": "a1", "ask": "hello"}
    {"v": 1, "id": "a1", "ok": true, "reason": "", "session": "7f…", "name": "EM 3",
     "actions": ["set_beam_shift", "blank"], "now_ns": 1767225600000000000}

    {"v": 1, "id": "a2", "ask": "read"}
    {"v": 1, "id": "a2", "ok": true, "reason": "", "session": "7f…",
     "values": {"beam_shift_x_m": 0.0, "blanked": false, "mode": "TEM"}}

    {"v": 1, "id": "a3", "ask": "command", "action": "blank", "fields": {"on": true},
     "deadline_ns": 1767225601000000000, "session": "7f…"}
    {"v": 1, "id": "a3", "ok": true, "reason": "", "session": "7f…", "answer": {}}
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgpack

from scopeside.control.instrument import Call, Value
from scopeside.errors import ProtocolError
from scopeside.strangers import from_msgpack

VERSION = 1
LARGEST_ANSWER = 1 << 20
"""Bytes."""
MOST_VALUES = 1000
LONGEST_TEXT = 500
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Hello:
    """Who answers.

    Attributes
    ----------
    session
        A word that is another one after each start of the peer.
    now_ns
        The peer's clock, ns since 1970 UTC.
    """

    session: str
    name: str
    actions: frozenset[str]
    now_ns: int


@dataclass(frozen=True, slots=True)
class Values:
    """What the instrument is set to."""

    session: str
    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Done:
    """A command was carried out."""

    session: str
    answer: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Refused:
    """The peer has not done it, and says why."""

    reason: str


def hello(name: str) -> bytes:
    """Return the question who answers."""
    return _request(name, "hello")


def read(name: str) -> bytes:
    """Return the question what the instrument is set to."""
    return _request(name, "read")


def command(name: str, call: Call, *, session: str, deadline_ns: int) -> bytes:
    """Return a command; `deadline_ns` is by the peer's clock."""
    return _request(
        name,
        "command",
        action=call.action,
        fields=dict(call.fields),
        deadline_ns=deadline_ns,
        session=session,
    )


def parse_hello(data: bytes, name: str) -> Hello | Refused:
    """Read the answer to `hello`; see `parse_done` for what is raised."""
    return _parsed(data, name, _hello)


def parse_values(data: bytes, name: str) -> Values | Refused:
    """Read the answer to `read`; see `parse_done` for what is raised."""
    return _parsed(
        data,
        name,
        lambda found: Values(_text(found, "session"), _values(found, "values")),
    )


def parse_done(data: bytes, name: str) -> Done | Refused:
    """Read the answer to a command.

    Parameters
    ----------
    name
        The id of the request that it must be the answer to.

    Raises
    ------
    ProtocolError
        With the cause ``wrong_message``, ``wrong_version``, ``other_id`` or
        ``wrong_value``.
    """
    return _parsed(
        data,
        name,
        lambda found: Done(
            _text(found, "session"),
            _values(found, "answer") if "answer" in found else {},
        ),
    )


def _request(name: str, ask: str, **more: Any) -> bytes:
    packed: bytes = msgpack.packb({"v": VERSION, "id": name, "ask": ask, **more})
    return packed


def _parsed(
    data: bytes, name: str, body: Callable[[Mapping[str, Any]], T]
) -> T | Refused:
    found = _map(data)
    if found.get("v") != VERSION or type(found["v"]) is not int:
        raise ProtocolError(
            f"this is version {VERSION} of the control wire, got v = "
            f"{found.get('v')!r:.40}",
            cause="wrong_version",
        )
    if found.get("id") != name:
        raise ProtocolError(
            f"expected the answer to {name!r}, got one to {found.get('id')!r:.80}",
            cause="other_id",
        )
    if type(found.get("ok")) is not bool:
        raise _wrong(f"ok is true or false, not {found.get('ok')!r:.60}")
    return body(found) if found["ok"] else Refused(_text(found, "reason"))


def _hello(found: Mapping[str, Any]) -> Hello:
    actions, now_ns = found.get("actions"), found.get("now_ns")
    if not isinstance(actions, list) or len(actions) > MOST_VALUES:
        raise _wrong(f"actions is a list of names, not {actions!r:.60}")
    if not all(isinstance(action, str) for action in actions):
        raise _wrong("actions is a list of names")
    if type(now_ns) is not int or now_ns < 0:
        raise _wrong(f"now_ns is a time in ns since 1970, not {now_ns!r:.60}")
    return Hello(
        _text(found, "session"), _text(found, "name"), frozenset(actions), now_ns
    )


def _map(data: bytes) -> dict[str, Any]:
    if len(data) > LARGEST_ANSWER:
        raise ProtocolError(
            f"an answer has {LARGEST_ANSWER} bytes at most, not {len(data)}",
            cause="wrong_message",
        )
    try:
        found = from_msgpack(data)
    except (ValueError, TypeError) as error:
        raise ProtocolError(
            f"the answer is not msgpack: {error!r:.100}", cause="wrong_message"
        ) from error
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise ProtocolError(
            "an answer is a map of names and values", cause="wrong_message"
        )
    return found


def _text(found: Mapping[str, Any], key: str) -> str:
    text = found.get(key)
    if not isinstance(text, str) or not 1 <= len(text) <= LONGEST_TEXT:
        raise _wrong(
            f"{key} is a text of 1 to {LONGEST_TEXT} letters, not {text!r:.60}"
        )
    return text


def _values(found: Mapping[str, Any], key: str) -> dict[str, Value]:
    values = found.get(key)
    if not isinstance(values, dict) or len(values) > MOST_VALUES:
        raise _wrong(
            f"{key} is a map of at most {MOST_VALUES} values, not {values!r:.60}"
        )
    return {_name(key, name): _value(key, name, values[name]) for name in values}


def _name(key: str, name: Any) -> str:
    if not isinstance(name, str):
        raise _wrong(f"{key} has a name that is no text: {name!r:.60}")
    return name


def _value(key: str, name: Any, value: Any) -> Value:
    if isinstance(value, str) and len(value) <= LONGEST_TEXT:
        return value
    if isinstance(value, bool):
        return value
    if type(value) in (int, float) and math.isfinite(value):
        return float(value)
    raise _wrong(
        f"{key}.{name!s:.60} is a finite number, true, false or a short text, not "
        f"{value!r:.60}"
    )


def _wrong(message: str) -> ProtocolError:
    return ProtocolError(message, cause="wrong_value")

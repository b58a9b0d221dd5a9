"""What the guard's adapter and the process of the RunEngine say to each other.

One msgpack map a message, DEALER to ROUTER, on this machine only::

    → {v: 1, id, op: "hello", owner, devices: [name], blanker: name | ""}
    → {v: 1, id, op: "read",  owner, devices: [name]}
    → {v: 1, id, op: "set",   owner, action, values: {name: value}, within_s}
    → {v: 1, id, op: "blank", owner, on, within_s}
    → {v: 1, id, op: "cancel", owner, of: id}                        (no answer)
    ← {id, ok, reason, values: {name: value}}

Values are in the device's own units: a finite number, or true or false.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgpack

from scopeside.errors import ProtocolError
from scopeside.strangers import from_msgpack

VERSION = 1
MAX_BYTES = 1 << 16
MAX_DEVICES = 256
_MAX_TEXT = 500
_TCP = re.compile(r"tcp://(\[[0-9a-fA-F:]+\]|[0-9.]+):(\d{1,5})")

DeviceValue = float | int | bool
Devices = tuple[str, ...]


class Request(NamedTuple):
    """What the adapter wants."""

    id: str
    op: str
    owner: str
    devices: Devices = ()
    blanker: str = ""
    action: str = ""
    values: Mapping[str, DeviceValue] = {}
    on: bool = True
    within_s: float = 0.0
    of: str = ""

    def pack(self) -> bytes:
        """Return the bytes of the message."""
        used = {key: getattr(self, key) for key in ("id", "owner", *_FIELDS[self.op])}
        packed: bytes = msgpack.packb({"v": VERSION, "op": self.op, **used})
        return packed


class Reply(NamedTuple):
    """What it is answered with."""

    id: str
    ok: bool
    reason: str = ""
    values: Mapping[str, DeviceValue] = {}

    def pack(self) -> bytes:
        """Return the bytes of the message."""
        packed: bytes = msgpack.packb(self._asdict())
        return packed


_FIELDS: Mapping[str, tuple[str, ...]] = {
    "hello": ("devices", "blanker"),
    "read": ("devices",),
    "set": ("action", "values", "within_s"),
    "blank": ("on", "within_s"),
    "cancel": ("of",),
}


def request(data: bytes) -> Request:
    """Read a request.

    Raises
    ------
    ProtocolError
        With the cause ``oversized``, ``wrong_header``, ``wrong_version`` or
        ``wrong_kind``.
    """
    found = _map(data)
    if found.pop("v", None) != VERSION:
        raise ProtocolError(f"this is version {VERSION}", cause="wrong_version")
    op = found.get("op")
    if not isinstance(op, str) or op not in _FIELDS:
        raise ProtocolError(f"there is no op {op!r:.60}", cause="wrong_kind")
    if set(found) != {"id", "op", "owner", *_FIELDS[op]}:
        raise ProtocolError(
            f"{op} has the fields {', '.join(_FIELDS[op])}, not "
            f"{', '.join(map(str, found))!s:.200}",
            cause="wrong_header",
        )
    return Request(**{key: _CHECKS[key](key, value) for key, value in found.items()})


def reply(data: bytes) -> Reply:
    """Read an answer.

    Raises
    ------
    ProtocolError
        As `request` does.
    """
    found = _map(data)
    if set(found) != set(Reply._fields):
        raise ProtocolError(
            "an answer has id, ok, reason, values", cause="wrong_header"
        )
    return Reply(**{key: _CHECKS[key](key, value) for key, value in found.items()})


def checked_endpoint(endpoint: str) -> str:
    """Return an endpoint that only this machine reaches.

    Raises
    ------
    ValueError
        If it is neither ``ipc://PATH`` nor ``tcp://`` with a loopback address.
    """
    if re.fullmatch(r"ipc:///.{1,100}", endpoint):
        return endpoint
    found = _TCP.fullmatch(endpoint)
    if found and int(found[2]) <= 65535:
        try:
            if ipaddress.ip_address(found[1].strip("[]")).is_loopback:
                return endpoint
        except ValueError:
            pass  # no address at all: as wrong as one of another machine
    raise ValueError(
        "it is 'ipc:///ABSOLUTE/PATH' or 'tcp://127.0.0.1:PORT': there are no keys on "
        "this link, so both ends are on one machine (elsewhere: ssh -L)"
    )


# -- checks ---------------------------------------------------------------------------


def _map(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_BYTES:
        raise ProtocolError(f"more than {MAX_BYTES} bytes", cause="oversized")
    try:
        found = from_msgpack(data)
    except ValueError as error:
        raise ProtocolError(f"no msgpack: {error}", cause="wrong_header") from error
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise ProtocolError("no map with string keys", cause="wrong_header")
    return found


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise ProtocolError(f"{key} cannot be {value!r:.60}", cause="wrong_header")
    return value


def _switch(key: str, value: Any) -> bool:
    if type(value) is not bool:
        raise ProtocolError(f"{key} is true or false", cause="wrong_header")
    return value


def _duration(key: str, value: Any) -> float:
    if type(value) not in (int, float) or not 0 < value <= 3600:
        raise ProtocolError(
            f"{key} is 0 … 3600 s, not {value!r:.60}", cause="wrong_header"
        )
    return float(value)


def _names(key: str, value: Any) -> Devices:
    if not isinstance(value, list) or len(value) > MAX_DEVICES:
        raise ProtocolError(f"{key} is a list of names", cause="wrong_header")
    return tuple(_text(key, one) for one in value)


def _values(key: str, value: Any) -> dict[str, DeviceValue]:
    if not isinstance(value, dict) or len(value) > MAX_DEVICES:
        raise ProtocolError(f"{key} is a table", cause="wrong_header")
    for name, one in value.items():
        _text(key, name)
        if type(one) not in (int, float, bool) or not math.isfinite(one):
            raise ProtocolError(
                f"{key}.{name:.60} is a finite number or true or false, not "
                f"{one!r:.60}",
                cause="wrong_header",
            )
    return value


_CHECKS: Mapping[str, Any] = {
    "id": _text,
    "op": _text,
    "owner": _text,
    "devices": _names,
    "blanker": _text,
    "action": _text,
    "values": _values,
    "on": _switch,
    "within_s": _duration,
    "of": _text,
    "ok": _switch,
    "reason": _text,
}

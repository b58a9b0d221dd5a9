"""What a line of the audit log looks like: canonical JSON, numbered and chained.

A line is one record: ``n`` (1, 2, 3 …), ``t_ns``, ``kind``, the record's own fields,
``prev`` (hash of the record before; 64 zeros before the first) and ``hash``: SHA-256
of the record without ``hash``, as JSON with sorted keys, no spaces, in UTF-8. The line
itself is written in that same form, so that it can be checked byte by byte.

What JSON cannot say is written as text that begins with ``!``: ``!nan``, ``!inf``,
``!-inf``, ``!bytes:6869``; text that itself begins with ``!`` gets a second one, so
that two different values stay different.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from hashlib import sha256
from numbers import Integral, Real
from typing import Any, NamedTuple

from scopeside.errors import AuditError

OWN = ("n", "t_ns", "kind", "prev", "hash")
START = "0" * 64
"""What stands as `prev` in the first record."""
MAX_LINE = 1 << 26
"""Longer lines are not read, bytes."""
_MAX_DEPTH = 40
_UNREADABLE = "it cannot be read: changed, or no record"
_OTHERWISE = "it is not written as the log writes: changed"
_OTHER_HASH = "its contents do not fit its hash: changed"
EXACT_FAULTS = (_OTHERWISE, _OTHER_HASH)
"""What may be wrong with a line that can be read."""
_HEXADECIMAL = frozenset("0123456789abcdef")


class Head(NamedTuple):
    """Number and hash of a record; of the last one where nothing else is said."""

    n: int = 0
    hash: str = START

    def __str__(self) -> str:
        return f"{self.n}:{self.hash}"


def written(
    kind: str, body: Mapping[str, Any], t_ns: int, after: Head
) -> tuple[bytes, Head]:
    """Return the line of a new record, and the head that it makes.

    Raises
    ------
    AuditError
        If `body` has a field that is the log's own.
    """
    if taken := [name for name in OWN if name in body]:
        raise AuditError(f"a record's fields cannot be called {', '.join(taken)}")
    n = after.n + 1
    record = {**plain(body), "n": n, "t_ns": t_ns, "kind": kind, "prev": after.hash}
    parts = _parts(record)
    digest = sha256(_joined(parts)).hexdigest()
    parts["hash"] = f'"hash":"{digest}"'
    return _joined(parts) + b"\n", Head(n, digest)


def _parts(record: Mapping[str, Any]) -> dict[str, str]:
    """Return a record's fields as they are written.

    Encoded once, joined twice: a scan's positions may be 100 000 numbers.
    """
    return {name: f"{_json(name)}:{_json(record[name])}" for name in record}


def _joined(parts: Mapping[str, str]) -> bytes:
    return f"{{{','.join(parts[name] for name in sorted(parts))}}}".encode()


def canonical(record: Mapping[str, Any]) -> bytes:
    """Return a record as it is hashed and written, without the end of the line.

    Raises
    ------
    ValueError
        If it holds what JSON or UTF-8 cannot say.
    """
    return _json(record).encode()


def _json(value: Any) -> str:
    return json.dumps(
        value,
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
    )


class Parsed(NamedTuple):
    """A line as it was read.

    Attributes
    ----------
    record
        None where the line is no record at all.
    fault
        What is wrong with the line in itself; empty: it is as it was written.
    """

    record: dict[str, Any] | None
    fault: str = ""


def parsed(line: bytes) -> Parsed:
    """Return the record of a whole line, and whether its bytes fit its hash."""
    found = read(line)
    return found if found.record is None else checked(found.record, line)


def read(line: bytes) -> Parsed:
    """Return the record of a whole line, whether or not it is as it was written."""
    if not line.endswith(b"\n"):
        return Parsed(None, "it has no end: cut off in mid-line")
    try:
        record = json.loads(line.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return Parsed(None, _UNREADABLE)
    if not isinstance(record, dict) or not _is_whole(record):
        return Parsed(None, f"it is no record: {', '.join(OWN)} are not all there")
    return Parsed(record)


def checked(record: dict[str, Any], line: bytes) -> Parsed:
    """Return the record that `read` found in a line, and whether its bytes fit."""
    try:
        parts = _parts(record)
        exact = _joined(parts) + b"\n" == line
    except (ValueError, RecursionError):
        return Parsed(None, _UNREADABLE)
    if not exact:
        return Parsed(record, _OTHERWISE)
    del parts["hash"]
    if sha256(_joined(parts)).hexdigest() != record["hash"]:
        return Parsed(record, _OTHER_HASH)
    return Parsed(record)


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _is_whole(record: Mapping[str, Any]) -> bool:
    return (
        type(record.get("n")) is int
        and type(record.get("t_ns")) is int
        and isinstance(record.get("kind"), str)
        and all(is_hash(record.get(name)) for name in ("prev", "hash"))
    )


def is_hash(value: Any) -> bool:
    """Whether a value is 64 hexadecimal digits, in small letters."""
    return (
        isinstance(value, str) and len(value) == 64 and _HEXADECIMAL.issuperset(value)
    )


def plain(value: Any, depth: int = 0) -> Any:
    """Return a value as the log can write it; two different ones stay different.

    It never fails, whatever a stranger has proposed.
    """
    kind = type(value)
    # By exact type first: a scan's positions may be 100 000 pairs of numbers.
    if value is None or kind is bool or kind is int:
        return value
    if kind is float:
        return value if math.isfinite(value) else f"!{value}"
    if kind is str:
        return _text(value)
    if kind is dict or kind is list or kind is tuple:
        if depth >= _MAX_DEPTH:
            return f"!deep:{len(value)}"
        if kind is dict:
            return {_key(key): plain(one, depth + 1) for key, one in value.items()}
        return [plain(one, depth + 1) for one in value]
    return _of_another_type(value, depth)


def _of_another_type(value: Any, depth: int) -> Any:
    match value:
        case str():
            return _text(str(value))
        case Integral():
            return int(value)
        case Real():
            return plain(float(value))
        case bytes() | bytearray() | memoryview():
            return f"!bytes:{bytes(value).hex()}"
        case Mapping():
            return plain(dict(value), depth)
        case list() | tuple():
            return plain(list(value), depth)
        case _:
            return _text(f"{type(value).__name__}:{value!r:.200}", "!")


def _key(key: Any) -> str:
    return str(plain(key)) if isinstance(key, str | bytes) else f"!key:{key!r:.200}"


def _text(text: str, before: str = "") -> str:
    if not text.isascii() and not _is_unicode(text):
        return f"!text:{text!a}"
    return f"!{text}" if text.startswith("!") else before + text


def _is_unicode(text: str) -> bool:
    """Whether a text can be written: half of a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

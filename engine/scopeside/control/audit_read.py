"""Reads an audit log from its end: the last records, and all that belongs to an id."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from scopeside.control.audit_form import parsed, plain
from scopeside.errors import AuditError

Record = dict[str, Any]
_BLOCK = 1 << 18


@dataclass(frozen=True, slots=True)
class Entry:
    """A record, and those written later on the same matter.

    Attributes
    ----------
    fault
        Why the line is not as it was written; empty: it is.
    later
        For a proposal: what a person said to it and the instrument answered, in order.
    """

    record: Record
    fault: str = ""
    later: tuple[Record, ...] = ()


def last(
    path: Path, count: int, wanted: Callable[[Entry], bool] = lambda _: True
) -> list[Entry]:
    """Return the last `count` entries that are `wanted`, oldest first.

    The instrument's answers are part of the entries that they belong to.

    Raises
    ------
    AuditError
        If the file cannot be read.
    """
    found = list(islice(filter(wanted, entries(path)), count))
    return found[::-1]


def about(path: Path, name: str) -> list[Entry]:
    """Return the entries on a proposal or a person's request, oldest first.

    What is part of another one's story comes only there.

    Parameters
    ----------
    name
        Its id, or the number of a record.

    Raises
    ------
    AuditError
        If the file cannot be read, or nothing in it bears that id.
    """
    if name.isascii() and name.isdecimal():
        name = _id_at(path, int(name)) or name
    needle = _json(name)
    found = [entry for entry in entries(path, needle) if id_of(entry.record) == name]
    if not found and name.isascii() and name.isdecimal():
        needle = f'"n":{int(name)},'.encode()
        found = [e for e in entries(path, needle) if e.record["n"] == int(name)]
    if not found or not name:
        raise AuditError(
            f"nothing in {path} has the id or number {name[:80]!r}; "
            "'scopeside audit show' lists the last ones"
        )
    told = {record["n"] for entry in found for record in entry.later}
    return [entry for entry in found[::-1] if entry.record["n"] not in told]


def _id_at(path: Path, n: int) -> str:
    """Return the id of what record `n` is about, empty if there is none."""
    needle = f'"n":{n},'.encode()
    for line in backwards(path):
        record = parsed(line).record if needle in line else None
        if record is not None and record["n"] == n:
            return id_of(record)
    return ""


def _json(text: str) -> bytes:
    """Return a text as it stands in a line."""
    return json.dumps(plain(text), ensure_ascii=False).encode()


def id_of(record: Mapping[str, Any]) -> str:
    """Return the id of what a record is about, empty if it has none."""
    found = proposal_of(record).get("id", "")
    if record.get("kind") != "proposal":
        found = record.get("id", "")
    return found if isinstance(found, str) else ""


def decision_of(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the decision in a record, empty if there is none."""
    return table(record.get("decision"))


def proposal_of(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the proposal in a record, empty if there is none."""
    return table(decision_of(record).get("proposal"))


def state_of(record: Mapping[str, Any]) -> str:
    """Return what was decided or has become of it, empty if the record does not say."""
    verdict = table(decision_of(record).get("verdict"))
    state = (verdict if record.get("kind") == "proposal" else record).get("state", "")
    return state if isinstance(state, str) else ""


def values_of(readback: Any) -> Any:
    """Return the values of a read-back, whether or not its time stands beside them."""
    values = table(readback).get("values")
    return values if isinstance(values, Mapping) else readback


def table(value: Any) -> Mapping[str, Any]:
    """Return `value` if it is a table, else an empty one: strangers propose as well."""
    return value if isinstance(value, Mapping) else {}


def entries(path: Path, needle: bytes = b"") -> Iterator[Entry]:
    """Yield all entries whose lines hold `needle`, the newest first."""
    waiting: dict[str, list[Record]] = {}
    for line in backwards(path):
        record, fault = parsed(line) if needle in line else (None, "")
        if record is None:
            continue  # a line that cannot be read is named by `audit verify`
        name = id_of(record)
        later: tuple[Record, ...] = ()
        if name and could_be_sent(record):
            later = tuple(reversed(waiting.pop(name, [])))
        elif name and record["kind"] in ("answer", "request", "event"):
            waiting.setdefault(name, []).append(record)
        if record["kind"] != "answer":
            yield Entry(record, fault, later)


def could_be_sent(record: Record) -> bool:
    """Whether what comes later under its id may be about this very record.

    A proposal that was refused, or only observed, has no sequel: if its id comes again,
    that is about another one.
    """
    if record["kind"] == "proposal":
        return state_of(record) not in ("refused", "observed")
    own = record["kind"] == "request" and record.get("ask") not in ("accept", "decline")
    return own and state_of(record) == "sent"


def backwards(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file with their ends, the last one first.

    Raises
    ------
    AuditError
        If the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            at = file.seek(0, os.SEEK_END)
            pieces: list[bytes] = []
            while at:
                size = min(_BLOCK, at)
                at = file.seek(at - size)
                first, *lines = file.read(size).split(b"\n")
                if lines:
                    *whole, rest = lines
                    if after := b"".join([rest, *reversed(pieces)]):
                        yield after
                    yield from (line + b"\n" for line in reversed(whole))
                    pieces = [b"\n"]
                pieces.append(first)
            if after := b"".join(reversed(pieces)):
                yield after
    except OSError as error:
        raise AuditError(f"{path} cannot be read: {error.strerror}") from error

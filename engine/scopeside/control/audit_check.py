"""Follows the chain of an audit log and names every line that is not as written."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from scopeside.control.audit_form import MAX_LINE, START, Head, parsed
from scopeside.errors import AuditError

MAX_FAULTS = 1000
_BEGINNING = Head()
_WRITTEN_S = 0.05
"""A record that is just being written is whole after so long."""


class Fault(NamedTuple):
    """A line that is not as it was written.

    Attributes
    ----------
    line
        From 1; 0: the file as a whole.
    n
        The number that the line bears; None where it cannot be read.
    """

    line: int
    n: int | None
    reason: str

    def __str__(self) -> str:
        if not self.line:
            return self.reason
        number = "" if self.n is None else f" (n = {self.n})"
        return f"line {self.line}{number}: {self.reason}"


class Checker:
    """Takes the lines of a log in turn.

    Parameters
    ----------
    after
        The head before the first line; None: lines before it are not looked at.
    offset, line
        Where the first line begins, bytes, and the number of the line before it.
    """

    def __init__(
        self, after: Head | None = _BEGINNING, *, offset: int = 0, line: int = 0
    ) -> None:
        self.head = after or Head()
        self.line = line
        self.offset = offset
        self.records = 0
        self.recovered: list[int] = []
        """Lines that were torn by a crash, and closed by a record that names them."""
        self._n: int | None = None if after is None else after.n
        self._hash: str | None = None if after is None else after.hash
        self._torn: tuple[int, bytes, Fault] | None = None

    def take(self, line: bytes) -> list[Fault]:
        """Return what is wrong with the next line."""
        start, self.line = self.offset, self.line + 1
        self.offset += len(line)
        record, fault = parsed(line)
        if record is None:
            found = self.end()
            # Not said yet: the next record may explain that a crash has torn it.
            self._torn = (start, line, Fault(self.line, None, fault))
            return found
        found = self._closed(record)
        self.records += 1
        if fault:
            self._pass()
            return [*found, Fault(self.line, record["n"], fault)]
        if wrong := self._misplaced(record):
            found.append(Fault(self.line, record["n"], wrong))
        self.head = Head(record["n"], record["hash"])
        self._n, self._hash = self.head
        return found

    def end(self) -> list[Fault]:
        """Return what is wrong with the end of the log."""
        if self._torn is None:
            return []
        found, self._torn = [self._torn[2]], None
        self._pass()
        return found

    def _pass(self) -> None:
        """Go on behind a line that is not as written: it was the next, most likely."""
        self._n = None if self._n is None else self._n + 1
        self._hash = None

    def _closed(self, record: dict[str, Any]) -> list[Fault]:
        """Return the fault of the line before, unless `record` explains it."""
        if self._torn is None or record["kind"] != "recovered":
            return self.end()
        start, line, _ = self._torn
        if not torn(start, line[:-1]).items() <= record.items():
            n, found = self._n, self.end()
            self._n = n  # a torn line had no number
            return found
        self.recovered.append(self.line - 1)
        self._torn = None
        return []

    def _misplaced(self, record: dict[str, Any]) -> str:
        """Return why a record, sound in itself, does not stand where it should."""
        n = record["n"]
        if self._n is not None and n != self._n + 1:
            if n <= self._n:
                return f"it comes after n = {self._n}: doubled, moved or put in"
            first, last = self._n + 1, n - 1
            gone = f"n = {first}" if first == last else f"n = {first} … {last}"
            return f"missing before it: {gone}"
        if self._hash is not None and record["prev"] != self._hash:
            return (
                "its prev is not the hash of the line before: "
                f"that line (n = {n - 1}) was changed and hashed anew, or this one"
            )
        return ""


def torn(offset: int, rest: bytes) -> dict[str, Any]:
    """Return how a ``recovered`` record names the rest of a line."""
    return {
        "torn_offset": offset,
        "torn_bytes": len(rest),
        "torn_sha256": sha256(rest).hexdigest(),
    }


@dataclass(frozen=True, slots=True)
class Checked:
    """What has come of checking a whole log.

    Attributes
    ----------
    faults
        Empty: every line is as it was written. The first `MAX_FAULTS` of them.
    n_faults
        How many there are in all.
    head
        Of the last record: to be noted down somewhere else.
    recovered
        Lines that a crash has torn; the record after each names it.
    """

    records: int
    head: Head
    faults: tuple[Fault, ...] = ()
    n_faults: int = 0
    recovered: tuple[int, ...] = ()


@dataclass
class _Tally:
    faults: list[Fault] = field(default_factory=list)
    n: int = 0

    def add(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            self.n += 1
            if len(self.faults) < MAX_FAULTS:
                self.faults.append(fault)


def check(path: Path, head: str = "") -> Checked:
    """Check every line of a log.

    Parameters
    ----------
    head
        A hash that was noted down earlier, alone or as ``n:hash``: that record has to
        be there, so that lines cut off at the end are found too.

    Raises
    ------
    AuditError
        If the file cannot be read, or `head` is no such thing.
    """
    wanted_n, wanted = noted(head)
    checker, tally = Checker(), _Tally()
    there = not head or (wanted_n in (None, 0) and wanted == START)
    for line in lines_of(path):
        tally.add(checker.take(line))
        if not there and checker.head.hash == wanted:
            there = wanted_n in (None, checker.head.n)
    tally.add(checker.end())
    if not there:
        which = "" if wanted_n is None else f" n = {wanted_n},"
        last = checker.head.n
        tally.add(
            [
                Fault(
                    0,
                    wanted_n,
                    f"the record noted down,{which} hash {wanted[:16]}…, is not there: "
                    f"the log ends with n = {last}; lines were cut off or exchanged, "
                    "or it is another log",
                )
            ]
        )
    return Checked(
        checker.records,
        checker.head,
        tuple(tally.faults),
        tally.n,
        tuple(checker.recovered),
    )


def noted(head: str) -> tuple[int | None, str]:
    """Return number and hash of a head that a person has noted down.

    Raises
    ------
    AuditError
        If it is neither a hash nor ``n:hash``.
    """
    number, colon, digest = head.strip().lower().rpartition(":")
    wrong = set(digest) - set("0123456789abcdef") or len(digest) != 64
    if head and (wrong or (colon and not number.isdecimal())):
        raise AuditError(
            f"a head is 64 hexadecimal digits, or its number, ':' and these: "
            f"not {head!r:.80}"
        )
    return (int(number) if number else None), digest


def lines_of(path: Path) -> Iterator[bytes]:
    """Yield the lines of a log with their ends.

    Raises
    ------
    AuditError
        If the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            yield from _lines(file)
    except OSError as error:
        raise AuditError(f"{path} cannot be read: {error.strerror}") from error


def _lines(file: BinaryIO) -> Iterator[bytes]:
    # A line beyond all measure comes in pieces, none of which is a record.
    while line := file.readline(MAX_LINE):
        if not line.endswith(b"\n") and _is_being_written(file):
            time.sleep(_WRITTEN_S)
            line += file.readline(MAX_LINE)
        yield line


def _is_being_written(file: BinaryIO) -> bool:
    """Whether a process has the log open to write: it may be in mid-line."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(file, fcntl.LOCK_UN)
    return False

"""The audit log: what was asked, what was decided and why, what the instrument did.

Append-only JSON lines, each with the hash of the one before (`audit_form`). One process
writes it. What was appended survives the death of the process, and after `sync` also
that of the machine. Nothing in it is ever mended: a last line that a crash has torn is
kept, and the record that follows it says so.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from scopeside.control.audit_check import Checker, torn
from scopeside.control.audit_form import Head, written
from scopeside.errors import AuditError

_TAIL = 1 << 20
"""So much of the end is checked before a log is continued, bytes or one line."""


class AuditLog:
    """An audit log that is being written; made by `open`.

    Attributes
    ----------
    path
        Where it lies.
    head
        Number and hash of the last record.
    """

    def __init__(self, path: Path, file: int) -> None:
        self.path = path
        self.head = Head()
        self._file = file
        self._size = 0
        self._broken = ""

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Begin a log, or continue the one that is there.

        Raises
        ------
        AuditError
            If another process writes it, its end is not as it was written, or the
            file cannot be opened.
        """
        path = Path(path)
        file = -1
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
            log = cls(path, file)
            log._lock()
            log._continue()
            _sync_folder(path.parent)
        except OSError as error:
            _close(file)
            raise AuditError(
                f"the audit log {path} cannot be opened: {error.strerror}"
            ) from error
        except AuditError:
            _close(file)
            raise
        return log

    def append(self, kind: str, body: Mapping[str, Any], t_ns: int) -> int:
        """Write a record and return its number.

        It is with the operating system when this returns, on disk after `sync`.

        Parameters
        ----------
        body
            The record's own fields, whatever a stranger has sent: what JSON cannot say
            is written as text (`audit_form.plain`).
        t_ns
            When, ns since 1970 UTC.

        Raises
        ------
        AuditError
            If it could not be written. The log is then as it was, or refuses to go on
            if that cannot be had.
        """
        line, head = written(kind, body, t_ns, self.head)
        self._write(line)
        self.head = head
        return head.n

    def sync(self) -> None:
        """Return when everything appended is on disk.

        Raises
        ------
        AuditError
            If it is not, or the file was removed or replaced meanwhile.
        """
        self._check_usable()
        try:
            os.fsync(self._file)
            there = os.path.samestat(os.fstat(self._file), self.path.stat())
        except OSError as error:
            self._broken = f"it could not be written to disk: {error.strerror}"
        else:
            self._broken = "" if there else "its file was replaced by another"
        self._check_usable()

    def close(self) -> None:
        """Write everything to disk and let go of the file; may be called twice.

        Raises
        ------
        AuditError
            As `sync` does; the file is let go of also then.
        """
        if self._file < 0:
            return
        try:
            if not self._broken:
                self.sync()
        finally:
            _close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_usable(self) -> None:
        if self._file < 0:
            self._broken = self._broken or "it is closed"
        if self._broken:
            raise AuditError(
                f"the audit log {self.path} cannot be continued: {self._broken}"
            )

    def _write(self, data: bytes) -> None:
        """Append `data`, all of it or nothing."""
        self._check_usable()
        try:
            if os.fstat(self._file).st_size != self._size:
                self._broken = "something else has written to its file or cut it"
                self._check_usable()
            if os.write(self._file, data) != len(data):
                raise OSError(0, "no space for the whole record")
        except OSError as error:
            self._take_back()
            raise AuditError(
                f"the audit log {self.path} cannot be written: {error.strerror}"
            ) from error
        self._size += len(data)

    def _take_back(self) -> None:
        """Remove what there is of a record that could not be written whole."""
        try:
            os.ftruncate(self._file, self._size)
        except OSError as error:
            self._broken = f"its last record is not whole: {error.strerror}"

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AuditError(
                f"the audit log {self.path} is being written by another process"
            ) from None

    def _continue(self) -> None:
        """Check the end of what is there, and say so if a crash has torn it.

        Raises
        ------
        AuditError
            If it is not as it was written.
        """
        self._size = os.fstat(self._file).st_size
        start, lines = self._tail()
        checker = Checker(Head() if start == 0 else None, offset=start)
        *lines, rest = lines
        faults = [fault for line in lines for fault in checker.take(line + b"\n")]
        faults += checker.end()
        offset = checker.offset
        if rest and not faults:
            # A record that lacks nothing but its end was written, and counts.
            faults = checker.take(rest + b"\n")
        if faults:
            n = "" if faults[0].n is None else f" (n = {faults[0].n})"
            raise AuditError(
                f"the audit log {self.path} cannot be continued, its end is not as it "
                f"was written{n}: {faults[0].reason}; 'scopeside audit verify' names "
                "every such line; keep the file and begin another one"
            )
        self.head = checker.head
        if rest:
            self._close_torn(torn(offset, rest))

    def _close_torn(self, names: Mapping[str, Any]) -> None:
        """End a line that a crash has torn, and write the record that names it."""
        body = {
            **names,
            "reason": "the last line was not whole when the log was opened",
        }
        line, head = written("recovered", body, time.time_ns(), self.head)
        self._write(b"\n" + line)
        self.head = head

    def _tail(self) -> tuple[int, list[bytes]]:
        """Return where the checked end begins, its lines, and what has no end."""
        size = min(_TAIL, self._size)
        while True:
            start = self._size - size
            data = os.pread(self._file, size, start)
            if len(data) != size:
                raise AuditError(f"the audit log {self.path} changes while it is read")
            if start == 0:
                return 0, data.split(b"\n")
            cut = data.find(b"\n") + 1
            if cut and data.find(b"\n", cut) >= 0:
                return start + cut, data[cut:].split(b"\n")
            size = min(4 * size, self._size)


def _sync_folder(folder: Path) -> None:
    """Have the name of a new file on disk, too."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _close(file: int) -> None:
    if file >= 0:
        os.close(file)  # lets go of the lock, too

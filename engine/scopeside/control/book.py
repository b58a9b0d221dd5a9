"""What the guard keeps on disk: the audit log, and beside it the dose account.

A log that could not be opened or written is tried again with every record, at most once
a second; until one is written, nothing may be sent.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scopeside.control.audit import AuditLog
from scopeside.errors import AuditError
from scopeside.strangers import from_json

REOPEN_S = 1.0


class Book:
    """Writes records and the dose account; all that fails is an `AuditError`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kept_path = path.with_name(f"{path.name}.dose.json")
        self._log: AuditLog | None = None
        self._unsynced = False
        self._why = ""
        self._tried = 0.0

    def write(self, kind: str, body: Mapping[str, Any], t_ns: int) -> None:
        """Append a record; `settle` sees to it that it is on disk."""
        log = self._opened()
        try:
            log.append(kind, body, t_ns)
        except AuditError as error:
            self._give_up(error)
            raise
        self._unsynced = True

    def settle(self) -> None:
        """Return when all records are on disk."""
        if not self._unsynced:
            return
        log = self._opened()
        try:
            log.sync()
        except AuditError as error:
            self._give_up(error)
            raise
        self._unsynced = False

    def keep(self, account: Mapping[str, Any], *, durably: bool) -> None:
        """Write the dose account, whole or not at all.

        Parameters
        ----------
        durably
            It survives the machine's death as well, which takes longer.
        """
        beside = self.kept_path.with_suffix(".new")
        try:
            with beside.open("w", encoding="utf-8") as file:
                json.dump(account, file)
                if durably:
                    file.flush()
                    os.fsync(file.fileno())
            beside.replace(self.kept_path)
        except OSError as error:
            raise AuditError(
                f"the dose account {self.kept_path} cannot be written: {error.strerror}"
            ) from error

    def kept(self) -> Mapping[str, Any] | None:
        """Return the dose account that was kept, None if there is none.

        Raises
        ------
        AuditError
            If it is not what was written; it is then put aside, so as not to be lost.
        """
        try:
            found = from_json(self.kept_path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            found = str(error)
        if isinstance(found, dict):
            return found
        raise self.put_aside(f"{found!s:.100}")

    def put_aside(self, reason: str) -> AuditError:
        """Move a kept account out of the way, so as not to be lost; returns the error.

        Parameters
        ----------
        reason
            Why it cannot be gone on with.
        """
        aside = self.kept_path.with_suffix(".damaged")
        where = f"now lies at {aside.name}"
        try:
            self.kept_path.replace(aside)
        except OSError as error:
            where = f"cannot be moved away: {error.strerror}"
        return AuditError(
            f"the dose account {self.kept_path.name} cannot be read and {where}; what "
            f"was counted before is not known ({reason})"
        )

    def close(self) -> None:
        """Have everything on disk, and close the log."""
        if self._log is not None:
            log, self._log = self._log, None
            log.close()

    def _opened(self) -> AuditLog:
        if self._log is None:
            if time.monotonic() - self._tried < REOPEN_S:
                raise AuditError(self._why)
            self._tried = time.monotonic()
            try:
                self._log = AuditLog.open(self.path)
            except AuditError as error:
                self._why = str(error)
                raise
        return self._log

    def _give_up(self, error: AuditError) -> None:
        """Close a log that cannot be written; the next record opens it again."""
        self._why, self._tried = str(error), time.monotonic()
        self._unsynced = False
        log, self._log = self._log, None
        if log is not None:
            try:
                log.close()
            except AuditError as again:
                self._why = str(again)

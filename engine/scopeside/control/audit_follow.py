"""Checks an audit log while it grows: a piece at a time, each line once."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from scopeside.control.audit_check import Checker, Fault
from scopeside.control.audit_form import MAX_LINE
from scopeside.errors import AuditError

MOST_FAULTS = 20
_TURN = 50
"""Lines between two looks at the clock."""


@dataclass(frozen=True, slots=True)
class Followed:
    """How far a log has been checked.

    Attributes
    ----------
    records
        That were checked.
    faults, n_faults
        The first faults, and how many there are.
    left_bytes
        What is still to be checked.
    """

    records: int
    n: int
    hash: str
    faults: tuple[Fault, ...]
    n_faults: int
    left_bytes: int


class Follower:
    """Follows the chain of one log from its beginning."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._checker = Checker()
        self._faults: list[Fault] = []
        self._n_faults = 0
        self._inode = 0

    def more(self, seconds: float) -> Followed:
        """Check what there is, for so long at most.

        Raises
        ------
        AuditError
            If the file cannot be read.
        """
        until = time.monotonic() + seconds
        try:
            with self.path.open("rb") as file:
                there = os.fstat(file.fileno())
                self._same(there)
                file.seek(self._checker.offset)
                while time.monotonic() < until and self._turn(file):
                    pass
        except OSError as error:
            raise AuditError(f"{self.path} cannot be read: {error.strerror}") from error
        head = self._checker.head
        return Followed(
            self._checker.records,
            head.n,
            head.hash,
            tuple(self._faults),
            self._n_faults,
            max(0, there.st_size - self._checker.offset),
        )

    def _same(self, there: os.stat_result) -> None:
        """Begin anew where another file lies in the place of the one that was read."""
        replaced = self._inode not in (0, there.st_ino)
        if replaced or there.st_size < self._checker.offset:
            what = "replaced by another file" if replaced else "cut"
            n = self._checker.head.n
            self._checker = Checker()
            self._faults, self._n_faults = [], 0
            self._note(Fault(0, n, f"the log was {what} while it was followed"))
        self._inode = there.st_ino

    def _turn(self, file: BinaryIO) -> bool:
        """Check some lines; return whether there may be more."""
        for _ in range(_TURN):
            line = file.readline(MAX_LINE)
            if not line.endswith(b"\n"):
                return False  # it is being written, or torn: the next record tells
            for fault in self._checker.take(line):
                self._note(fault)
        return True

    def _note(self, fault: Fault) -> None:
        self._n_faults += 1
        if len(self._faults) < MOST_FAULTS:
            self._faults.append(fault)

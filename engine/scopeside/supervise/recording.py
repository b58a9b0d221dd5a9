"""What the supervisor has to do with the recorder: its books, its death, its pace."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from scopeside.ledger import Account
from scopeside.record.settings import EDGE
from scopeside.supervise.books import Book, Books
from scopeside.supervise.member import Member, State
from scopeside.supervise.recovery import Say
from scopeside.wire import Kind

MAX_RUNS = 1000
"""Recorded runs that are listed; of older ones only the totals."""


class Recording:
    """The acquisitions that are over and whose recording is not finished yet.

    Attributes
    ----------
    runs
        What the recorder said of each run when it was closed, by acquisition.
    """

    def __init__(
        self,
        member: Member | None,
        books: Books,
        say: Say,
        note: Callable[[str, str], None],
        patience_s: float,
    ) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self._member = member
        self._books = books
        self._say = say
        self._note = note
        self._patience_s = patience_s
        self._pending: dict[str, dict[str, Any]] = {}
        self._moved: tuple[Any, float] = (None, time.monotonic())

    @property
    def pending(self) -> bool:
        """Whether the recorder has still to finish a run, and may do so."""
        return bool(self._pending)

    # -- books ------------------------------------------------------------------

    def add(self, book: Book, closed: Mapping[str, Any], orphaned: str) -> None:
        """Have the run of a closed acquisition finished.

        Parameters
        ----------
        closed
            The collector's last word on it.
        orphaned
            Cause of what failed because the adapter is gone; empty if it is not.
        """
        if self._member is None:
            return
        account = closed["account"]
        self._pending[book.id] = {
            "acq": book.id,
            "book": book.to_dict(),
            "processed": {name: said["merged"] for name, said in account.items()},
            "failed": {name: said["failed"] for name, said in account.items()},
            "orphaned": orphaned,
        }
        self._moved = (None, time.monotonic())
        if self._member.state is State.DEGRADED:
            self.lost()
        elif self._member.state is State.RUNNING:
            self._say(self._member.name, Kind.BOOK, **self._pending[book.id])

    def repeat(self) -> None:
        """Tell a recorder that was restarted."""
        assert self._member is not None
        for said in self._pending.values():
            self._say(self._member.name, Kind.BOOK, **said)

    def recorded(self, header: Mapping[str, Any]) -> None:
        """Take note that a run is finished."""
        name = header["acq"]
        if self._pending.pop(name, None) is None:
            return
        self.runs[name] = {
            key: header[key] for key in ("folder", "frames", "bytes", "gaps")
        }
        account = Account.from_dict(header["account"])
        self._books.amend(name, {EDGE: account}, header["problems"])
        self._note(
            "recorder", f"recorded {header['frames']} frames: {header['folder']}"
        )

    def lost(self) -> None:
        """Give up what is pending: nobody will finish it."""
        for name in self._pending:
            problem = (
                f"the recording of {name} was not finished: its manifest still says "
                "'recording' (scopeside runs recover)"
            )
            self._books.amend(name, {}, [problem])
            self._note("engine", problem)
        self._pending.clear()

    # -- pace -------------------------------------------------------------------

    @property
    def moves(self) -> bool:
        """Whether the recorder has got on within the time that is allowed."""
        if self._member is None or self._member.state is State.DEGRADED:
            return False
        said = self._member.board.read().get("record", {})
        now = time.monotonic()
        if (said.get("bytes"), self._member.spec.incarnation) != self._moved[0]:
            self._moved = ((said.get("bytes"), self._member.spec.incarnation), now)
        return now - self._moved[1] < self._patience_s

    def only_it_is_left(self, open_ones: Mapping[str, Any]) -> bool:
        """Whether frames are in flight to the recorder, and nowhere else."""
        flights = [
            (edge, account["in_flight"])
            for one in open_ones.values()
            for edge, account in one["edges"].items()
        ]
        return all(n == 0 for edge, n in flights if edge != EDGE)


def record_status(
    members: Mapping[str, Member], recording: Recording
) -> dict[str, Any]:
    """Return how recording goes, as plain values; see docs/status.md for the keys."""
    member = members.get("recorder")
    if member is None:
        return {}
    said = dict(member.board.read().get("record", {}))
    if member.state is State.DEGRADED:
        said["state"] = "lost"
    runs = recording.runs
    return {
        "state": "starting",
        **said,
        "folders": {name: run["folder"] for name, run in runs.items()},
        "frames": sum(run["frames"] for run in runs.values())
        + sum(run["frames"] for run in said.get("open", {}).values()),
    }


def record_report(recording: Recording) -> dict[str, Any]:
    """Return what was recorded, for the report of a run."""
    runs = recording.runs.values()
    gaps: dict[str, int] = {}
    for run in runs:
        for cause, n in run["gaps"].items():
            gaps[cause] = gaps.get(cause, 0) + n
    return {
        "folders": [run["folder"] for run in runs],
        "frames": sum(run["frames"] for run in runs),
        "bytes": sum(run["bytes"] for run in runs),
        "gaps": gaps,
        "runs": dict(recording.runs),
    }

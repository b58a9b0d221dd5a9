"""What the supervisor has to do with the recorder: its books, its death, its pace."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from scopeside.ledger import Account
from scopeside.record.settings import EDGE
from scopeside.supervise.books import Book, Books
from scopeside.supervise.member import Member, State
from scopeside.supervise.recovery import Say
from scopeside.wire import Kind

MAX_RUNS = 1000
"""Recorded runs that are listed; older ones count in the totals only."""
WRITING_S = 600.0
"""One step of the writer may take so long; then the disk is taken to hang."""
DECIDED_S = 3.0
"""Decisions on an acquisition that has ended are waited for so long, s."""


class Recording:
    """The acquisitions that are over and whose recording is not finished yet.

    Attributes
    ----------
    runs
        What the recorder said of each run when it was closed, by acquisition.
    frames, bytes, gaps
        Of all of them, and those not recorded by cause.
    """

    def __init__(
        self,
        member: Member | None,
        books: Books,
        say: Say,
        note: Callable[[str, str], None],
        patience_s: float,
        *,
        adviser: Member | None = None,
    ) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.frames = 0
        self.bytes = 0
        self.gaps: Counter[str] = Counter()
        self._member = member
        self._books = books
        self._say = say
        self._note = note
        self._patience_s = patience_s
        self._adviser = adviser
        self._pending: dict[str, dict[str, Any]] = {}
        self._undecided: dict[str, float] = {}
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
        elif self._adviser is not None and self._adviser.state is State.RUNNING:
            self._undecided[book.id] = time.monotonic() + DECIDED_S
        else:
            self.decided(book.id)

    def decided(self, acquisition: str) -> None:
        """Take that the guard has written down all decisions on an acquisition."""
        self._undecided.pop(acquisition, None)
        said = self._pending.get(acquisition)
        if said is None or self._member is None:
            return
        self._moved = (None, time.monotonic())
        if self._member.state is State.RUNNING:
            self._say(self._member.name, Kind.BOOK, **said)

    def look(self) -> None:
        """Wait no longer for decisions that are overdue."""
        now = time.monotonic()
        for name, until in list(self._undecided.items()):
            if now > until:
                self.decided(name)

    def repeat(self) -> None:
        """Tell a recorder that was restarted."""
        for name in self._pending.keys() - self._undecided.keys():
            self.decided(name)

    def recorded(self, header: Mapping[str, Any]) -> None:
        """Take note that a run is finished."""
        name = header["acq"]
        if self._pending.pop(name, None) is None:
            return
        self.runs[name] = {
            key: header[key] for key in ("folder", "frames", "bytes", "gaps")
        }
        self._count(self.runs[name])
        if len(self.runs) > MAX_RUNS:
            del self.runs[next(iter(self.runs))]
        account = Account.from_dict(header["account"])
        self._books.amend(name, {EDGE: account}, header["problems"])
        self._note(
            "recorder", f"recorded {header['frames']} frames: {header['folder']}"
        )

    def _count(self, run: Mapping[str, Any]) -> None:
        self.frames += run["frames"]
        self.bytes += run["bytes"]
        self.gaps.update(run["gaps"])

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
        self._undecided.clear()

    # -- pace -------------------------------------------------------------------

    @property
    def moves(self) -> bool:
        """Whether the recorder has got on within the time that is allowed."""
        if self._member is None or self._member.state is State.DEGRADED:
            return False
        if self._undecided:
            return True
        said = self._member.board.read().get("record", {})
        now = time.monotonic()
        if (said.get("bytes"), self._member.spec.incarnation) != self._moved[0]:
            self._moved = ((said.get("bytes"), self._member.spec.incarnation), now)
        # To bring a whole file to a slow disk is one step, and may take its time.
        patience_s = WRITING_S if said.get("writing") else self._patience_s
        return now - self._moved[1] < patience_s

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
        "frames": recording.frames
        + sum(run["frames"] for run in said.get("open", {}).values()),
    }


def record_report(recording: Recording) -> dict[str, Any]:
    """Return what was recorded, for the report of a run."""
    return {
        "folders": [run["folder"] for run in recording.runs.values()],
        "frames": recording.frames,
        "bytes": recording.bytes,
        "gaps": dict(recording.gaps),
        "runs": dict(recording.runs),
    }

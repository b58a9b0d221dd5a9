"""What a recorder must not forget when it is killed, beside what the spool holds."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from scopeside.board import Board
from scopeside.ledger import FrameRanges, Run

KEPT = 64
"""Closed runs that are remembered."""


@dataclass(slots=True, eq=False)
class Gap:
    """Frames that were given up, and whose record is not on disk yet.

    Attributes
    ----------
    seqs
        First and last batch.
    runs
        Their frames.
    """

    acquisition: str
    epoch: int
    cause: str
    seqs: tuple[int, int]
    runs: list[list[int]]

    def grow(self, seq: int, runs: Iterable[Run]) -> None:
        """Take in the next batch."""
        self.seqs = (self.seqs[0], seq)
        known = FrameRanges([*((a, b) for a, b in self.runs), *runs])
        self.runs = known.runs()


class Notebook:
    """Runs and gaps, on a board that lies at the beginning of the spool.

    It is written from the recorder's two threads.
    """

    def __init__(self, fd: int) -> None:
        self._board = Board(fd)
        self._lock = threading.Lock()
        said = self._board.read()
        self._runs: dict[str, dict[str, Any]] = said.get("runs", {})
        self._gaps = [_gap(values) for values in said.get("gaps", [])]

    @property
    def gaps(self) -> list[Gap]:
        """The gaps that are not on disk yet, oldest first."""
        return list(self._gaps)

    def folder_of(self, acquisition: str) -> str | None:
        """Return the folder of a run that was begun, or was going to be."""
        run = self._runs.get(acquisition)
        return None if run is None else str(run["folder"])

    def answer_of(self, acquisition: str) -> dict[str, Any] | None:
        """Return what was said of a run when it was closed."""
        found: dict[str, Any] | None = self._runs.get(acquisition, {}).get("answer")
        return found

    @property
    def open_runs(self) -> dict[str, str]:
        """Folders of the runs that are not closed, by acquisition."""
        return {
            name: run["folder"]
            for name, run in list(self._runs.items())
            if "answer" not in run
        }

    def begin(self, acquisition: str, folder: str) -> None:
        """Remember where a run is going to be."""
        with self._lock:
            self._runs[acquisition] = {"folder": folder}
            self._save()

    def close(self, acquisition: str, answer: dict[str, Any]) -> None:
        """Remember that a run is closed, and what is to be said of it."""
        with self._lock:
            self._runs[acquisition]["answer"] = answer
            closed = [name for name, run in self._runs.items() if "answer" in run]
            for name in closed[:-KEPT]:
                del self._runs[name]
            self._save()

    def give_up(self, gap: Gap) -> None:
        """Remember a gap, or that it has grown."""
        with self._lock:
            if gap not in self._gaps:
                self._gaps.append(gap)
            self._save()

    def wrote(self, gap: Gap) -> None:
        """Forget a gap whose record is on disk."""
        with self._lock:
            if gap in self._gaps:
                self._gaps.remove(gap)
                self._save()

    def _save(self) -> None:
        gaps = [asdict(gap) for gap in self._gaps]
        self._board.update(runs=self._runs, gaps=gaps)


def _gap(values: dict[str, Any]) -> Gap:
    first, last = values.pop("seqs")
    return Gap(seqs=(first, last), **values)

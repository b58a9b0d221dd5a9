"""Changes of parameters on the detector's side: each gets the frame it begins with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from scopeside.acquisition import Acquisition
from scopeside.changes import Change, History
from scopeside.edge import Edge

Tell = Callable[[bytes, dict[str, Any]], None]
"""Sends a header to a worker."""


class Changes:
    """The changes that wait for a frame, and those that hold.

    A change takes effect with the next batch of the acquisition that runs; without one,
    or if no batch comes any more, with the first frame of the next acquisition.

    Attributes
    ----------
    number
        Of the last change that has taken effect; the next batch bears it.
    answers
        What the supervisor is to be told.
    """

    def __init__(self, edges: Mapping[str, Edge], epoch: int, tell: Tell) -> None:
        self.number = 0
        self.answers: list[dict[str, Any]] = []
        self._edges = edges
        self._epoch = epoch
        self._tell = tell
        self._history = {chain: History() for chain in edges}
        self._waiting: list[Change] = []

    def ask(self, header: Mapping[str, Any], running: Acquisition | None) -> None:
        """Take a change, or say for which acquisition it has not been tried."""
        change = Change.from_dict(header["change"])
        if running is not None and running.id not in header["tried"]:
            self._answer(change, "untried", acquisition=running.to_dict())
        else:
            self._waiting.append(change)
            self._answer(change, "taken")

    def put(self, change: Change) -> None:
        """Take a change that was recorded; it has been checked and tried then."""
        if change.chain in self._edges:
            self._waiting.append(change)
            self._answer(change, "replayed", recorded=change.to_dict())

    def begin(self, acquisition: str, frame: int) -> list[Change]:
        """Have all that wait take effect, and tell the workers; return them.

        Parameters
        ----------
        acquisition, frame
            That of the next batch, and its first frame; "" and 0 if none runs.
        """
        before = self.number
        began = []
        for waiting in self._waiting:
            self.number += 1
            change = replace(
                waiting, number=self.number, acquisition=acquisition, frame=frame
            )
            self._take_effect(change, before)
            self._answer(change, "holds", acquisition=acquisition, frame=frame)
            began.append(change)
        self._waiting.clear()
        return began

    def _take_effect(self, change: Change, before: int) -> None:
        edge = self._edges[change.chain]
        # Batches that are under way may come to another worker yet, as they are.
        oldest = min((ticket.change for ticket in edge.outstanding()), default=before)
        self._history[change.chain].add(change, oldest)
        for worker in edge.workers:
            self._send(worker, change, oldest)

    def catch_up(self, worker: bytes, chain: str) -> None:
        """Tell a new worker of the changes that its batches may need."""
        for change in self._history[chain]:
            self._send(worker, change, 0)

    def _send(self, worker: bytes, change: Change, oldest: int) -> None:
        header = {"change": change.to_dict(), "oldest": oldest, "epoch": self._epoch}
        self._tell(worker, header)

    def holding(self) -> list[Change]:
        """Return the changes that hold for the next batch, of all chains."""
        return [
            change
            for history in self._history.values()
            for change in history.at(self.number).values()
        ]

    def _answer(self, change: Change, answer: str, **more: Any) -> None:
        said = {"name": change.name, "version": change.version, "answer": answer}
        self.answers.append({**said, **more})

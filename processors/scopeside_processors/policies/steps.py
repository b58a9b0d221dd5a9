"""Wishes that follow each other: the next one when the one before is done."""

from __future__ import annotations

from collections.abc import Sequence

from scopeside.control.policy import Outcome
from scopeside.control.proposal import Wish
from scopeside_processors.policies.asked import LONGEST_PAUSE, PASSING, PATIENCE


class Steps:
    """A short plan.

    Attributes
    ----------
    done
        How many of the wishes have been carried out.
    refused
        Why the plan cannot go on; empty while it can.
    """

    def __init__(self, wishes: Sequence[Wish]) -> None:
        self._wishes = list(wishes)
        self._open = False
        self._waits_for_person = False
        self._asked_in, self._pause, self._not_before = 0, 0, 0
        self.done = 0
        self.refused = ""

    @property
    def finished(self) -> bool:
        """Whether all has been carried out."""
        return self.done == len(self._wishes)

    @property
    def begun(self) -> bool:
        """Whether any of it has been carried out, or is being asked for."""
        return self._open or self.done > 0

    def next(self, frame: int) -> Wish | None:
        """Return what is to be asked for in this frame, None if nothing."""
        if self.finished or self.refused:
            return None
        if self._open:
            late = frame - self._asked_in > PATIENCE and not self._waits_for_person
            self.refused = "nobody said what became of it" if late else ""
            return None
        if frame < self._not_before:
            return None
        self._open, self._asked_in, self._waits_for_person = True, frame, False
        return self._wishes[self.done]

    def told(self, outcome: Outcome) -> None:
        """Take note of what became of the wish that is open."""
        if not self._open or outcome.wish != self._wishes[self.done]:
            return
        self._waits_for_person = outcome.state == "waiting"
        match outcome.state:
            case "done" | "observed":
                self.done += 1
                self._open, self._pause, self._not_before = False, 0, 0
            case "refused" | "failed":
                self._open = False
                if outcome.cause not in PASSING:
                    self.refused = outcome.reason or outcome.state
                self._pause = min(2 * self._pause or 1, LONGEST_PAUSE)
                self._not_before = self._asked_in + 1 + self._pause

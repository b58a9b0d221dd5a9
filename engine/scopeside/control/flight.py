"""The command that is under way: sent, answered, and seen in a read-back."""

from __future__ import annotations

from dataclasses import dataclass

from scopeside.control.instrument import Call
from scopeside.control.limits import Wanted


@dataclass(slots=True)
class Flight:
    """There is at most one.

    Attributes
    ----------
    id
        Of the proposal or the request.
    tells
        Who is told what became of it, each by the id that it asked with.
    want
        What is to be read back once it is done.
    t_frame_ns
        Of the evidence; 0 for a person's command.
    answered_ns
        When the instrument said that it is done; 0 before.
    """

    id: str
    action: str
    calls: tuple[Call, ...]
    tells: tuple[tuple[str, str], ...]
    want: Wanted
    sent_ns: int
    t_frame_ns: int = 0
    answered_ns: int = 0
    overdue: bool = False

    def __str__(self) -> str:
        return f"{self.action} ({self.id:.60})"

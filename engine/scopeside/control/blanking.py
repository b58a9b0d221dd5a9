"""Blanking, tried again and again until the instrument has done it."""

from __future__ import annotations

from dataclasses import dataclass, field

from scopeside.control.evidence import MS

FIRST_PAUSE_NS = 100 * MS
LONGEST_PAUSE_NS = 5000 * MS


@dataclass(slots=True)
class Blanking:
    """Whether the beam is to be blanked, and how far that has come.

    Attributes
    ----------
    patience_ns
        After so long without an answer it is tried again.
    wanted
        Why the beam is to be blanked; empty if it is not, or it is done.
    asked_ns
        When the instrument was asked last and has not answered; 0 if it has.
    next_ns
        When to try again.
    done_ns, unseen
        When it was done (0: not, or let on since), and whether no read-back has shown
        that yet.
    tells
        Who is told when it is done, each with the id that it asked with.
    """

    patience_ns: int
    wanted: str = ""
    asked_ns: int = 0
    next_ns: int = 0
    tried: int = 0
    done_ns: int = 0
    unseen: bool = False
    failed: str = ""
    tells: list[tuple[str, str]] = field(default_factory=list)

    def want(self, reason: str, now_ns: int) -> bool:
        """Blank; returns whether the instrument is to be asked now.

        It is not if it is being asked already, or waits to be asked again.
        """
        if self.wanted:
            return False
        self.wanted = reason
        self.again(now_ns)
        return True

    def again(self, now_ns: int) -> None:
        """Take note that the instrument is asked, once more or for the first time."""
        self.asked_ns, self.tried = now_ns, self.tried + 1

    def answered(self, ok: bool, reason: str, now_ns: int) -> None:
        """Take in that it is done, or that it is to be tried again."""
        self.asked_ns = 0
        if ok:
            self.wanted, self.tried, self.failed = "", 0, ""
            self.done_ns, self.unseen = now_ns, True
            return
        self.wanted = self.wanted or "the last try failed"
        self.failed = reason or "the instrument does not say why"
        doublings = min(max(self.tried - 1, 0), 10)
        pause = min(LONGEST_PAUSE_NS, FIRST_PAUSE_NS << doublings)
        self.next_ns = now_ns + pause

    def overdue(self, now_ns: int) -> bool:
        """Whether the instrument has not answered for too long."""
        return bool(self.asked_ns) and now_ns - self.asked_ns > self.patience_ns

    def due(self, now_ns: int) -> bool:
        """Whether it is time to try again."""
        return bool(self.wanted) and not self.asked_ns and now_ns >= self.next_ns

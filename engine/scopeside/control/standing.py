"""How far the guard may go at the moment: observe, advise, armed for a time, parked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from scopeside.control.settings import Mode

Name = Literal["observe", "advise", "armed", "parked"]


@dataclass(frozen=True, slots=True)
class Park:
    """Why nothing is sent until a person says so."""

    cause: str
    reason: str
    since_ns: int

    def __str__(self) -> str:
        return f"{self.cause}: {self.reason}"


@dataclass(slots=True)
class Standing:
    """The mode, under the ceiling that the pipeline file sets.

    Attributes
    ----------
    ceiling
        Observe is never left. Advise is never armed. Armed begins as advise.
    until_ns, by
        Till when it is armed, and by whom; 0 and empty when it is not.
    """

    ceiling: Mode
    parked: Park | None = None
    until_ns: int = 0
    by: str = ""

    @property
    def name(self) -> Name:
        """The mode that people see."""
        if self.ceiling == "observe":
            return "observe"
        if self.parked is not None:
            return "parked"
        return "armed" if self.until_ns else "advise"

    def arm(self, until_ns: int, by: str) -> None:
        """Send what is allowed, without asking, until then."""
        assert self.ceiling == "armed"
        self.parked, self.until_ns, self.by = None, until_ns, by

    def advise(self) -> None:
        """Ask a person each time."""
        assert self.ceiling != "observe"
        self.parked, self.until_ns, self.by = None, 0, ""

    def park(self, cause: str, reason: str, now_ns: int) -> bool:
        """Send nothing; returns whether that is new. The first reason stays."""
        self.until_ns, self.by = 0, ""
        if self.ceiling == "observe" or self.parked is not None:
            return False
        self.parked = Park(cause, reason, now_ns)
        return True

    def expired(self, now_ns: int) -> bool:
        """Whether the time it was armed for is over; then it advises again."""
        if not self.until_ns or now_ns < self.until_ns:
            return False
        self.until_ns, self.by = 0, ""
        return True

    def status(self) -> Mapping[str, Any]:
        """Return plain values."""
        parked = self.parked
        return {
            "mode": self.name,
            "ceiling": self.ceiling,
            "armed_until_ns": self.until_ns or None,
            "armed_by": self.by,
            "parked": None
            if parked is None
            else {
                "cause": parked.cause,
                "reason": parked.reason,
                "since_ns": parked.since_ns,
            },
        }

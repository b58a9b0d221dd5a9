"""What is judged: what is asked and by whom, what is known, what holds for a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from scopeside.control.checks import Check
from scopeside.control.evidence import Engine
from scopeside.control.instrument import Call, Readback
from scopeside.control.proposal import Proposal
from scopeside.control.settings import ControlSettings

By = Literal["rule", "accepted", "person", "unblank"]
"""Who stands behind it: nobody, a person who accepted it, a person who asked for it, or
a person who asked to unblank."""
Plan = Callable[[Call, Readback], tuple[Call, ...]]


class Dose(Protocol):
    """What the guard asks of the dose account."""

    @property
    def lacking(self) -> str:
        """Why the budget cannot be enforced; "" if it can."""

    @property
    def enforced(self) -> bool:
        """Whether there is a budget that is enforced."""

    def read(self, readback: Readback) -> None:
        """Take in what holds from ``readback.t_ns`` on."""

    def measured(self, rate: float, sigma: float, t_ns: int, /) -> None:
        """Take in a dose rate that was measured, e⁻/Å²/s."""

    def sent(self, calls: Iterable[Call], now_ns: int) -> None:
        """Take note that calls are about to be sent."""

    def blanked(self, now_ns: int) -> None:
        """Take note that the instrument says that it has blanked the beam."""

    def may(self, calls: Iterable[Call], now_ns: int) -> str:
        """Return why the budget does not allow it, "" if it does; changes nothing."""

    def must_blank(self, now_ns: int) -> str:
        """Return why the beam has to be blanked now; "" if it has not."""

    def status(self, now_ns: int) -> Mapping[str, Any]:
        """Return plain values for people."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for a whole run."""

    settings: ControlSettings
    actions: frozenset[str]
    plan: Plan | None = None
    dose: Dose | None = None

    @property
    def connected(self) -> bool:
        """Whether there is an instrument."""
        return self.settings.adapter is not None


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for, and by whom; `proposal` is None for a person's command."""

    action: str
    fields: Any
    by: By = "rule"
    proposal: Proposal | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known when it is asked.

    Attributes
    ----------
    parked
        Why; empty if it is not.
    unreadable
        Why there is no read-back to go by; empty if there is one.
    start
        By quantity: the values at arming.
    sent_ns
        By action: when it was sent last.
    busy
        What is under way; empty if nothing is.
    """

    now_ns: int
    engine: Engine = field(default_factory=Engine)
    parked: str = ""
    readback: Readback | None = None
    unreadable: str = ""
    start: Mapping[str, float] = field(default_factory=dict)
    sent_ns: Mapping[str, int] = field(default_factory=dict)
    busy: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The checks, and what is to be done.

    Attributes
    ----------
    calls
        Those that do it; none if it is refused.
    whole
        What was asked for, as one call; None if it is no action of the vocabulary.
    """

    checks: tuple[Check, ...]
    calls: tuple[Call, ...] = ()
    whole: Call | None = None

    @property
    def first(self) -> Check | None:
        """The first check that failed."""
        return next((check for check in self.checks if check.cause), None)

    @property
    def cause(self) -> str:
        """Why it is refused, one word; empty if it is allowed."""
        return self.first.cause if self.first else ""

    @property
    def reason(self) -> str:
        """Why it is refused, in words."""
        return self.first.text if self.first else ""

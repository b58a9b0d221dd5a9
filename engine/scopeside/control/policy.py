"""The interface of a policy: results in, wishes out, and nothing else.

A policy sees no clock, no instrument and no randomness: the same results and the same
read-backs give the same wishes, so a decision can be looked at again the next day.
Entry-point group ``scopeside.policies``; your own is ``package.module:Class``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel

from scopeside.acquisition import Acquisition
from scopeside.control.instrument import Readback
from scopeside.control.proposal import Wish
from scopeside.result import Result


@dataclass(frozen=True, slots=True)
class Seen:
    """A result as a policy sees it.

    Attributes
    ----------
    t_ns
        Time stamp of the frame `result.frame`: the end of its exposure, ns.
    missed
        Results lost between this one and the one before it from the same chain.
    final
        Whether it is the last value of a quantity, its acquisition having ended.
    """

    acquisition: Acquisition
    epoch: int
    chain: str
    processor: str
    result: Result
    t_ns: int
    missed: int = 0
    final: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a wish of this policy.

    Attributes
    ----------
    state
        ``observed`` (would have been allowed), ``waiting`` (for a person), ``done``,
        ``refused``, or ``failed`` (sent, and the instrument did not do it).
    cause
        Of a refusal, one word of the guard's list: ``busy``, ``step`` …
    """

    wish: Wish
    state: str
    reason: str = ""
    cause: str = ""


class Knows(Protocol):
    """What is known of the microscope's settings, and since when."""

    @property
    def now(self) -> Readback | None:
        """The last read-back, None before the first."""

    def during(self, first_ns: int, last_ns: int) -> Readback | None:
        """Return what held all the time between, None if it changed or is unknown."""


class Policy(Protocol):
    """Decides what to ask for. One object for a whole run."""

    Params: ClassVar[type[BaseModel]]

    def __init__(self, params: Any) -> None: ...

    @property
    def wants(self) -> tuple[str, ...]:
        """Which results it hears, as ``processor.result``.

        Of processors that need order it hears every result, in order; of those that do
        not, the last value when an acquisition has ended.
        """

    def begin(self, acquisition: Acquisition) -> None:
        """Take note that an acquisition begins."""

    def hear(self, seen: Seen, microscope: Knows) -> Iterable[Wish]:
        """Take in a result; return what to ask for, usually nothing."""

    def told(self, outcome: Outcome) -> Iterable[Wish]:
        """Take in what became of a wish; return what to ask for next."""

"""What the guard knows and remembers, and how it parks."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from scopeside.control.audit_words import call_in_words
from scopeside.control.blanking import Blanking
from scopeside.control.case import Rules, Situation
from scopeside.control.effects import Effect, Say, Tell, Write
from scopeside.control.evidence import MS, Engine
from scopeside.control.flight import Flight
from scopeside.control.readings import Readings
from scopeside.control.remembered import Remembered
from scopeside.control.standing import Standing
from scopeside.control.waiting import Waiting

LAST = 50
"""Verdicts that are kept for people to see."""
MOST_FIELDS = 12
"""Of an action, that are shown with its verdict."""
Tells = tuple[tuple[str, str], ...]
"""Who is told, each with the id that it asked with."""


@dataclass(frozen=True, slots=True)
class Ruled:
    """What became of something: refused, sent, done …, why in one word, and why."""

    state: str
    cause: str = ""
    reason: str = ""


class Known:
    """Everything that the guard keeps between two calls of it.

    Attributes
    ----------
    flight
        The command under way, None if there is none.
    start
        By quantity: the value at arming, or the first one read since it advises.
    sent_ns
        By action: when it was sent last, or would have been.
    changed_ns
        When the guard changed the microscope last: read-backs from before do not count.
    ended
        Whether nothing is to be done any more but blanking.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.engine = Engine()
        self.standing = Standing(rules.settings.mode)
        self.readings = Readings(rules.settings)
        self.waiting = Waiting()
        self.remembered = Remembered()
        self.blanking = Blanking(int(rules.settings.answer_ms * MS))
        self.flight: Flight | None = None
        self.start: dict[str, float] = {}
        self.sent_ns: dict[str, int] = {}
        self.changed_ns = 0
        self.ended = False
        self.counts: Counter[str] = Counter()
        self.last: deque[Mapping[str, Any]] = deque(maxlen=LAST)

    @property
    def observing(self) -> bool:
        """Whether nothing is ever done by itself."""
        return self.rules.settings.mode == "observe"

    @property
    def guards_dose(self) -> bool:
        """Whether the beam is to be blanked when in doubt, for the dose's sake."""
        dose = self.rules.dose
        return dose is not None and dose.enforced and not self.observing

    @property
    def busy(self) -> str:
        """What is under way; empty if nothing is."""
        if self.flight is not None:
            return str(self.flight)
        if self.blanking.wanted:
            return f"blanking ({self.blanking.wanted:.60})"
        return ""

    def situation(self, now_ns: int) -> Situation:
        """Return what is known, to be judged by."""
        parked = self.standing.parked
        why = "the guard has ended" if self.ended else ""
        return Situation(
            now_ns=now_ns,
            engine=self.engine,
            parked=why or ("" if parked is None else str(parked)),
            readback=self.readings.last,
            unreadable=self.readings.lacking(now_ns),
            start=self.start,
            sent_ns=self.sent_ns,
            busy=self.busy,
        )

    def begin(self) -> None:
        """Start from where a person has found the microscope to be."""
        self.readings.forget()
        self.start = self.readings.numbers()

    def note(
        self, key: str, action: Any, ruled: Ruled, now_ns: int, fields: Any = None
    ) -> None:
        """Remember and count what became of something; `fields` with its first note."""
        action = action if isinstance(action, str) else ""
        self.remembered.became(key, ruled.state, ruled.cause, ruled.reason)
        self.count(ruled)
        self.last.append(
            {
                "id": key,
                "action": action,
                "call": self._call(key, action, fields),
                "state": ruled.state,
                "cause": ruled.cause,
                "reason": ruled.reason,
                "t_ns": now_ns,
            }
        )

    def _call(self, key: str, action: str, fields: Any) -> str:
        """Return what is asked for in words, or what they were when it was new."""
        if isinstance(fields, Mapping):
            some = dict(islice(fields.items(), MOST_FIELDS))
            return call_in_words({"action": action, "fields": some})
        earlier = (one["call"] for one in reversed(self.last) if one["id"] == key)
        return next(earlier, action)

    def count(self, ruled: Ruled) -> None:
        """Count a state, and the cause of a refusal or failure."""
        self.counts[ruled.state] += 1
        if ruled.state in ("refused", "failed"):
            self.counts[f"cause.{ruled.cause}"] += 1

    # -- parking -----------------------------------------------------------------

    def park(self, cause: str, reason: str, now_ns: int) -> list[Effect]:
        """Send nothing until a person says so; whatever waits, waits no longer."""
        if not self.standing.park(cause, reason, now_ns):
            return []
        self.start = {}
        return [
            event("parked", reason, cause=cause),
            Say(f"control is parked ({cause}): {reason}"),
            *self.lapse("parked", f"parked: {reason}", now_ns),
        ]

    def lapse(self, cause: str, reason: str, now_ns: int) -> list[Effect]:
        """Let nothing wait for a person any more."""
        out: list[Effect] = []
        for one in self.waiting.clear():
            ruled = Ruled("refused", cause, reason)
            out += self.lapsed(one.proposal.id, one.client, ruled, now_ns)
        return out

    def lapsed(self, key: str, client: str, ruled: Ruled, now_ns: int) -> list[Effect]:
        """Say that a proposal that waited will not be carried out."""
        self.note(key, "", ruled, now_ns)
        record = event("lapsed", ruled.reason, id=key, cause=ruled.cause)
        return [record, *told([(client, key)], ruled)]


def told(tells: Iterable[tuple[str, str]], ruled: Ruled) -> list[Effect]:
    """Return what those who asked are told."""
    return [
        Tell(client, key, ruled.state, ruled.cause, ruled.reason)
        for client, key in tells
    ]


def event(what: str, reason: str, **more: Any) -> Write:
    """Return a record of what happened to the guard."""
    return Write("event", {"what": what, "reason": reason, **more})

"""Runs rules and policies: results in, proposals with their evidence out.

It has no socket and no clock. Whatever a policy does wrong is told once and counted,
and harms no other.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from scopeside.acquisition import Acquisition
from scopeside.control.policy import Knows, Outcome, Seen
from scopeside.control.proposal import Evidence, Proposal, Source, Wish
from scopeside.control.setup import Control
from scopeside.publication import digest
from scopeside.result import Result

log = logging.getLogger(__name__)

REMEMBERED = 4096
"""Proposals whose outcome may still come."""
MOST_AT_ONCE = 64
"""Wishes of one policy on one result; more are a mistake, and left out."""
OPEN = ("waiting", "sent")
"""States after which another one comes."""


class Adviser:
    """The policies of a pipeline, by name.

    Attributes
    ----------
    notes
        What the operator should know, emptied by whoever tells it.
    """

    def __init__(self, control: Control, microscope: Knows) -> None:
        self.notes: list[str] = []
        self._settings = control.settings
        self._microscope = microscope
        self._policies = {one.name: one.policy() for one in control.deciders}
        self._wants = {one.name: one.wants for one in control.deciders}
        self._asked: OrderedDict[str, tuple[str, Wish, Seen]] = OrderedDict()
        self._numbers: Counter[str] = Counter()
        self._failures: set[tuple[str, str]] = set()

    def begin(self, acquisition: Acquisition) -> None:
        """Tell all policies that an acquisition begins."""
        for name, policy in self._policies.items():
            self._guarded(name, policy.begin, acquisition)

    def hear(self, seen: Seen, now_ns: int) -> list[Proposal]:
        """Give a result to those who want it; return what they propose."""
        found: list[Proposal] = []
        for name, policy in self._policies.items():
            result = seen.result
            if not any(
                answers(want, seen.processor, result.name, result.kind)
                for want in self._wants[name]
            ):
                continue
            wishes = self._wishes(name, policy.hear, seen, self._microscope)
            found += self._proposals(name, wishes, seen, now_ns)
        return found

    def decided(
        self, name: str, state: str, cause: str, reason: str, now_ns: int
    ) -> list[Proposal]:
        """Tell a policy what became of a proposal; return what it asks for next."""
        asked = self._asked.get(name)
        if asked is None:
            return []
        if state not in OPEN:
            del self._asked[name]
        who, wish, seen = asked
        told = Outcome(wish, state, reason or cause, cause)
        wishes = self._wishes(who, self._policies[who].told, told)
        return self._proposals(who, wishes, seen, now_ns)

    def _proposals(
        self, name: str, wishes: Iterable[Wish], seen: Seen, now_ns: int
    ) -> list[Proposal]:
        found = []
        for wish in wishes:
            proposal = self._proposal(name, wish, seen, now_ns)
            self._asked[proposal.id] = (name, wish, seen)
            if len(self._asked) > REMEMBERED:
                self._asked.popitem(last=False)
            found.append(proposal)
        return found

    def _proposal(self, name: str, wish: Wish, seen: Seen, now_ns: int) -> Proposal:
        result = seen.result
        stem = f"{seen.acquisition.id}/{name}/{result.frame}"
        self._numbers[stem] += 1
        number = self._numbers[stem]
        if len(self._numbers) > REMEMBERED:
            self._numbers = Counter({stem: number})
        valid_s = wish.valid_for_s or self._settings.valid_for_ms / 1e3
        return Proposal(
            id=stem if number == 1 else f"{stem}.{number}",
            action=wish.action,
            fields=dict(wish.fields),
            rule=name,
            evidence=evidence_of(seen, wish.confidence),
            created_ns=now_ns,
            deadline_ns=now_ns + round(valid_s * 1e9),
            why=wish.why[:500],
        )

    def _wishes(self, name: str, call: Any, *arguments: Any) -> list[Wish]:
        found = self._guarded(name, call, *arguments)
        try:
            wishes = list(found or ())
        except Exception as error:  # noqa: BLE001 - a generator of a plug-in
            self._complain(name, error)
            return []
        good = [wish for wish in wishes if isinstance(wish, Wish)]
        if len(good) != len(wishes) or len(good) > MOST_AT_ONCE:
            self._complain(
                name, TypeError(f"{len(wishes)} wishes that are not allowed")
            )
        return good[:MOST_AT_ONCE]

    def _guarded(self, name: str, call: Any, *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except Exception as error:  # noqa: BLE001 - a plug-in may raise anything
            self._complain(name, error)
            return None

    def _complain(self, name: str, error: Exception) -> None:
        """Tell of the first failure of each kind."""
        kind = (name, type(error).__name__)
        if kind in self._failures:
            return
        self._failures.add(kind)
        log.error("policy %s failed", name, exc_info=error)
        self.notes.append(
            f"policy {name!r} failed: {type(error).__name__}: {error} (further "
            "failures of this kind are not told)"
        )


def answers(want: str, processor: str, name: str, kind: str) -> bool:
    """Whether a result is what ``processor.result`` asks for.

    ``processor.event`` asks for all events of a processor, whatever their names.
    """
    who, _, what = want.partition(".")
    return who == processor and (what == name or (what == "event" and kind == "event"))


def evidence_of(seen: Seen, confidence: float | None = None) -> Evidence:
    """Return what a result is as evidence.

    The confidence is that of the policy, else what the result says of itself.
    """
    result = seen.result
    if confidence is None:
        confidence = _said(result, "confidence")
    return Evidence(
        acquisition=seen.acquisition.id,
        epoch=seen.epoch,
        first=result.first,
        frame=result.frame,
        t_frame_ns=seen.t_ns,
        sources=(
            Source(
                seen.chain,
                seen.processor,
                result.name,
                digest(result),
                int(result.meta.get("params", 1)),
            ),
        ),
        confidence=confidence,
        valid=result.valid,
        reason=result.reason[:500],
        missed=seen.missed,
    )


def _said(result: Result, key: str) -> float | None:
    """Return a number that an event or the meta of a result holds."""
    for holder in (result.data, result.meta):
        if isinstance(holder, Mapping):
            value = holder.get(key)
            if isinstance(value, int | float) and not isinstance(value, bool):
                return float(value)
    return None

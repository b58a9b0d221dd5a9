"""The decisions of a recorded run, and whether a replay came to the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scopeside.control.audit_check import Checker, Fault, lines_of
from scopeside.control.audit_form import canonical, parsed
from scopeside.control.audit_read import decision_of
from scopeside.replay.held_against import Line
from scopeside.replay.values import difference_of

NAME = "decisions"
Decision = Mapping[str, Any]


def decisions_in(path: Path, acquisition: str) -> list[Decision]:
    """Return what was decided on proposals that stand on an acquisition, in order.

    Raises
    ------
    AuditError
        If the log cannot be read.
    """
    found = []
    for line in lines_of(path):
        record = parsed(line).record
        if record is None or record["kind"] != "proposal":
            continue
        decision = decision_of(record)
        if _evidence(decision).get("acquisition") == acquisition:
            found.append(decision)
    return found


def faults_in(path: Path) -> list[Fault]:
    """Return every line of a log that is not as it was written.

    It may be a part of a longer log: what its first record follows is not looked at.

    Raises
    ------
    AuditError
        If the log cannot be read.
    """
    checker = Checker(after=None)
    found = [fault for line in lines_of(path) for fault in checker.take(line)]
    return [*found, *checker.end()]


def constant_state(decisions: Iterable[Decision]) -> Mapping[str, Any] | None:
    """Return what the instrument was set to, if that was always the same."""
    found = [decision.get("readback") for decision in decisions]
    same = all(one == found[0] for one in found)
    return dict(found[0]) if found and same and isinstance(found[0], Mapping) else None


def compare(recorded: Sequence[Decision], found: Sequence[Decision]) -> Line:
    """Return whether the same was decided, byte for byte.

    The number of the adapter process is not compared: a replay has one. The recording
    may have been closed before the last decisions were made.
    """
    before, now = [[_comparable(d) for d in all_] for all_ in (recorded, found)]
    for k, (one, other) in enumerate(zip(before, now, strict=False)):
        if canonical(one) != canonical(other):
            name = (one.get("proposal") or {}).get("id", f"number {k + 1}")
            return Line(NAME, "different", f"{name}: {difference_of(one, other)}")
    if len(before) > len(now):
        why = f"there were {len(before)}, and only the first {len(now)} are made again"
        return Line(NAME, "different", why)
    late = len(now) - len(before)
    also = f"; {late} more came after the recording was closed" if late else ""
    return Line(NAME, "same", f"{len(before)} decisions, byte for byte{also}")


def _evidence(decision: Decision) -> Mapping[str, Any]:
    proposal = decision.get("proposal")
    evidence = proposal.get("evidence") if isinstance(proposal, Mapping) else None
    return evidence if isinstance(evidence, Mapping) else {}


def _comparable(decision: Decision) -> dict[str, Any]:
    proposal = dict(decision.get("proposal") or {})
    proposal["evidence"] = {**_evidence(decision), "epoch": 1}
    return {**decision, "proposal": proposal}

"""Tells in words why the microscope did what it did, or why it did not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from scopeside.control.audit_read import (
    Entry,
    Record,
    decision_of,
    proposal_of,
    state_of,
    table,
    values_of,
)
from scopeside.control.audit_table import outcome, row
from scopeside.control.audit_words import (
    amounts,
    call_in_words,
    joined,
    milliseconds,
    moment,
    printable,
)

Told = tuple[str, str]
"""A heading, empty if it is that of the line before, and a text."""

_STATES = {
    "observed": "it would have been allowed; in mode observe nothing is sent",
    "waiting": "allowed, if a person accepts it",
    "sent": "allowed, and sent",
    "refused": "refused",
}
_STEPS = {
    "frame_to_proposal": "last frame to proposal",
    "proposal_to_verdict": "proposal to verdict",
    "sent_to_answer": "command to the instrument's answer",
    "frame_to_command": "last frame to command, all in all",
}
_MAX_CALLS = 20


def story(entry: Entry) -> list[Told]:
    """Return what there is to tell of an entry, in the order in which it happened."""
    record = entry.record
    told = [("record", _where(record))]
    if entry.fault:
        told.append(("CHANGED", f"{entry.fault}; do not trust what follows"))
    if record["kind"] == "proposal":
        told += [*_proposed(record), *_decided(record), *_calls(entry)]
    elif record["kind"] == "request":
        told += _requested(entry)
    else:
        told += _happened(record)
    for one in entry.later:
        told += _later(one)
    told += _took([record, *entry.later])
    if record["kind"] == "proposal" or entry.later:
        told.append(("in the end", joined(outcome(entry))))
    return told


def _where(record: Record) -> str:
    return f"n = {record['n']} of {moment(record['t_ns'])}, hash {record['hash'][:16]}…"


def _proposed(record: Record) -> Iterator[Told]:
    proposal = proposal_of(record)
    if "evidence" not in proposal:
        found = proposal.get("unreadable", dict(decision_of(record)))
        yield "asked for", f"what is no proposal: {printable(found)}"
        return
    yield "id", printable(proposal.get("id", "none"))
    evidence = table(proposal.get("evidence"))
    yield from _evidence(evidence)
    yield "asked by", f"rule or policy {printable(proposal.get('rule', '?'), 60)}"
    yield "asked for", call_in_words(proposal)
    if why := proposal.get("why"):
        yield "because", printable(why)
    created, deadline = proposal.get("created_ns"), proposal.get("deadline_ns")
    yield "valid", f"from {moment(created)} to {moment(deadline)}"


def _evidence(evidence: Mapping[str, Any]) -> Iterator[Told]:
    first, frame = evidence.get("first"), evidence.get("frame")
    frames = f"frame {frame!r:.30}"
    if first != frame:
        frames = f"frames {first!r:.30} … {frame!r:.30}"
    yield (
        "evidence",
        f"{frames} of acquisition {printable(evidence.get('acquisition', '?'), 100)}, "
        f"epoch {evidence.get('epoch')!r:.30}; "
        f"the last one is of {moment(evidence.get('t_frame_ns'))}",
    )
    sources = evidence.get("sources")
    for source in map(table, sources if isinstance(sources, list) else []):
        names = [printable(source.get(k, "?"), 60) for k in _SOURCE]
        yield (
            "",
            f"result {'.'.join(names)}, version {source.get('params')!r:.30} of the "
            f"parameters, digest {printable(source.get('digest', '?'), 40)}",
        )
    yield "", _quality(evidence)


_SOURCE = ("chain", "processor", "name")


def _quality(evidence: Mapping[str, Any]) -> str:
    confidence, missed = evidence.get("confidence"), evidence.get("missed")
    sure = "the result does not say how sure it is"
    if confidence is not None:
        sure = f"confidence {confidence!r:.20}"
    valid = "valid" if evidence.get("valid") is True else "NOT VALID"
    lost = f"{missed!r:.20} results are missing before it" if missed else ""
    return joined([sure, valid, printable(evidence.get("reason", "")), lost])


def _decided(record: Record) -> Iterator[Told]:
    decision = decision_of(record)
    verdict = table(decision.get("verdict"))
    if values := decision.get("readback"):
        yield "microscope", f"it was set to: {amounts(values_of(values))}"
    mode = printable(decision.get("mode", "?"), 20)
    yield from _checked(verdict.get("checks"), f"mode {mode}; it checked")
    state = state_of(record)
    cause = printable(verdict.get("cause", ""), 30)
    decided = _STATES.get(state, printable(state, 20))
    decided += f" ({cause})" if cause else ""
    reason = printable(verdict.get("reason", ""))
    yield "verdict", f"{decided}: {reason}" if reason else decided


def _checked(checks: Any, before: str) -> Iterator[Told]:
    checks = checks if isinstance(checks, list) else []
    yield "guard", f"{before} {len(checks)} things{':' if checks else ''}"
    for check in checks:
        yield "", _check(check)


def _checked_again(checks: Any) -> Iterator[Told]:
    """Tell of the same checks, made once more: only what failed is news."""
    checks = checks if isinstance(checks, list) else []
    failed = [check for check in checks if table(check).get("ok") is not True]
    told = "all passed" if not failed else f"{len(failed)} failed:"
    yield "guard", f"it checked {len(checks)} things once more, {told}"
    for check in failed:
        yield "", _check(check)


def _check(check: Any) -> str:
    if not isinstance(check, Mapping):
        return f"- {printable(check)}"
    mark = "passed" if check.get("ok") is True else "FAILED"
    name = printable(check.get("check", "?"), 30)
    return f"{mark}  {name}: {printable(check.get('text', ''))}"


def _calls(entry: Entry) -> Iterator[Told]:
    """Tell what was sent, or would have been."""
    record = entry.record
    calls = decision_of(record).get("calls", record.get("calls"))
    for one in entry.later:
        calls = one.get("calls", calls)  # what was accepted was planned once more
    calls = calls if isinstance(calls, list) else []
    if not calls:
        yield "commands", "none"
    sent = any(one["kind"] == "answer" for one in entry.later)
    head = "commands" if sent or state_of(record) == "sent" else "would send"
    for call in calls[:_MAX_CALLS]:
        yield head, call_in_words(call)
        head = ""
    if len(calls) > _MAX_CALLS:
        yield "", f"and {len(calls) - _MAX_CALLS} more"


def _later(record: Record) -> Iterator[Told]:
    """Tell what came after: a person's word, the instrument's answer, or the end."""
    if record["kind"] == "answer":
        yield from _answered(record)
        return
    shown = row(Entry(record))
    time = moment(record["t_ns"])
    if record["kind"] == "event":
        yield "then", joined([f"{time}: {shown.what}", shown.reason])
        return
    ask = printable(record.get("ask"), 20)
    text = f"{time}: {shown.who} asked to {ask} it"
    yield "a person", joined([text, shown.verdict, shown.reason])
    if "checks" in record:
        yield from _checked_again(record["checks"])


def _answered(record: Record) -> Iterator[Told]:
    did = "it was done" if record.get("ok") is True else "it was NOT done"
    why = printable(record.get("reason", ""))
    answer = record.get("answer")
    said = amounts(answer) if answer else ""
    yield "instrument", joined([f"{moment(record['t_ns'])}: {did}", why, said])
    if readback := record.get("readback"):
        yield "", f"read back: {amounts(values_of(readback))}"


def _requested(entry: Entry) -> Iterator[Told]:
    """Tell what a person asked for by himself."""
    record, shown = entry.record, row(Entry(entry.record))
    yield "a person", shown.who
    yield "asked for", joined([shown.what, printable(record.get("why", ""))])
    if "checks" in record:
        yield from _checked(record["checks"], "it checked")
    yield "verdict", joined([shown.verdict, shown.reason])
    if "calls" in record:
        yield from _calls(entry)


def _happened(record: Record) -> Iterator[Told]:
    shown = row(Entry(record))
    yield "event", joined([shown.what, shown.reason])
    known = {"n", "t_ns", "kind", "prev", "hash", "what", "reason"}
    if more := {key: value for key, value in record.items() if key not in known}:
        yield "", amounts(more)


def _took(records: list[Record]) -> Iterator[Told]:
    head = "it took"
    for record in records:
        took = table(record.get("latency_ms"))
        for name, words in _STEPS.items():
            if found := milliseconds(took.get(name)):
                yield head, f"{found}  {words}"
                head = ""

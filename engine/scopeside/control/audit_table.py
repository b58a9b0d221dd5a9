"""One row of ``scopeside audit show`` for each matter in the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from scopeside.control.audit_read import (
    Entry,
    Record,
    decision_of,
    id_of,
    proposal_of,
    state_of,
    table,
)
from scopeside.control.audit_words import (
    call_in_words,
    duration,
    joined,
    milliseconds,
    moment,
    printable,
)

_REQUEST_EXTRAS = ("seconds", "action", "fields", "id")


class Row(NamedTuple):
    """Texts, as a person reads them.

    Attributes
    ----------
    who
        The rule or policy, or the person.
    verdict
        What was decided, or has become of it since.
    latency
        From the last frame to the command; to the verdict where nothing was sent.
    """

    n: str
    time: str
    mode: str
    who: str
    what: str
    verdict: str
    reason: str
    latency: str


def row(entry: Entry) -> Row:
    """Return what is shown of an entry."""
    record = entry.record
    match record["kind"]:
        case "proposal":
            mode, who, what, verdict, reason = _proposal(entry)
        case "request":
            mode, who, what, verdict, reason = _request(entry)
        case kind:
            what = printable(record.get("what", kind), 40)
            mode, who, verdict = "", "", ""
            reason = printable(record.get("reason", ""))
    if entry.fault:
        verdict, reason = "CHANGED", entry.fault
    time = moment(record["t_ns"], date=False)
    n, latency = str(record["n"]), _latency(entry)
    return Row(n, time, mode, who, what, verdict, reason, latency)


def rule_of(record: Record) -> str:
    """Return the rule or policy that a record's proposal is of, empty if none."""
    return printable(proposal_of(record).get("rule", ""), 60)


def outcome(entry: Entry) -> tuple[str, str]:
    """Return what has become of it in the end, and why."""
    record = entry.record
    verdict = table(decision_of(record).get("verdict"))
    said = verdict if record["kind"] == "proposal" else record
    state, why = _with_cause(state_of(record), said), printable(said.get("reason", ""))
    for one in entry.later:
        reason = printable(one.get("reason", ""))
        if one["kind"] == "answer":
            state, why = ("done" if one.get("ok") is True else "failed"), reason
        elif one["kind"] == "event" and one.get("what") == "lapsed":
            state, why = _with_cause("lapsed", one), reason
        elif one["kind"] == "request" and state_of(one) == "sent":
            state, why = "sent", f"{_ask(one)} by {_who(one)}"
    return state, why


def _with_cause(state: str, said: Mapping[str, Any]) -> str:
    """Return a state, and in one word why, where it was not carried out."""
    cause = said.get("cause", "")
    known = isinstance(cause, str) and cause
    told = state in ("refused", "failed", "lapsed") and known
    return (
        f"{printable(state, 20)}: {printable(cause, 30)}"
        if told
        else (printable(state, 20))
    )


def _proposal(entry: Entry) -> tuple[str, str, str, str, str]:
    record = entry.record
    proposal = proposal_of(record)
    mode = printable(decision_of(record).get("mode", ""), 20)
    what = call_in_words(proposal)
    if "action" not in proposal:
        shown = proposal.get("unreadable", dict(decision_of(record)))
        what = f"no proposal: {printable(shown, 80)}"
    state, why = outcome(entry)
    return mode, rule_of(record), what, state, why or printable(proposal.get("why", ""))


def _request(entry: Entry) -> tuple[str, str, str, str, str]:
    record = entry.record
    extras = {key: record[key] for key in _REQUEST_EXTRAS if key in record}
    action = extras.pop("action", None)
    if action is not None:
        about = call_in_words({"action": action, "fields": extras.get("fields", {})})
    elif "seconds" in extras:
        about = f"for {duration(extras['seconds'])}"
    else:
        about = id_of(record) if record.get("ask") in ("accept", "decline") else ""
    state, why = outcome(entry)
    return "", _who(record), joined([_ask(record), printable(about)], " "), state, why


def _ask(record: Record) -> str:
    return printable(record.get("ask", "?"), 20)


def _who(record: Record) -> str:
    return printable(record.get("who", ""), 40)


def _latency(entry: Entry) -> str:
    took = table(entry.record.get("latency_ms"))
    for one in reversed(entry.later):
        to_command = table(one.get("latency_ms")).get("frame_to_command")
        if found := milliseconds(to_command):
            return found
    steps = [took.get("frame_to_proposal"), took.get("proposal_to_verdict")]
    whole = [step for step in steps if milliseconds(step)]
    return milliseconds(sum(whole)) if whole else ""

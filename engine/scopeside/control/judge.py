"""Is it allowed: one pure function of what is asked, what is known, and the settings.

All checks are made, not only up to the first that fails; the first that fails is the
reason. Nothing is mended, rounded or clamped, and in doubt the answer is no.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from scopeside.control.actions import checked
from scopeside.control.case import Asked, By, Rules, Situation, Verdict
from scopeside.control.checks import Check, failed, passed
from scopeside.control.evidence import (
    age_checked,
    engine_checked,
    evidence_checked,
)
from scopeside.control.instrument import Call
from scopeside.control.limits import values_checked
from scopeside.control.proposal import Proposal
from scopeside.errors import RefusedError

MAX_CALLS = 16
"""Calls that one action may be done by."""


def judge(asked: Asked, now: Situation, rules: Rules) -> Verdict:
    """Return whether it may be done, why not, and by which calls."""
    checks = list(_standing(asked, now, rules))
    if asked.proposal is not None:
        checks += _evidence(asked, asked.proposal, now, rules)
    try:
        call = Call(asked.action, checked(asked.action, asked.fields))
    except RefusedError as error:
        checks.append(failed("action", error.cause, str(error)))
        return Verdict(tuple(checks))
    checks.append(passed("action", f"{call.action}: all fields are known and there"))
    if blanks(call):
        checks += _offered(call, rules)
        return _verdict(checks, (call,), call)
    checks.append(_readback(now, rules))
    checks += _call(call, asked.by, now, rules)
    calls, planned = _planned(call, now, rules)
    checks += planned
    if calls != (call,):
        calls, each = _each(calls, asked.by, now, rules)
        checks += each
    checks += _dose(calls, now, rules)
    return _verdict(checks, calls, call)


def blanks(call: Call) -> bool:
    """Whether a call blanks the beam: that needs no limits and waits for nothing."""
    return call.action == "blank" and call.fields.get("on") is True


def _verdict(checks: list[Check], calls: tuple[Call, ...], whole: Call) -> Verdict:
    allowed = not any(check.cause for check in checks)
    return Verdict(tuple(checks), calls if allowed else (), whole)


def _standing(asked: Asked, now: Situation, rules: Rules) -> Iterator[Check]:
    if now.parked and asked.by != "unblank":
        text = f"parked: {now.parked}; a person has to arm or advise"
        yield failed("parked", "parked", text)
    observing = rules.settings.mode == "observe"
    if observing and asked.by in ("accepted", "person"):
        text = "mode = 'observe': commands are not sent"
        yield failed("mode", "observe_only", text)
    if not rules.connected and asked.by != "rule":
        yield failed("connection", "no_connection", "there is no instrument")
    blank = asked.action == "blank" and isinstance(asked.fields, Mapping)
    if now.busy and not (blank and asked.fields.get("on") is True):
        yield failed("busy", "busy", f"{now.busy} is under way")


def _evidence(
    asked: Asked, proposal: Proposal, now: Situation, rules: Rules
) -> Iterator[Check]:
    """Check engine, evidence and age; a person who accepts stands for the age."""
    yield from engine_checked(now.engine, rules.settings, now.now_ns)
    yield from evidence_checked(proposal, now.engine, rules.settings, now.now_ns)
    if asked.by == "rule":
        yield from age_checked(proposal, rules.settings, now.now_ns)


def _readback(now: Situation, rules: Rules) -> Check:
    if not rules.connected:
        return passed("readback", "not checked: there is no instrument")
    if now.unreadable:
        return failed("readback", "no_readback", now.unreadable)
    if now.readback is None:
        text = "the instrument has not said yet what it is set to"
        return failed("readback", "no_readback", text)
    return passed("readback", "the instrument says what it is set to")


def _each(
    calls: tuple[Call, ...], by: By, now: Situation, rules: Rules
) -> tuple[tuple[Call, ...], list[Check]]:
    """Check what a plan consists of, as if each had been asked for by itself."""
    exact: list[Call] = []
    checks: list[Check] = []
    for call in calls:
        if any(call.action == one.action for one in exact):
            text = f"plan: {call.action} comes twice in it"
            checks.append(failed("rate", "rate", text))
        try:
            one = Call(call.action, checked(call.action, call.fields))
        except RefusedError as error:
            checks.append(failed("plan", "plan", f"plan: {error}"))
            continue
        exact.append(one)
        checks += _offered(one, rules) if blanks(one) else _call(one, by, now, rules)
    return tuple(exact), checks


def _call(call: Call, by: By, now: Situation, rules: Rules) -> Iterator[Check]:
    """Check one call: offered, limits, values, how often, and whether it unblanks."""
    yield from _offered(call, rules)
    if call.action == "blank":
        yield _unblank(by, rules)
        if by == "unblank":
            return
    limits = rules.settings.limits.get(call.action)
    if limits is None:
        text = f"{call.action} has no limits: [control.limits.{call.action}] is missing"
        yield failed("limits", "no_limits", text)
        return
    yield passed("limits", f"{call.action} has limits")
    yield from values_checked(
        call, limits, now.readback, now.start, connected=rules.connected
    )
    yield _rate(call.action, limits.every_s, now)


def _offered(call: Call, rules: Rules) -> Iterator[Check]:
    if not rules.connected:
        yield passed("offered", "not checked: there is no instrument")
    elif call.action in rules.actions:
        yield passed("offered", f"the instrument can do {call.action}")
    else:
        able = ", ".join(sorted(rules.actions)) or "nothing"
        text = f"the instrument cannot do {call.action} (it can: {able})"
        yield failed("offered", "not_offered", text)


def _unblank(by: By, rules: Rules) -> Check:
    if by == "unblank":
        return passed("unblank", "a person asked to unblank")
    if by == "person":
        text = "the beam is let on by 'unblank', not by a command"
        return failed("unblank", "unblank_forbidden", text)
    if rules.settings.may_unblank:
        return passed("unblank", "may_unblank = true")
    text = "may_unblank = false: only a person lets the beam on"
    return failed("unblank", "unblank_forbidden", text)


def _rate(action: str, every_s: float, now: Situation) -> Check:
    last = now.sent_ns.get(action)
    if last is None:
        return passed("rate", f"{action} was not sent before")
    since_s = (now.now_ns - last) / 1e9
    if since_s >= every_s:
        text = f"{action} was sent {since_s:.3f} s ago, every_s = {every_s:g}"
        return passed("rate", text)
    text = f"{action} was sent {since_s:.3f} s ago: less than every_s = {every_s:g}"
    return failed("rate", "rate", text)


def _planned(
    call: Call, now: Situation, rules: Rules
) -> tuple[tuple[Call, ...], list[Check]]:
    if rules.plan is None or now.readback is None:
        return (call,), []
    try:
        calls = tuple(rules.plan(call, now.readback))
    except RefusedError as error:
        return (call,), [failed("plan", "plan", str(error))]
    except Exception as error:  # noqa: BLE001 - third-party code; it must not end us
        text = f"planning {call.action} failed: {type(error).__name__}: {error}"
        return (call,), [failed("plan", "plan", text)]
    if not 1 <= len(calls) <= MAX_CALLS:
        text = f"{call.action} would take {len(calls)} calls, not 1 to {MAX_CALLS}"
        return (call,), [failed("plan", "plan", text)]
    names = ", ".join(one.action for one in calls)
    return calls, [passed("plan", f"{call.action} is done by {names}")]


def _dose(calls: tuple[Call, ...], now: Situation, rules: Rules) -> Iterator[Check]:
    if rules.dose is None:
        return
    if why := rules.dose.may(calls, now.now_ns):
        cause = "no_dose_calibration" if rules.dose.lacking else "budget"
        yield failed("dose", cause, why)
    else:
        yield passed("dose", "the dose budget allows it")

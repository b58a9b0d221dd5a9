"""What people see of the guard, on the page and by the command line."""

from __future__ import annotations

from typing import Any

from scopeside.control import records
from scopeside.control.known import Known


def overview(known: Known, now_ns: int, *, silent: bool) -> dict[str, Any]:
    """Return plain values, for JSON."""
    flight, blanking = known.flight, known.blanking
    rules, engine = known.rules, known.engine
    return {
        **known.standing.status(),
        "ended": known.ended,
        "connected": rules.connected,
        "actions": sorted(rules.actions),
        "limited": sorted(rules.settings.limits),
        "limits": {
            action: limits.model_dump()
            for action, limits in rules.settings.limits.items()
        },
        "engine": {
            "epoch": engine.epoch,
            "degraded": list(engine.degraded),
            "heard_ns": engine.heard_ns or None,
            "silent": silent,
        },
        "under_way": None
        if flight is None
        else {
            "id": flight.id,
            "action": flight.action,
            "since_ns": flight.sent_ns,
            "overdue": flight.overdue,
        },
        "blanking": {
            "wanted": blanking.wanted,
            "tried": blanking.tried,
            "failed": blanking.failed,
        },
        "readback": records.read(known.readings.last),
        "unreadable": known.readings.lacking(now_ns) if rules.connected else "",
        "waiting": known.waiting.status(),
        "last": list(known.last),
        "counts": dict(known.counts),
        "dose": None if rules.dose is None else dict(rules.dose.status(now_ns)),
    }

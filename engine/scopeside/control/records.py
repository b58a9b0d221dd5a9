"""Bodies of the records that the guard has written into the audit log."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from scopeside.control.case import Verdict
from scopeside.control.evidence import MS
from scopeside.control.instrument import Call, Readback
from scopeside.control.proposal import Proposal

MAX_REFUSED = 8192
"""Characters of JSON that a refused proposal may take in the log."""


def decision(
    proposal: Mapping[str, Any],
    mode: str,
    ruled: Mapping[str, Any],
    calls: Iterable[Call],
    readback: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what follows from results, read-backs and settings alone."""
    return {
        "proposal": _kept(proposal, ruled["state"]),
        "mode": mode,
        "verdict": dict(ruled),
        "calls": calls_of(calls),
        "readback": plain(readback),
    }


def verdict(state: str, cause: str, reason: str, checked: Verdict) -> dict[str, Any]:
    """Return a verdict as it is written down."""
    return {
        "state": state,
        "cause": cause,
        "reason": reason,
        "checks": [check.to_dict() for check in checked.checks],
    }


def calls_of(calls: Iterable[Call]) -> list[dict[str, Any]]:
    """Return calls as plain values."""
    return [{"action": one.action, "fields": dict(one.fields)} for one in calls]


def latencies(proposal: Proposal, now_ns: int) -> dict[str, float]:
    """Return how long it took until the verdict, ms of the wall clock."""
    return {
        "frame_to_proposal": (proposal.created_ns - proposal.evidence.t_frame_ns) / MS,
        "proposal_to_verdict": (now_ns - proposal.created_ns) / MS,
    }


def read(readback: Readback | None) -> dict[str, Any] | None:
    """Return a read-back as it is written down."""
    if readback is None:
        return None
    return {"t_ns": readback.t_ns, "values": plain(readback.values)}


def found(values: Any) -> dict[str, Any]:
    """Return as much of what could not be read as a person needs to see what it was."""
    try:
        text = ascii(values)
    except (ValueError, RecursionError) as error:
        text = f"cannot be shown: {type(error).__name__}"
    return {"unreadable": text[:500], "characters": len(text)}


def plain(value: Any) -> Any:
    """Return plain values for JSON, which knows neither NaN nor objects."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return ascii(value)[:200]


def _kept(proposal: Mapping[str, Any], state: str) -> Any:
    if state != "refused":
        return plain(proposal)
    shown = plain(proposal)
    text = json.dumps(shown, ensure_ascii=True)
    if len(text) <= MAX_REFUSED:
        return shown
    return {
        "id": shown.get("id", ""),
        "action": shown.get("action", ""),
        "rule": shown.get("rule", ""),
        "unreadable": text[:500],
        "characters": len(text),
    }

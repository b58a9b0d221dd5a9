"""What tabs are told of the guard: its status, with the words for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from scopeside.control.audit_read import values_of
from scopeside.control.audit_words import amount, call_in_words, joined, printable
from scopeside.control.guard_words import (
    REMEDIES,
    dose_in_words,
    limits_in_words,
    parked_in_words,
    trouble_in_words,
)
from scopeside.dashboard.insitu import about_acquisition
from scopeside.dashboard.words.guard import WELL_AGAIN

_TROUBLES = ("under_way", "blanking", "unreadable", "unwritten")
_NEGATIVE = re.compile(r"(?<![^\s(\[=…≤±])-(?=\d)")
_BEGAN = "started_ns"
_MOST_VALUES = 40
_MOST_LINES = 40


def told_of_guard(
    status: Mapping[str, Any], engine: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the guard's status as tabs show it; times in ms since 1970 UTC.

    `engine`: its own status, which knows when acquisitions began.
    """
    dose, readback = status.get("dose"), status.get("readback")
    limits = limits_in_words(status.get("limits", status.get("limited")))
    return {
        "mode": printable(status.get("mode", "?"), 20),
        "ceiling": printable(status.get("ceiling", "?"), 20),
        "ended": status.get("ended") is True,
        "connected": status.get("connected") is not False,
        "armed_until_ms": _ms(status.get("armed_until_ns")),
        "armed_by": printable(status.get("armed_by") or "", 60),
        "parked": _parked(status.get("parked"), status.get("engine")),
        "troubles": [
            with_minus(f"{name.replace('_', ' ')}: {text}")
            for name in _TROUBLES
            if (text := trouble_in_words(status.get(name)))
        ],
        "degraded": _degraded(status.get("engine")),
        "waiting": [
            waiting_told(one, engine or {}) for one in tables(status.get("waiting"))
        ],
        "limits": [with_minus(line.strip()) for line in limits if line != "Limits:"][
            :_MOST_LINES
        ],
        "dose": {**dose, "words": with_minus(dose_in_words(dose))}
        if isinstance(dose, Mapping)
        else None,
        "readback": _readback(readback),
        "unreadable": printable(status.get("unreadable") or "", 300),
        "audit": printable(status.get("audit", ""), 300),
    }


def verdicts_told(status: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the last verdicts, newest first."""
    return [
        {
            "id": printable(one.get("id", ""), 200),
            "words": with_minus(printable(one.get("call") or one.get("action", ""))),
            "state": printable(one.get("state", ""), 20),
            "cause": printable(one.get("cause", ""), 40),
            "reason": with_minus(printable(one.get("reason", ""))),
            "t_ms": _ms(one.get("t_ns")),
        }
        for one in reversed(tables(status.get("last")))
    ]


def waiting_told(one: Mapping[str, Any], engine: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a person has to see of a proposal that waits."""
    confidence = one.get("confidence")
    return {
        "id": str(one.get("id", "")),
        "words": with_minus(call_in_words(one)),
        "rule": printable(one.get("rule", "?"), 60),
        "why": with_minus(printable(one.get("why", ""))),
        "acquisition": printable(one.get("acquisition", "?"), 100),
        "began_ms": _ms(
            about_acquisition(engine, str(one.get("acquisition"))).get(_BEGAN)
        ),
        "frame": one.get("frame"),
        "confidence": confidence if isinstance(confidence, int | float) else None,
        "t_frame_ms": _ms(one.get("t_frame_ns")),
        "until_ms": _ms(one.get("until_ns")),
    }


def with_minus(text: str) -> str:
    """Return a text whose negative numbers have a minus, as they have on the page."""
    return _NEGATIVE.sub("−", text)


def tables(value: Any) -> list[Mapping[str, Any]]:
    """Return the tables of a list; what else stands there is left out."""
    found = value if isinstance(value, list) else []
    return [one for one in found if isinstance(one, Mapping)]


def _parked(parked: Any, engine: Any) -> dict[str, Any] | None:
    if not parked:
        return None
    cause = str(parked.get("cause", "")) if isinstance(parked, Mapping) else ""
    return {
        "cause": printable(cause, 40),
        "words": with_minus(parked_in_words(parked)),
        "remedy": _remedy(cause, engine),
        "since_ms": _ms(parked.get("since_ns"))
        if isinstance(parked, Mapping)
        else None,
    }


def _remedy(cause: str, engine: Any) -> str:
    """Return what a person can do now: there may be nothing left to look for."""
    if cause == "silence" and isinstance(engine, Mapping) and not _degraded(engine):
        return f"{WELL_AGAIN[0].upper()}{WELL_AGAIN[1:]}."
    return REMEDIES.get(cause, "See why; then advise or arm.")


def _degraded(engine: Any) -> str:
    """Return what keeps the guard from believing the engine; empty: nothing."""
    if not isinstance(engine, Mapping):
        return ""
    names = engine.get("degraded")
    names = names if isinstance(names, list) else []
    silent = "the engine is not heard" if engine.get("silent") else ""
    down = ", ".join(printable(name, 40) for name in names[:10])
    return joined([silent, f"does not run: {down}" if down else ""])


def _readback(readback: Any) -> dict[str, Any] | None:
    values = values_of(readback)
    if not isinstance(values, Mapping) or not values:
        return None
    t_ns = readback.get("t_ns") if isinstance(readback, Mapping) else None
    shown = list(values.items())[:_MOST_VALUES]
    return {
        "t_ms": _ms(t_ns),
        "values": [
            with_minus(amount(str(name), value)).split(" = ", 1)
            for name, value in shown
        ],
    }


def _ms(t_ns: Any) -> float | None:
    return t_ns / 1e6 if type(t_ns) is int else None

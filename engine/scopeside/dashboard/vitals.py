"""What the health view shows: the engine's state in tables, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scopeside.dashboard.machine import Use
from scopeside.dashboard.words.frames import behind
from scopeside.dashboard.words.given import at, count, number, table, tables, text
from scopeside.dashboard.words.losses import loss
from scopeside.dashboard.words.sentence import Now

MOST_ENDED = 20
"""Acquisitions that are over and are shown, newest first."""


def vitals(
    now: Now, uses: Mapping[int, Use], heard_ms: Mapping[str, float]
) -> dict[str, Any]:
    """Return all tables.

    Parameters
    ----------
    heard_ms
        By chain, when its newest result came, ms since 1970 UTC.
    """
    status = now.status
    return {
        "pipeline": text(status, "pipeline"),
        "folder": text(status, "folder"),
        "phase": text(status, "phase"),
        "seconds": number(status, "seconds"),
        "servers": dict(table(status, "servers")),
        "rates": dict(table(status, "rates")),
        "slab": {
            **table(status, "slab"),
            "waits_share": round(now.rates.blocked_share(), 3),
        },
        "edges": [edge_of(now, name, heard_ms) for name in table(status, "edges")],
        "losses": losses(now),
        "rejected": dict(table(status, "rejected")),
        "processes": [_process(now, one, uses) for one in tables(status, "processes")],
        "record": {
            key: value
            for key, value in table(status, "record").items()
            if key != "folders"
        },
        "channels": [
            {"name": name, **table(status, "channels", name)}
            for name in table(status, "channels")
        ],
        "latency_ms": dict(table(status, "latency_ms")),
        "open": [acquisition(*one) for one in table(status, "open").items()],
        "ended": [acquisition(*one) for one in _last(table(status, "acquisitions"))],
        "notes": tables(status, "notes")[::-1],
    }


def edge_of(now: Now, name: str, heard_ms: Mapping[str, float]) -> dict[str, Any]:
    """Return a row on one edge."""
    account = table(now.status, "edges", name)
    queue = table(now.status, "queues", name)
    lost_per_s = {
        cause: round(now.rates.lost_per_s((name, outcome, cause)), 1)
        for outcome in ("dropped", "failed")
        for cause in table(account, outcome)
    }
    behind_s = behind(now, name)
    return {
        "name": name,
        "announced": count(account, "announced"),
        "processed": count(account, "processed"),
        "in_flight": count(account, "in_flight"),
        "processed_per_s": round(now.rates.processed_per_s(name), 1),
        "lost_per_s": {cause: n for cause, n in lost_per_s.items() if n},
        "curve": list(now.rates.curves.get(name, ())),
        "queued": at(queue, "queued"),
        "held": at(queue, "held"),
        "workers": at(queue, "workers"),
        "degraded": bool(at(queue, "degraded")),
        "behind_s": None if behind_s is None else round(behind_s, 2),
        "result_ms": heard_ms.get(name),
    }


def losses(now: Now) -> list[dict[str, Any]]:
    """Return a row for each cause on each edge, with what it means."""
    new = now.rates.new()
    found = []
    for (edge, outcome, cause), n in sorted(now.rates.lost().items()):
        what = loss(outcome, cause)
        if n:
            found.append({
                "edge": edge,
                "outcome": outcome,
                "cause": cause,
                "frames": n,
                "new": new.get((edge, outcome, cause), 0),
                "level": what.level,
                "why": what.why,
                "what_to_do": what.what_to_do,
            })  # fmt: skip
    found.sort(key=lambda row: ("bad", "warn", "ok").index(row["level"]))
    return found


def acquisition(name: str, one: Any) -> dict[str, Any]:
    """Return a row on one acquisition."""
    missing = table(one, "ingest", "missing")
    edges = table(one, "edges")
    return {
        "id": name,
        "kind": text(one, "acquisition", "kind"),
        "detector": text(one, "acquisition", "detector"),
        "state": text(one, "state"),
        "reason": text(one, "reason"),
        "started_ms": number(one, "acquisition", "started_ns") / 1e6 or None,
        "frames": at(one, "acquisition", "frames"),
        "received": count(one, "ingest", "received"),
        "missing": sum(count(missing, cause) for cause in missing),
        "processed": {edge: count(edges, edge, "processed") for edge in edges},
        "closed": at(one, "closed"),
    }


def _last(ended: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, ended[name]) for name in list(ended)[-MOST_ENDED:]][::-1]


def _process(now: Now, one: Mapping[str, Any], uses: Mapping[int, Use]) -> Any:
    name, use = text(one, "name"), uses.get(count(one, "pid"))
    restarted_s = now.rates.restarted_s.get(name)
    return {
        "name": name,
        "role": text(one, "role"),
        "pid": at(one, "pid"),
        "state": text(one, "state"),
        "alive": bool(at(one, "alive")),
        "device": at(one, "device"),
        "restarts": count(now.status, "restarts", name),
        "restarted_ago_s": None if restarted_s is None else now.now_s - restarted_s,
        "cpu_share": None if use is None else use.cpu_share,
        "resident_bytes": None if use is None else use.resident_bytes,
        **{key: number(now.status, "stages", name, key) for key in _STAGES},
    }


_STAGES = ("busy_s", "blocked_s", "starved_s")

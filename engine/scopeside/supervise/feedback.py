"""How feedback is, as plain values: what the status and the report say of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scopeside.latency import Latencies
from scopeside.supervise.member import Member, State

SHOWN = (
    "mode",
    "parked",
    "armed_until_ns",
    "connected",
    "unreadable",
    "waiting",
    "counts",
    "dose",
    "audit",
    "unwritten",
)
"""Of what the guard says; all of it: ``scopeside guard --json``."""


def control_status(members: Mapping[str, Member]) -> dict[str, Any]:
    """Return what the guard says of itself; see docs/status.md for the keys."""
    guard = members.get("guard")
    if guard is None:
        return {}
    said = guard.board.read().get("control", {})
    found = {key: said[key] for key in SHOWN if key in said}
    if guard.state is State.DEGRADED:
        found["mode"] = "lost"
    return found


def command_latencies(members: Mapping[str, Member]) -> Latencies:
    """Return the ages of frames when the commands that stand on them were sent."""
    guard = members.get("guard")
    said = {} if guard is None else guard.board.read()
    return Latencies(said.get("command_latencies", {}))

"""Records as the guard writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scopeside.control.audit import AuditLog

T = 1_790_000_000_000_000_000
MS = 1_000_000


def proposal(name: str, state: str = "sent", cause: str = "", **more: Any) -> Any:
    """The body of a proposal's record."""
    text = f"{cause}: so it is" if cause else ""
    verdict = {
        "state": state,
        "cause": cause,
        "reason": text,
        "checks": [
            {"check": "age", "ok": True, "cause": "", "text": "12 ms old"},
            {"check": "step", "ok": not cause, "cause": cause, "text": text or "ok"},
        ],
    }
    calls = [{"action": "set_image_shift", "fields": {"x_m": 1.2e-9, "y_m": -3e-10}}]
    asked = {
        "id": name,
        "action": "set_view_offset",
        "fields": {"x_m": 1.2e-9, "y_m": -3e-10},
        "rule": "hold_still",
        "evidence": {
            "acquisition": "acq7",
            "epoch": 1,
            "first": 40,
            "frame": 42,
            "t_frame_ns": T - 20 * MS,
            "sources": [
                {
                    "chain": "movie",
                    "processor": "drift",
                    "name": "shift",
                    "digest": "ab12",
                    "params": 3,
                }
            ],
            "confidence": 0.93,
            "valid": True,
            "reason": "",
            "missed": 0,
        },
        "created_ns": T - 8 * MS,
        "deadline_ns": T + 992 * MS,
        "why": "the specimen has drifted by 1.2 nm",
        **more,
    }
    return {
        "decision": {
            "proposal": asked,
            "mode": "armed",
            "verdict": verdict,
            "calls": [] if cause else calls,
            "readback": {"view_offset_x_m": 0.0, "view_offset_y_m": 0.0},
        },
        "latency_ms": {"frame_to_proposal": 12.0, "proposal_to_verdict": 0.5},
    }


def answer(name: str, ok: bool = True, reason: str = "") -> dict[str, Any]:
    """The body of an answer's record."""
    return {
        "id": name,
        "ok": ok,
        "reason": reason,
        "answer": {"moved": True} if ok else {},
        "readback": {"view_offset_x_m": 1.21e-9, "view_offset_y_m": -3e-10},
        "latency_ms": {"sent_to_answer": 4.0, "frame_to_command": 13.25},
    }


def session(path: Path) -> Path:
    """A log with one of each."""
    with AuditLog.open(path) as log:
        say = log.append
        say("event", {"what": "started", "reason": "mode = armed"}, T - 5000 * MS)
        arm = {"who": "anna@tem", "ask": "arm", "seconds": 600}
        say("request", {**arm, "state": "done", "reason": ""}, T - 900 * MS)
        say("proposal", proposal("acq7/hold_still/42/0"), T)
        say("answer", answer("acq7/hold_still/42/0"), T + 5 * MS)
        say("proposal", proposal("acq7/hold_still/43/0", "refused", "step"), T + 9 * MS)
        body = proposal("acq7/hold_still/44/0", "waiting")
        say("proposal", body, T + 20 * MS)
        yes = {"who": "anna@tem", "ask": "accept", "id": "acq7/hold_still/44/0"}
        again = {"checks": [{"check": "step", "ok": True, "cause": "", "text": "ok"}]}
        again |= {"calls": body["decision"]["calls"]}
        say("request", {**yes, "state": "sent", "reason": "", **again}, T + 4000 * MS)
        failed = answer("acq7/hold_still/44/0", False, "the stage did not arrive")
        say("answer", failed, T + 4100 * MS)
        parked = {"what": "parked", "reason": "instrument: the stage did not arrive"}
        say("event", parked, T + 4100 * MS)
        say("proposal", proposal("x", "refused", "parked", rule="visit"), T + 4200 * MS)
    return path

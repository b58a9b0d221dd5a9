"""What can be said of a running engine at this moment, as plain values.

Everything that shows the engine reads this: the progress view, ``scopeside status``,
the metrics, and the report at the end.
"""

from __future__ import annotations

import time
from typing import Any

from scopeside.latency import Latencies
from scopeside.ledger import Account
from scopeside.record.settings import EDGE
from scopeside.security.bulk import plaintext_notes
from scopeside.supervise.channels import channel_status
from scopeside.supervise.engine import Engine
from scopeside.supervise.feedback import command_latencies, control_status
from scopeside.supervise.member import Member
from scopeside.supervise.recording import record_status

MAX_NOTES = 50
"""Notes that the status has; the report has more."""


class Watch:
    """Reads the boards of an engine; remembers what ended processes had counted."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        channels = [channel.params for channel in engine.pipeline.channels]
        self._plaintext = plaintext_notes([engine.pipeline.detector_params, *channels])
        self._rate = _Rate()
        self._latencies = Latencies()
        self._latencies_of: tuple[int, Latencies] = (0, Latencies())

    def status(self, ended: int | None = None) -> dict[str, Any]:
        """Return the state of everything; see docs/status.md for the keys.

        `ended`: so many acquisitions that are over, the last ones; None: all that are
        kept, which after a long day takes a fifth of a second to send.
        """
        engine = self._engine
        adapter = engine.members["adapter"].board.read()
        open_ones = {
            name: values
            for name, values in adapter.get("open", {}).items()
            if name not in engine.books
        }
        frames, received = engine.books.received(open_ones)
        self._rate.see(time.monotonic(), frames, received)
        edges = engine.books.accounts(open_ones)
        for chain in engine.pipeline.chains:
            edges.setdefault(chain.name, Account())
        if engine.pipeline.record is not None:
            edges.setdefault(EDGE, Account())
        return {
            "pipeline": engine.pipeline.source,
            "folder": str(engine.folder.path),
            "phase": engine.phase.value,
            "seconds": round(time.monotonic() - engine.began, 3),
            "servers": dict(engine.servers),
            "plaintext": self._plaintext,
            "processes": [_process(member) for member in engine.members.values()],
            "restarts": {
                name: member.budget.total for name, member in engine.members.items()
            },
            "slab": {
                "slots": adapter.get("slots", 0),
                "in_use": adapter.get("slots_in_use", 0),
                "bytes": engine.pipeline.slab.mib << 20,
            },
            "rates": {
                "frames": frames,
                "bytes": received,
                "frames_per_s": round(self._rate.frames_per_s, 1),
                "gb_per_s": round(self._rate.bytes_per_s / 1e9, 4),
            },
            "stages": self._stages(),
            "queues": adapter.get("queues", {}),
            "rejected": adapter.get("rejected", {}),
            "edges": {name: account.to_dict() for name, account in edges.items()},
            "channels": channel_status(
                engine.pipeline.channels, engine.members, engine.books
            ),
            "params": engine.parameters.status(),
            "open": open_ones,
            "acquisitions": {
                book.id: book.to_dict() for book in engine.books.newest(ended)
            },
            "control": control_status(engine.members),
            "record": record_status(engine.members, engine.recording),
            "latency_ms": self._latencies_ms(),
            "notes": _notes(engine),
        }

    def _latencies_ms(self) -> dict[str, Any]:
        found = {"frame_to_result": self.latencies().summary_ms()}
        if self._engine.pipeline.control is not None:
            commands = command_latencies(self._engine.members)
            found["frame_to_command"] = commands.summary_ms()
        return found

    def running_for(self) -> float:
        """Return for how long frames have been asked for, s."""
        engine = self._engine
        return 0.0 if engine.went is None else time.monotonic() - engine.went

    def latencies(self) -> Latencies:
        """Return the ages of frames at their results, over all collectors so far."""
        said = self._engine.members["collector"].board.read()
        incarnation = said.get("incarnation", 0)
        known, last = self._latencies_of
        if incarnation != known:
            self._latencies.merge(last)
        self._latencies_of = (incarnation, Latencies(said.get("latencies", {})))
        both = Latencies(self._latencies.counts)
        both.merge(self._latencies_of[1])
        return both

    def _stages(self) -> dict[str, dict[str, float]]:
        """Return seconds busy, starved (of input) and blocked (by output)."""
        now = time.monotonic()
        stages: dict[str, dict[str, float]] = {}
        for name, member in self._engine.members.items():
            said = member.board.read()
            up = max(0.0, now - member.began) if member.began else 0.0
            busy = said.get("busy_ns", 0) / 1e9
            blocked = said.get("blocked_ns", 0) / 1e9
            stages[name] = {
                "busy_s": round(busy, 3),
                "blocked_s": round(blocked, 3),
                "starved_s": round(max(0.0, up - busy - blocked), 3),
            }
        return stages


class _Rate:
    """Frames and bytes a second over the last few seconds."""

    def __init__(self, window_s: float = 2.0) -> None:
        self._window_s = window_s
        self._seen: list[tuple[float, int, int]] = []
        self.frames_per_s = 0.0
        self.bytes_per_s = 0.0

    def see(self, now: float, frames: int, received: int) -> None:
        """Take note of the counts at this time."""
        if self._seen and frames < self._seen[-1][1]:
            self._seen.clear()  # a new adapter process counts from 0
        self._seen.append((now, frames, received))
        while len(self._seen) > 1 and now - self._seen[1][0] >= self._window_s:
            self._seen.pop(0)
        began, frames_then, bytes_then = self._seen[0]
        passed = now - began
        if passed > 0:
            self.frames_per_s = (frames - frames_then) / passed
            self.bytes_per_s = (received - bytes_then) / passed


def _process(member: Member) -> dict[str, Any]:
    return {
        "role": member.spec.role,
        "name": member.name,
        "pid": member.process.pid if member.process is not None else None,
        "state": member.state.value,
        "alive": member.alive,
        "incarnation": member.spec.incarnation,
        "device": member.board.read().get("device"),
    }


def _notes(engine: Engine) -> list[dict[str, Any]]:
    """Return what the operator was told last."""
    last = list(engine.notes)[-MAX_NOTES:]
    return [
        {"t_ns": int(t_s * 1e9), "from": who, "text": text} for t_s, who, text in last
    ]

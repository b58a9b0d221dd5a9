"""The accounts of the acquisitions that are open in an adapter process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from scopeside.acquisition import Acquisition
from scopeside.changes import Change
from scopeside.ingest.news import Ended
from scopeside.ledger import Account, FrameRanges, Run

MAX_RUNS = 1000
"""Runs of frames that are listed; beyond, only their number is told. Also the last
versions of a processor's parameters."""


@dataclass(slots=True)
class Ingest:
    """What came in, before any edge."""

    received: FrameRanges = field(default_factory=FrameRanges)
    events: int = 0
    missing: FrameRanges = field(default_factory=FrameRanges)
    lost: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    scan: dict[str, int] = field(default_factory=dict)
    """Where the frames fell, once it has ended: see `Scan.account`."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for messages and reports."""
        return {
            "received": len(self.received),
            "received_runs": self.received.runs(MAX_RUNS),
            "events": self.events,
            "missing": dict(self.lost),
            "missing_runs": self.missing.runs(MAX_RUNS),
            "rejected": dict(self.rejected),
            "scan": self.scan,
        }


class OpenAcquisition:
    """One acquisition: its frames on every edge, until the last one has ended."""

    def __init__(
        self,
        acquisition: Acquisition,
        edges: Iterable[str],
        began_with: Iterable[Change] = (),
    ) -> None:
        self.acquisition = acquisition
        self.began_with = list(began_with)
        self.changes: list[Change] = []
        self.ingest = Ingest()
        self.edges = {name: Account() for name in edges}
        self.ended: Ended | None = None
        self.newest_ns: int | None = None
        """Time stamp of its newest frame; None: none has come."""
        self.announced_end = False
        self.announced_drained = False

    def receive(self, runs: Iterable[Run], n: int, events: int = 0) -> None:
        """Announce frames that lie in the slab."""
        self.ingest.events += events
        for first, last in runs:
            self.ingest.received.add(first, last)
        for account in self.edges.values():
            account.announced += n

    def miss(self, first: int, last: int, cause: str) -> None:
        """Announce frames that will not come, as dropped on every edge."""
        n = self.ingest.missing.add(first, last)
        self.ingest.lost[cause] += n
        for account in self.edges.values():
            account.announced += n
            account.dropped[cause] += n

    def end(self, ended: Ended) -> list[Run]:
        """Take note of the end; return frames that were promised and never came."""
        known = FrameRanges([*self.ingest.received, *self.ingest.missing])
        promised = max(known.highest + 1, ended.total or 0)
        if ended.state == "complete" and self.acquisition.frames is not None:
            promised = max(promised, self.acquisition.frames)
        missing = list(known.holes(0, promised - 1))
        for first, last in missing:
            self.miss(first, last, "missing")
        self.ended = ended
        if self.acquisition.scan is not None:
            self.ingest.scan = self.acquisition.scan.account(self.ingest.received)
        return missing

    @property
    def off_the_scan(self) -> str:
        """What to tell of frames beyond or short of the scan; empty if none."""
        found = self.ingest.scan
        said = []
        whole = self.ended is not None and self.ended.state == "complete"
        if whole and (short := found.get("short", 0)):
            said.append(f"{short} of {found['positions']} positions have no frame")
        if before := found.get("before", 0):
            said.append(f"{before} frames came before the first position")
        if beyond := found.get("beyond", 0):
            said.append(f"{beyond} frames came beyond the end of the scan")
        return "; ".join(said)

    @property
    def state(self) -> str:
        """``running``, ``complete``, ``incomplete``, ``stopped`` or ``failed``."""
        if self.ended is None:
            return "running"
        if self.ended.state == "complete" and self.ingest.lost:
            return "incomplete"
        return self.ended.state

    def drained(self, except_for: str) -> bool:
        """Whether it has ended and all edges but one have seen all its frames."""
        return self.ended is not None and all(
            account.closed for name, account in self.edges.items() if name != except_for
        )

    @property
    def settled(self) -> bool:
        """Whether it has ended and no frame of it is in flight."""
        return self.ended is not None and all(
            account.closed for account in self.edges.values()
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for messages, the board and reports."""
        return {
            "acquisition": self.acquisition.to_dict(),
            "state": self.state,
            "reason": self.ended.reason if self.ended else "",
            "ingest": self.ingest.to_dict(),
            "edges": {name: account.to_dict() for name, account in self.edges.items()},
            "params": self._versions(),
        }

    def _versions(self) -> dict[str, list[list[int]]]:
        """Return [version, first frame] of each processor whose parameters changed."""
        found: dict[str, list[list[int]]] = {}
        for change in [*self.began_with, *self.changes]:
            since = change.frame_in(self.acquisition.id)
            found.setdefault(change.name, []).append([change.version, since])
        return {name: versions[-MAX_RUNS:] for name, versions in found.items()}

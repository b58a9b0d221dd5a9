"""How fast things go, from one status to the next."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scopeside.dashboard.words.given import count, number, table

RATE_S = 5.0
"""Rates are those of so many seconds."""
NEW_S = 60.0
"""What was lost within this time is new."""
STEP_S = 2.0
STEPS = 60
"""Of the curve of a rate: two minutes."""

Lost = dict[tuple[str, str, str], int]
"""Frames by edge, outcome (``dropped``, ``failed``) and cause."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What had been counted at one time; `processed` by edge."""

    t_s: float
    frames: int
    processed: Mapping[str, int]
    lost: Lost
    blocked_s: float


class Rates:
    """Remembers the counts of the last minute; one for each engine.

    Attributes
    ----------
    quiet_since_s
        When the number of frames received has changed last.
    full_since_s
        Since when the memory for frames is full; None if it is not.
    restarted_s
        By process, when it was seen to be restarted last.
    curves
        By edge, frames processed a second, one value each `STEP_S`, newest last.
    """

    def __init__(self) -> None:
        self.quiet_since_s = 0.0
        self.full_since_s: float | None = None
        self.restarted_s: dict[str, float] = {}
        self.curves: dict[str, deque[float]] = {}
        self._seen: deque[Seen] = deque()
        self._restarts: dict[str, int] = {}
        self._stepped: Seen | None = None

    def see(self, status: Mapping[str, Any], now_s: float) -> None:
        """Take note of a status; `now_s` never goes back."""
        seen = _seen(status, now_s)
        if not self._seen:
            began = Seen(now_s - number(status, "seconds"), 0, {}, {}, 0.0)
            # Of an engine that began within the last minute all losses are new.
            self._seen.append(began if now_s - began.t_s < NEW_S else seen)
            self._stepped = seen
        if seen.frames != self._seen[-1].frames or not self.quiet_since_s:
            self.quiet_since_s = now_s
        self._seen.append(seen)
        while len(self._seen) > 2 and now_s - self._seen[1].t_s >= NEW_S:
            self._seen.popleft()
        self._step(seen)
        self._see_full(status, now_s)
        self._see_restarts(status, now_s)

    def processed_per_s(self, edge: str) -> float:
        """Return frames that an edge has processed a second, lately."""
        return self._per_s(lambda seen: seen.processed.get(edge, 0))

    def lost_per_s(self, key: tuple[str, str, str]) -> float:
        """Return frames that were lost a second, lately."""
        return self._per_s(lambda seen: seen.lost.get(key, 0))

    def blocked_share(self) -> float:
        """Return the part of the last seconds that the detector was made to wait."""
        return min(1.0, self._per_s(lambda seen: seen.blocked_s))

    def new(self) -> Lost:
        """Return what was lost within the last minute."""
        if not self._seen:
            return {}
        then, now = self._seen[0].lost, self._seen[-1].lost
        grown = {key: n - then.get(key, 0) for key, n in now.items()}
        return {key: n for key, n in grown.items() if n > 0}

    def lost(self) -> Lost:
        """Return all that was lost."""
        return dict(self._seen[-1].lost) if self._seen else {}

    # ---------------------------------------------------------------------------

    def _per_s(self, counted: Any) -> float:
        if len(self._seen) < 2:
            return 0.0
        now = self._seen[-1]
        then = next(one for one in self._seen if now.t_s - one.t_s <= RATE_S)
        if then is now:
            then = self._seen[-2]
        passed = now.t_s - then.t_s
        grown = counted(now) - counted(then)
        return max(0.0, grown / passed) if passed > 0 else 0.0

    def _step(self, seen: Seen) -> None:
        assert self._stepped is not None
        passed = seen.t_s - self._stepped.t_s
        if passed < STEP_S:
            return
        for edge, processed in seen.processed.items():
            grown = processed - self._stepped.processed.get(edge, 0)
            curve = self.curves.setdefault(edge, deque(maxlen=STEPS))
            curve.append(round(max(0.0, grown / passed), 1))
        self._stepped = seen

    def _see_full(self, status: Mapping[str, Any], now_s: float) -> None:
        slots = count(status, "slab", "slots")
        if not slots or count(status, "slab", "in_use") < slots:
            self.full_since_s = None
        elif self.full_since_s is None:
            self.full_since_s = now_s

    def _see_restarts(self, status: Mapping[str, Any], now_s: float) -> None:
        known = bool(self._restarts)
        for name in table(status, "restarts"):
            n = count(status, "restarts", name)
            if known and n > self._restarts.get(name, 0):
                self.restarted_s[name] = now_s
            self._restarts[name] = n


def _seen(status: Mapping[str, Any], now_s: float) -> Seen:
    edges = table(status, "edges")
    return Seen(
        now_s,
        count(status, "rates", "frames"),
        {name: count(account, "processed") for name, account in edges.items()},
        {
            (edge, outcome, cause): count(account, outcome, cause)
            for edge, account in edges.items()
            for outcome in ("dropped", "failed")
            for cause in table(account, outcome)
        },
        number(status, "stages", "adapter", "blocked_s"),
    )

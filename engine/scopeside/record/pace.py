"""How fast it comes, how fast it is written, and what to say when that does not fit."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

LAGGING_SHARE, AGAIN_SHARE = 0.25, 0.1
"""Of the spool: above the first the recorder lags, below the second it does not."""
LAGGING_NS, AGAIN_NS = 1_000_000_000, 300_000_000
"""Age of the oldest that waits: the same."""
WINDOW_NS = 3_000_000_000
EVERY_NS = 100_000_000
TOLD_NS = 10_000_000_000
"""It is said again so often while it lasts."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for the disk."""

    bytes: int
    oldest_ns: int | None
    capacity: int
    trouble: str = ""


class Pace:
    """Rates over the last seconds, and whether the disk keeps up.

    Attributes
    ----------
    in_bytes_per_s, out_bytes_per_s
        What comes and what is written.
    lagging
        Whether more waits than should.
    """

    def __init__(self) -> None:
        self.in_bytes_per_s = 0.0
        self.out_bytes_per_s = 0.0
        self.lagging = False
        self._seen: deque[tuple[int, int, int]] = deque()
        self._told_ns = -TOLD_NS

    def see(self, now_ns: int, came: int, written: int, waits: Backlog) -> list[str]:
        """Take note of the counts at this time; return what is to be said."""
        self._rates(now_ns, came, written)
        share = waits.bytes / waits.capacity
        age_ns = 0 if waits.oldest_ns is None else now_ns - waits.oldest_ns
        if share > LAGGING_SHARE or age_ns > LAGGING_NS:
            self.lagging = True
        elif share < AGAIN_SHARE and age_ns < AGAIN_NS and self.lagging:
            self.lagging = False
            self._told_ns = now_ns - TOLD_NS
            return ["the disk has caught up; nothing waits for it any more"]
        early = now_ns - self._seen[0][0] < LAGGING_NS
        told = now_ns - self._told_ns < TOLD_NS
        if not self.lagging or told or early or waits.trouble:
            return []
        self._told_ns = now_ns
        return [self._words(waits)]

    def _rates(self, now_ns: int, came: int, written: int) -> None:
        if self._seen and now_ns - self._seen[-1][0] < EVERY_NS:
            return
        self._seen.append((now_ns, came, written))
        while len(self._seen) > 2 and now_ns - self._seen[1][0] >= WINDOW_NS:
            self._seen.popleft()
        then_ns, came_then, written_then = self._seen[0]
        if now_ns > then_ns:
            passed = (now_ns - then_ns) / 1e9
            self.in_bytes_per_s = (came - came_then) / passed
            self.out_bytes_per_s = (written - written_then) / passed

    def _words(self, waits: Backlog) -> str:
        text = (
            f"LAGGING: the disk takes {self.out_bytes_per_s / 1e6:.0f} MB/s, "
            f"{self.in_bytes_per_s / 1e6:.0f} MB/s come, "
            f"{waits.bytes / 1e6:.0f} MB wait"
        )
        left_s = self.full_in_s(waits)
        return (
            text if left_s is None else f"{text}, the spool is full in {left_s:.0f} s"
        )

    def full_in_s(self, waits: Backlog) -> float | None:
        """Return in how many seconds the spool is full; None: not, at this pace."""
        grows = self.in_bytes_per_s - self.out_bytes_per_s
        return max(0, waits.capacity - waits.bytes) / grows if grows > 0 else None

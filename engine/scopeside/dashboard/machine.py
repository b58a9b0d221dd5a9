"""What a process takes of this machine, from /proc: proc(5)."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Use:
    """Of one process.

    Attributes
    ----------
    cpu_share
        Of one core, since the last look; None at the first.
    resident_bytes
        Memory in use; what processes share counts in each.
    """

    cpu_share: float | None
    resident_bytes: int


class Machine:
    """Looks at processes; remembers their CPU times from one look to the next."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._before: dict[int, tuple[float, float]] = {}

    def look(self, pids: list[int]) -> dict[int, Use]:
        """Return what each of them takes; those that have ended are left out."""
        now_s, found, seen = time.monotonic(), {}, {}
        for pid in pids:
            try:
                cpu_s, resident = _of(self._proc / str(pid) / "stat")
            except (OSError, ValueError, IndexError):
                continue
            seen[pid] = now_s, cpu_s
            then = self._before.get(pid)
            passed = 0.0 if then is None else now_s - then[0]
            share = None if then is None or not passed else (cpu_s - then[1]) / passed
            found[pid] = Use(share, resident)
        self._before = seen
        return found


def _of(path: Path) -> tuple[float, int]:
    """Return CPU seconds and resident bytes of a process."""
    # The second field is the name, in brackets, and may hold anything.
    fields = path.read_text(encoding="ascii", errors="replace").rpartition(")")[2]
    after = fields.split()
    ticks = int(after[11]) + int(after[12])  # utime, stime
    return ticks / _TICKS_PER_S, int(after[21]) * _PAGE_BYTES  # rss

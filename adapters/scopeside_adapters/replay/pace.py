"""When a recorded batch is due, by its time stamps."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

LONGEST_S = 0.05  # so that a stop is seen soon
_FACTOR = re.compile(r"(\d+(?:\.\d+)?)x")


def factor_of(pace: str) -> float | None:
    """Return how many times faster than recorded; None: as fast as possible.

    Raises
    ------
    ValueError
        If it is neither ``max``, ``real`` nor a factor such as ``2x``.
    """
    if pace == "max":
        return None
    found = _FACTOR.fullmatch(pace)
    factor = 1.0 if pace == "real" else float(found[1]) if found else 0.0
    if not 1e-3 <= factor <= 1e6:
        raise ValueError("expected 'max', 'real', or a factor such as '2x' or '0.5x'")
    return factor


class RecordedPace:
    """A schedule by time stamps: late batches do not shift those after them.

    Parameters
    ----------
    factor
        How many times faster than recorded; None: all are due at once.
    now, sleep
        The clock, seconds; a test gives its own.
    """

    def __init__(
        self,
        factor: float | None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._factor = factor
        self._now = now
        self._sleep = sleep
        self._began: tuple[float, int] | None = None

    def wait(self, t_ns: int, stopping: Callable[[], bool]) -> None:
        """Return when what has this time stamp is due, or `stopping`.

        The first is due at once, and begins the schedule.
        """
        if self._factor is None:
            return
        if self._began is None:
            self._began = self._now(), t_ns
        began, first_ns = self._began
        due = began + (t_ns - first_ns) / 1e9 / self._factor
        while (left := due - self._now()) > 0 and not stopping():
            self._sleep(min(left, LONGEST_S))

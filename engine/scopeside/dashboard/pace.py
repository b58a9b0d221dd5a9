"""How often images are sent: less often while the machine has no time to spare.

A browser beside the engine paints on the engine's cores, and its priority is not ours
to choose. So what a tab asks for is stretched, step by step, as long as the cores are
busy without a pause, down to an image a second; and given back when they have time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

LOOK_S = 0.5
BUSY = 0.04
"""With less of the time idle than this the machine has nothing to spare."""
FREE = 0.1
"""With more than this it has."""
LONGER, SHORTER = 2.0, 1.5
"""What the time between two images is multiplied and divided by at a look."""
MOST = 16.0
"""Beyond, it is not stretched further: it would take too long to give it back."""
SLOWEST_S = 1.0
"""Between two images of a result, however busy the machine is."""

Jiffies = tuple[float, float]
"""Time that all cores were idle, and time in all, since the machine was started."""


class Pace:
    """Looks at the machine as long as somebody asks; use it in one thread.

    Parameters
    ----------
    told
        Called with `stretch` whenever it has changed.

    Attributes
    ----------
    stretch
        How many times longer than asked for it takes between two images; 1: as asked.
    """

    def __init__(
        self,
        told: Callable[[float], None],
        spent: Callable[[], Jiffies | None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stretch = 1.0
        self._told = told
        self._spent = spent or time_of_cores
        self._clock = clock
        self._looked = -LOOK_S
        self._before: Jiffies | None = None

    def every_s(self, asked_s: float) -> float:
        """Return how long to wait between two images that are asked for `asked_s`."""
        self._look()
        return max(asked_s, min(asked_s * self.stretch, SLOWEST_S))

    def _look(self) -> None:
        now = self._clock()
        if now - self._looked < LOOK_S:
            return
        before, spent = self._before, self._spent()
        old = now - self._looked > 4 * LOOK_S  # nobody has asked: not how it is now
        self._looked, self._before = now, spent
        if before is None or spent is None or old or spent[1] <= before[1]:
            return
        self._heard((spent[0] - before[0]) / (spent[1] - before[1]))

    def _heard(self, idle: float) -> None:
        stretch = self.stretch
        if idle < BUSY:
            stretch = min(stretch * LONGER, MOST)
        elif idle > FREE:
            stretch = max(stretch / SHORTER, 1.0)
        if stretch != self.stretch:
            self.stretch = stretch
            self._told(stretch)


def time_of_cores() -> Jiffies | None:
    """Return how long the cores that we may use were idle, and in all, jiffies.

    None where Linux' ``/proc`` is not there: such a machine is never found busy.
    """
    try:
        lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
        ours = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    except (OSError, AttributeError):
        return None
    cores = [line.split() for line in lines if line.startswith("cpu")]
    counts = [[float(n) for n in fields[1:9]] for fields in cores if fields[0] in ours]
    return sum(c[3] + c[4] for c in counts), sum(map(sum, counts))

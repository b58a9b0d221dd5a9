"""What the microscope was set to, and when: read-backs in order of time."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Mapping

from scopeside.control.instrument import Readback, Value

REMEMBERED = 4096
"""Changes; older ones are forgotten, and what held then is unknown."""


class Timeline:
    """Keeps what the guard has said of the instrument's settings.

    What was read back holds until the guard says that it is changing: the guard is the
    only one that changes it, and parks when it finds that somebody else has.

    Parameters
    ----------
    always
        The first read-back held and holds at all times: for recordings, whose frames
        are older than it.
    """

    def __init__(self, *, always: bool = False) -> None:
        self._always = always
        self._since_ns: deque[int] = deque(maxlen=REMEMBERED)
        self._held: deque[Readback | None] = deque(maxlen=REMEMBERED)

    @property
    def now(self) -> Readback | None:
        """The last read-back, None before the first and while it is changing."""
        return self._held[-1] if self._held else None

    def take(self, t_ns: int, values: Mapping[str, Value] | None) -> None:
        """Take note that `values` hold from `t_ns` on; None: that they are changing."""
        if self._always:
            if not self._held and values is not None:
                self._since_ns.append(t_ns)
                self._held.append(Readback(t_ns, dict(values)))
            return
        if self._since_ns and t_ns < self._since_ns[-1]:
            return  # said late: what came after it is known
        self._since_ns.append(t_ns)
        self._held.append(None if values is None else Readback(t_ns, dict(values)))

    def during(self, first_ns: int, last_ns: int) -> Readback | None:
        """Return what held all the time between, None if it changed or is unknown."""
        if self._always:
            return self.now
        since = list(self._since_ns)
        first = bisect_right(since, first_ns) - 1
        last = bisect_right(since, last_ns) - 1
        return self._held[first] if first >= 0 and first == last else None

"""The word to hold, which overtakes whatever was ordered before it."""

from __future__ import annotations

import threading


class Hold:
    """Counts how often a hold was asked for.

    Every order bears the number of the last hold that its giver knew of. If another
    was asked for since, the order is not begun: there is nothing that could be cleared
    too early.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0

    @property
    def number(self) -> int:
        """Number of the last hold, 0 before the first."""
        return self._number

    def ask(self) -> int:
        """Hold from now on; returns the number of it."""
        with self._lock:
            self._number += 1
            return self._number

"""The last value of each result, for whoever paints it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from scopeside.result import Result

MOST = 512
"""Results that are kept; beyond, the one not heard of for longest goes."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A result, and where it stands among all that were heard.

    Attributes
    ----------
    key
        ``chain.processor.name``.
    number
        Counts all results that this page has heard, from 1.
    heard_ns
        When it came, ns since 1970 UTC.
    """

    key: str
    result: Result
    number: int
    heard_ns: int


class Shelf:
    """Used by several threads: one puts, others look."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shown: dict[str, Shown] = {}
        self._number = 0

    def put(self, result: Result) -> Shown:
        """Keep a result in place of the last one of its name."""
        key = key_of(result)
        with self._lock:
            self._number += 1
            shown = Shown(key, result, self._number, time.time_ns())
            self._shown.pop(key, None)
            self._shown[key] = shown
            if len(self._shown) > MOST:
                del self._shown[next(iter(self._shown))]
        return shown

    def get(self, key: str) -> Shown | None:
        """Return the last value under a key; None if there is none."""
        with self._lock:
            return self._shown.get(key)

    def all(self) -> list[Shown]:
        """Return the last values, by key."""
        with self._lock:
            return [self._shown[key] for key in sorted(self._shown)]

    def drop(self, key: str) -> None:
        """Forget one, which will not come again."""
        with self._lock:
            self._shown.pop(key, None)

    def clear(self) -> None:
        """Forget all, as when another engine is looked at."""
        with self._lock:
            self._shown.clear()


def key_of(result: Result) -> str:
    """Return what a result is called on the page."""
    meta = result.meta
    return f"{meta.get('chain')}.{meta.get('processor')}.{result.name}"

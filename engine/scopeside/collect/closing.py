"""Acquisitions that have ended and wait a little for the last samples."""

from __future__ import annotations

import time
from typing import Any

from scopeside.collect.channels import Channels

LOOK_MS = 20
"""How often it is looked whether they have come."""


class Closings:
    """Ledgers of ended acquisitions, until they are due."""

    def __init__(self, channels: Channels) -> None:
        self._channels = channels
        self._waiting: dict[str, tuple[float, dict[str, Any]]] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, acquisition: str, ledger: dict[str, Any]) -> None:
        """Take the last word on an acquisition; what is said after it counts not."""
        self._waiting.setdefault(acquisition, (time.monotonic(), ledger))

    def due(self, *, all_of_them: bool = False) -> list[tuple[str, dict[str, Any]]]:
        """Return those for which no further sample is awaited, and drop them here."""
        ready = [
            (name, ledger)
            for name, (since, ledger) in self._waiting.items()
            if all_of_them or not self._channels.awaited(name, since)
        ]
        for name, _ in ready:
            del self._waiting[name]
        return ready

"""The versions of parameters that have held, so that a person can go back to one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOST = 20
"""Versions of a processor that are kept."""
SHORT_MS = 2000.0
"""What was replaced sooner, as while a detector is dragged, is not kept."""


class Versions:
    """The last versions of each processor's parameters, oldest first."""

    def __init__(self) -> None:
        self._kept: dict[str, list[dict[str, Any]]] = {}

    def hear(self, said: Mapping[str, Any], now_ms: float) -> None:
        """Take what ``status`` says of all parameters at a time, ms since 1970."""
        for name, one in said.items():
            self._hear(self._kept.setdefault(name, []), one, now_ms)

    def of(self, name: str) -> list[dict[str, Any]]:
        """Return the versions of a processor's parameters."""
        return self._kept.get(name, [])

    def clear(self) -> None:
        """Forget all, as when another engine is looked at."""
        self._kept.clear()

    def _hear(
        self, kept: list[dict[str, Any]], one: Mapping[str, Any], now_ms: float
    ) -> None:
        last = kept[-1] if kept else None
        if last is not None and last["version"] == one["version"]:
            kept[-1] = {**one, "heard_ms": last["heard_ms"]}
            return
        is_first = last is None or last["version"] == 1
        if last is not None and not is_first and now_ms - last["heard_ms"] < SHORT_MS:
            kept.pop()
        kept.append({**one, "heard_ms": now_ms})
        # The first is that of the pipeline file: it stays, to go back to.
        del kept[1 : max(1, len(kept) - MOST + 1)]

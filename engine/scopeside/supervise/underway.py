"""Acquisitions that the adapter has open, as its board shows them."""

from __future__ import annotations

from typing import Any

from scopeside.board import Board
from scopeside.supervise.books import Books


class UnderWay:
    """What is open, less what the books have closed already."""

    def __init__(self, adapter: Board, books: Books) -> None:
        self._adapter = adapter
        self._books = books

    def newest(self) -> dict[str, int]:
        """Return the time stamp of the newest frame of each open acquisition, ns."""
        found = self._adapter.read().get("newest", {})
        return {
            name: t_ns
            for name, t_ns in found.items()
            if t_ns is not None and name not in self._books
        }

    def running(self) -> list[dict[str, Any]]:
        """Return the acquisitions that the adapter has open and not ended."""
        found = self._adapter.read().get("open", {})
        return [
            one["acquisition"]
            for name, one in found.items()
            if one["state"] == "running" and name not in self._books
        ]

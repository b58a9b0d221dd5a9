"""Counts what each client asks in a second, so that a flood costs next to nothing."""

from __future__ import annotations

from dataclasses import dataclass

SECOND_NS = 1_000_000_000
MAX_CLIENTS = 256


@dataclass(slots=True)
class _Window:
    began_ns: int
    taken: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Flood:
    """What one client asked too much in one second."""

    client: str
    refused: int
    began_ns: int


class Floods:
    """One window of a second for each client.

    When more clients speak than are told apart, the new ones share one window.
    """

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._windows: dict[str, _Window] = {}
        self._ended: list[Flood] = []

    def take(self, client: str, now_ns: int) -> bool:
        """Whether one more may be looked at."""
        if client not in self._windows and len(self._windows) >= MAX_CLIENTS:
            client = "others"
        window = self._windows.setdefault(client, _Window(now_ns))
        if now_ns - window.began_ns >= SECOND_NS:
            self._end(client, window)
            window = self._windows[client] = _Window(now_ns)
        if window.taken < self._per_s:
            window.taken += 1
            return True
        window.refused += 1
        return False

    def over(self, now_ns: int) -> list[Flood]:
        """Return the floods of seconds that are over; forget who is silent."""
        for client, window in list(self._windows.items()):
            if now_ns - window.began_ns >= SECOND_NS:
                self._end(client, window)
                del self._windows[client]
        ended, self._ended = self._ended, []
        return ended

    def _end(self, client: str, window: _Window) -> None:
        if window.refused:
            self._ended.append(Flood(client, window.refused, window.began_ns))

"""What the door remembers of a program that it knows: roles, rate, routes."""

from __future__ import annotations

from collections import Counter, OrderedDict

from scopeside.control.door_settings import DoorClient

_ROUTES = 1024
_ASKS_PER_S = 20.0


class Allowance:
    """So many a second, and as many at once."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._left = per_s
        self._at: float | None = None

    def take(self, now: float) -> bool:
        """Return whether there is one left."""
        passed = 0.0 if self._at is None else now - self._at
        self._left = min(max(1.0, self._per_s), self._left + passed * self._per_s)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class Known:
    """What the door remembers of a program, and may still take from it."""

    def __init__(self, settings: DoorClient, per_s: float) -> None:
        self.name = settings.name
        self.roles: frozenset[str] = frozenset(settings.roles)
        self.heard = 0
        self.refused: Counter[str] = Counter()
        self.route = b""
        self.routes: OrderedDict[str, bytes] = OrderedDict()
        self._messages = Allowance(per_s)
        # Of its own, so that a hold gets through a flood of proposals.
        self._asks = Allowance(_ASKS_PER_S)
        self._told_at = float("-inf")

    def may_speak(self, ask: bool, now: float) -> bool:
        """Whether it has not said too much lately."""
        return (self._asks if ask else self._messages).take(now)

    def is_due(self, now: float) -> bool:
        """Whether a flood is to be answered: once a second."""
        due = now - self._told_at >= 1.0
        self._told_at = now if due else self._told_at
        return due

    def remember(self, ident: str, route: bytes) -> None:
        """Note where the answer to `ident` goes."""
        self.route = route
        self.routes[ident] = route
        self.routes.move_to_end(ident)
        if len(self.routes) > _ROUTES:
            self.routes.popitem(last=False)

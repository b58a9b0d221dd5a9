"""How many links there may be, and of whom. No I/O.

Each address has its share, so that one machine that opens link after link keeps
nobody else out. Of IPv6 it is the /64 that counts: one machine has all of it.
"""

from __future__ import annotations

import ipaddress
from collections import Counter, OrderedDict, deque

MOST_LINKS = 256
"""At once, those that are just being made included."""
MOST_OF_ONE = 32
"""At once, of one address."""
MOST_NEW_PER_S = 50
"""Of one address."""
_REMEMBERED = 1024


def share_of(address: str) -> str:
    """Return whose share a link from an address counts to."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 4:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found.packed, 64), strict=False))


class Crowd:
    """The links that there are, by file descriptor."""

    def __init__(self) -> None:
        self.links: dict[int, str] = {}
        self._of: Counter[str] = Counter()
        self._new: OrderedDict[str, deque[float]] = OrderedDict()

    def enter(self, link: int, address: str, now: float) -> bool:
        """Count a new link; return whether there is room for it."""
        self.leave(link)  # its number was another's, whose end we did not hear of
        share = share_of(address)
        room = len(self.links) < MOST_LINKS and self._of[share] < MOST_OF_ONE
        room = room and self._is_slow(share, now)
        self.links[link] = share
        self._of[share] += 1
        return room

    def leave(self, link: int) -> None:
        """Count a link no more."""
        share = self.links.pop(link, None)
        if share is not None:
            self._of[share] -= 1
            if not self._of[share]:
                del self._of[share]

    def _is_slow(self, share: str, now: float) -> bool:
        """Whether not too many came of late; counts this one if so."""
        new = self._new.setdefault(share, deque(maxlen=MOST_NEW_PER_S))
        self._new.move_to_end(share)
        if len(self._new) > _REMEMBERED:
            self._new.popitem(last=False)
        if len(new) == MOST_NEW_PER_S and now - new[0] < 1.0:
            return False
        new.append(now)
        return True

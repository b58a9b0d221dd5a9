"""Who has a place at the page: a tab with the token is never locked out by others.

Any user of this machine may look, and so could take all places. A tab says in its
handshake that it is one of ours, by the subprotocol ``scopeside``, and shows the token
by a second one: ``token.`` and the token's UTF-8 in hexadecimal digits, as subprotocols
take few other letters. The server answers with the first; no log has the second.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Protocol, TypeVar

PROTOCOL = "scopeside"
NO_PLACE = 4001
"""Code of a socket that is closed for it (RFC 6455, 7.4.2: 4000 and up are free)."""
_SHOWN = "token."


class Seated(Protocol):
    """A tab that has a place.

    Attributes
    ----------
    may_change
        Whether it has shown the token.
    came
        Larger for those that came later.
    """

    may_change: bool
    came: int


Tab = TypeVar("Tab", bound=Seated)


def shows(protocols: Iterable[str], token: str) -> bool:
    """Whether the token is among what a tab has said in its handshake."""
    expected = (_SHOWN + token.encode().hex()).encode()
    shown = (one.encode(errors="replace") for one in protocols)
    return any(hmac.compare_digest(one, expected) for one in shown)


def who_leaves(tabs: Iterable[Tab]) -> Tab | None:
    """Return which tab gives its place to one with the token; None: all have it."""
    lookers = [tab for tab in tabs if not tab.may_change]
    return min(lookers, key=lambda tab: tab.came, default=None)

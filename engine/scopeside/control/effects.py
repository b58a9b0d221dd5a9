"""What the guard has decided is to be done; its process does it, in this order.

The guard itself does no I/O and knows no clock. Every method of it takes ``now_ns``
(ns since 1970 UTC, never set back) and returns a list of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scopeside.control.instrument import Call


@dataclass(frozen=True, slots=True)
class Write:
    """Write a record into the audit log; it is on disk before the next `Send`.

    Attributes
    ----------
    kind
        ``proposal``, ``answer``, ``request`` (of a person) or ``event``.
    """

    kind: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Send:
    """Have the instrument do these calls, one after another; there is one at a time.

    `Guard.answered` is called with `id` when they are done or one has failed.
    """

    id: str
    calls: tuple[Call, ...]
    deadline_ns: int


@dataclass(frozen=True, slots=True)
class Blank:
    """Blank the beam now, on the connection that is for it; `Guard.blanked` hears."""

    reason: str


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell whoever asked what became of it.

    Attributes
    ----------
    client
        Who: the name that it was given to the guard with.
    state
        ``observed``, ``waiting``, ``sent``, ``done``, ``refused``, ``failed``.
    """

    client: str
    id: str
    state: str
    cause: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Say:
    """Tell the operator, in words."""

    text: str


Effect = Write | Send | Blank | Tell | Say

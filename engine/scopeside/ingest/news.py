"""What the detector's thread tells the tee."""

from __future__ import annotations

from typing import NamedTuple

from scopeside.acquisition import Acquisition
from scopeside.changes import Change
from scopeside.detector import EndState
from scopeside.ledger import Run
from scopeside.slab import Layout


class Started(NamedTuple):
    """An acquisition has begun."""

    acquisition: Acquisition


class Filled(NamedTuple):
    """A slot holds a batch."""

    acquisition: str
    slot: int
    layout: Layout
    n: int
    runs: tuple[Run, ...]
    timestamp_ns: int
    received_ns: int
    n_bytes: int
    events: int | None = None
    """Words, where the frames come as events or packed."""


class Missed(NamedTuple):
    """Frames will not come."""

    acquisition: str
    first: int
    last: int
    cause: str


class Rejected(NamedTuple):
    """Something came that is no frame of this acquisition."""

    n: int
    cause: str
    message: str


class Ended(NamedTuple):
    """The detector has said its last word on an acquisition."""

    acquisition: str
    state: EndState
    reason: str
    total: int | None


class Noted(NamedTuple):
    """Something the operator may want to know."""

    message: str


class Changed(NamedTuple):
    """Parameters of a processor change, as they did when this was recorded."""

    change: Change


class Finished(NamedTuple):
    """The detector will deliver nothing more."""

    error: str


News = Started | Filled | Missed | Rejected | Ended | Noted | Changed | Finished

"""A sentence on how things are, and all that it may be made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scopeside.dashboard.words.losses import Level
from scopeside.dashboard.words.rates import Rates


@dataclass(frozen=True, slots=True)
class Sentence:
    """What is the matter, and what a person can do.

    Attributes
    ----------
    level
        ``bad``: data or the run is in danger; ``warn``: less than it should be;
        ``ok``: worth knowing.
    about
        The matter: as long as it lasts, the same word, while `text` may change.
    """

    level: Level
    about: str
    text: str
    what_to_do: str = ""


@dataclass(frozen=True, slots=True)
class Invalid:
    """A result that has no value, and why."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Now:
    """All that is known at one time.

    Attributes
    ----------
    status
        ``status --json``; any part may be missing.
    now_s
        By the clock that `rates` was shown the statuses with.
    """

    status: Mapping[str, Any]
    rates: Rates = field(default_factory=Rates)
    invalid: tuple[Invalid, ...] = ()
    now_s: float = 0.0

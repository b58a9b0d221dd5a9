"""What is known of one candidate, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

CANDIDATE, CONFIRMED, DISSOLVED, REJECTED = (
    "candidate", "confirmed", "dissolved", "rejected",
)  # fmt: skip
SOON, _LATER, _SELDOM = 3, 8, 24
"""Frames from look to look: of what may be a nucleus, of what hardly is one, and of
what had its time."""
_DOUBTFUL = 0.1
"""Probability of what hardly is a nucleus."""
_OLD, ENDED = 120, 240
"""Frames since the first alarm."""


@dataclass(frozen=True, slots=True)
class Event:
    """What became of a candidate.

    Attributes
    ----------
    id
        Of the nucleus; none is used twice.
    status
        candidate, confirmed, dissolved or rejected.
    y, x
        On the specimen: px of frame 0.
    radius_px, radius_error_px
        Now, with its standard deviation.
    birth_frame
        When its radius was 0, estimated.
    confidence
        Probability that it is a nucleus.
    reason
        Why it was rejected.
    course
        (n, 3) float64: frame, radius and its standard deviation, px.
    thumbnail
        (side, side) float32: mean of the last frames, standard deviations.
    """

    id: int
    status: str
    y: float
    x: float
    radius_px: float
    radius_error_px: float
    birth_frame: float
    confidence: float
    reason: str
    course: Array
    thumbnail: Array


@dataclass(slots=True)
class Candidate:
    """One place, and what is known of it; frames are numbers of the movie."""

    id: int
    y: float
    x: float
    opened: int
    alarmed: int
    since: float
    score: float
    filter_px: float
    due: int
    hold: int = 0
    status: str = CANDIDATE
    confidence: float = 0.0
    radius_px: float = 0.0
    error_px: float = 0.0
    birth: float = 0.0
    reason: str = ""
    small: int = 0
    learnt_px: float = 0.0
    baseline: list[float] = field(default_factory=list)
    course: list[list[float]] = field(default_factory=list)

    def merges(self, radius: float) -> float:
        """Return how near to it another candidate is the same, px."""
        return self.claims(radius) if self.status == CONFIRMED else 2.3 * radius

    def claims(self, radius: float) -> float:
        """Return how far from it an alarm is its own, px."""
        grown = 1.25 * self.radius_px + 1.5 * radius if self.status == CONFIRMED else 0
        return max(3.0 * radius, 1.5 * self.filter_px, grown)


def interval(confidence: float, age: int) -> int:
    """Return after how many frames a candidate is looked at again.

    `age` in frames since its first alarm.
    """
    if age >= _OLD:
        return _SELDOM
    return SOON if confidence >= _DOUBTFUL else _LATER


def event_of(c: Candidate, image: Array) -> Event:
    """Return what is known of a candidate now."""
    return Event(
        id=c.id,
        status=c.status,
        y=c.y,
        x=c.x,
        radius_px=c.radius_px,
        radius_error_px=c.error_px,
        birth_frame=c.birth,
        confidence=c.confidence,
        reason=c.reason,
        course=np.array(c.course).reshape(-1, 3),
        thumbnail=np.nan_to_num(image).astype(np.float32),
    )

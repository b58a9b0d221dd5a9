"""Whether what a process holds grows over a long run: from samples, without a clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WARM = 0.4
"""Part of the run that is left out: caches fill, pools are made."""
MAY_GROW_MIB = 8.0
"""From the beginning to the end of the rest."""
MAY_GROW_PER_FRAME = 64
"""Bytes that some results hold for each frame of a movie: their table has a row."""
MAY_GROW_FILES = 1.0


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process holds at a time.

    Attributes
    ----------
    frames
        Received by then.
    memory
        Its own memory, bytes: anonymous pages, those of files left out.
    files
        Open descriptors.
    """

    frames: int
    memory: int
    files: int


@dataclass(frozen=True, slots=True)
class Growth:
    """How much more a process held at the end than after it was warm."""

    samples: int
    memory_mib: float
    grown_mib: float
    files: int
    grown_files: float
    allowed_mib: float

    @property
    def bounded(self) -> bool:
        """Whether it has not grown beyond what is allowed."""
        return self.grown_mib <= self.allowed_mib and self.grown_files <= MAY_GROW_FILES


def growth_of(samples: Sequence[Sample]) -> Growth | None:
    """Fit a line to what a process held once it was warm; None: too few samples."""
    last = samples[-1].frames if samples else 0
    warm = [one for one in samples if one.frames >= WARM * last]
    if len(warm) < 5 or warm[0].frames == last:
        return None
    span = last - warm[0].frames
    memory = _slope([(one.frames, one.memory) for one in warm]) * span / 2**20
    files = _slope([(one.frames, one.files) for one in warm]) * span
    return Growth(
        samples=len(warm),
        memory_mib=warm[-1].memory / 2**20,
        grown_mib=memory,
        files=warm[-1].files,
        grown_files=files,
        allowed_mib=MAY_GROW_MIB + MAY_GROW_PER_FRAME * span / 2**20,
    )


def _slope(points: Sequence[tuple[int, int]]) -> float:
    """Return the slope of the line of least squares."""
    n = len(points)
    mean_x = sum(x for x, _ in points) / n
    mean_y = sum(y for _, y in points) / n
    square = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / square

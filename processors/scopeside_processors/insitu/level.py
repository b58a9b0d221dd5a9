"""The brightness of a movie: when the beam is off, and when the exposure has changed.

Counts of a bright field follow the beam, which flickers by a few percent. A step that
stays is another exposure or dose rate; counts near nothing are a blanked beam.
"""

from __future__ import annotations

import math
from statistics import median
from typing import Any, NamedTuple

BLANK_SHARE = 0.02
"""A frame with less than this share of the usual counts is blank."""
STEP = 1.25
"""A smaller change of brightness is flicker, however long it lasts."""
FLICKERS = 4.0
"""So many times the usual change from frame to frame is flicker, too."""

_SETTLED = 5
"""Frames whose median is the brightness before a step."""
_WEIGHT = 0.05
"""Of a new frame in what is usual."""
_SMOOTH = 0.3, 0.5
"""Where nobody has said the offset: a frame as dark and much smoother is blank."""
_FLOOR_E = 0.02
"""Electrons per pixel that an offset which was said leaves uncertain."""


class Verdict(NamedTuple):
    """What the brightness of a frame says.

    Attributes
    ----------
    blank
        Whether the beam was off.
    unsettled
        Whether it is unlike those before; the next frame says whether that stays.
    ratio
        How many times brighter the movie has become for good; 1 if it has not.
    """

    blank: bool
    unsettled: bool = False
    ratio: float = 1.0


class Level:
    """Follows the brightness of a movie.

    Parameters
    ----------
    offset
        Counts of a pixel without a beam; None where nobody has said.
    gain
        Counts of one electron.
    """

    def __init__(self, offset: float | None, gain: float) -> None:
        self._known = offset is not None
        self._floor = _FLOOR_E * gain if offset else 0.0
        self._gain = gain
        self._seen = 0
        self._usual = 0.0
        self._rough = 0.0
        self._flicker = 0.0
        self._recent: list[float] = []
        self._step: list[float] = []
        self._dark: list[float] = []

    @property
    def cap(self) -> float | None:
        """Counts above the offset that no pixel but a hot one has; None if unknown."""
        return max(16 * self._usual, 8 * self._gain) if self._seen else None

    def judge(self, level: float, roughness: float) -> Verdict:
        """Return whether a frame is blank.

        Parameters
        ----------
        level : counts per pixel above the offset, of a frame without its hot pixels
        roughness : counts, by which neighbouring pixels differ
        """
        if self._is_dark(level, roughness):
            return self._blank(level, roughness)
        self._dark.clear()
        return Verdict(False)

    def follow(self, level: float, roughness: float) -> Verdict:
        """Take in a frame that can be used, and return whether its level is another."""
        self._seen += 1
        if not self._recent:
            self._rest_on(level, roughness)
            return Verdict(False)
        before = median(self._recent)
        log = math.log(level / before)
        self._flicker += _WEIGHT * (
            min(abs(math.log(level / self._recent[-1])), math.log(2)) - self._flicker
        )
        most = max(math.log(STEP), FLICKERS * self._flicker)
        if abs(log) <= most:
            self._step.clear()
            self._recent = [*self._recent[1 - _SETTLED :], level]
            self._usual += _WEIGHT * (level - self._usual)
            self._rough += _WEIGHT * (roughness - self._rough)
            return Verdict(False)
        if not self._step or (self._step[0] > before) != (level > before):
            self._step = [level]
            return Verdict(False, unsettled=True)
        # The first may have been exposed in part before and in part after the step.
        agree = abs(math.log(level / self._step[0])) <= most
        now = math.sqrt(level * self._step[0]) if agree else level
        self._rest_on(now, roughness)
        return Verdict(False, ratio=now / before)

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, as plain values."""
        return {
            "numbers": [self._seen, self._usual, self._rough, self._flicker],
            "recent": list(self._recent),
            "step": list(self._step),
            "dark": list(self._dark),
        }

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._seen, self._usual, self._rough, self._flicker = state["numbers"]
        self._recent = list(state["recent"])
        self._step = list(state["step"])
        self._dark = list(state["dark"])

    def _is_dark(self, level: float, roughness: float) -> bool:
        if level <= max(self._floor, BLANK_SHARE * self._usual):
            return True
        if self._known or level >= self._usual or not self._rough:
            return False
        # Noise and contrast go down with the counts or with their root, never by more:
        # if they do, there is an offset that nobody has said.
        smooth = roughness / self._rough
        share, against = _SMOOTH
        return smooth <= share and smooth <= against * level / self._usual

    def _blank(self, level: float, roughness: float) -> Verdict:
        """Return that a frame is blank, unless what is usual rests on too little."""
        if self._seen >= _SETTLED or level <= self._floor:
            return Verdict(True)
        self._dark.append(level)
        if len(self._dark) < 3 or max(self._dark) > STEP * min(self._dark):
            self._dark = self._dark[-2:]
            return Verdict(True)
        ratio = level / median(self._recent)
        self._rest_on(level, roughness)
        return Verdict(False, ratio=ratio)

    def _rest_on(self, level: float, roughness: float) -> None:
        self._usual, self._rough, self._recent = level, roughness, [level]
        self._step, self._dark = [], []

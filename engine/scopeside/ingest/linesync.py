"""Numbers frames by the lines in which they came: a line that is short stays alone.

Where the scan generator triggers the detector line by line, a lost or surplus frame
would shift all that follow. The pause before each line shows in the time stamps; a
frame after a pause begins a line, whatever came before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]

_KEPT_PERIODS = 64


@dataclass(frozen=True, slots=True)
class Numbered:
    """Frames by place in the scan.

    Attributes
    ----------
    index
        (n,) new index of each frame, -1 for a surplus one.
    short
        Runs (first, last) of new indices that their line did not deliver.
    """

    index: IntArray
    short: list[tuple[int, int]]


class LineSync:
    """Renumbers the frames of one acquisition, batch after batch.

    Parameters
    ----------
    line_frames
        Frames of a whole line, fly-back included.
    pause_ns
        Frames further apart than this lie in two lines.

    Notes
    -----
    A line that is missing altogether is found if the lines come at a steady pace:
    the time from line to line is compared with the median of those before.
    """

    def __init__(self, line_frames: int, pause_ns: int) -> None:
        self._line_frames = line_frames
        self._pause_ns = pause_ns
        self._line = 0
        self._begun: int | None = None  # the detector's count at the start of the line
        self._began_ns = 0
        self._last_ns = 0
        self._furthest = -1
        self._periods: list[int] = []

    def number(self, index: IntArray, timestamp_ns: IntArray) -> Numbered:
        """Return the places of frames that follow those before.

        Parameters
        ----------
        index : (n,) int64, the detector's own count, ascending
        timestamp_ns : (n,) int64, of the detector's clock, ascending
        """
        if self._begun is None:
            self._begun, self._began_ns = int(index[0]), int(timestamp_ns[0])
            self._last_ns = self._began_ns
        pauses = np.diff(timestamp_ns, prepend=self._last_ns) > self._pause_ns
        self._last_ns = int(timestamp_ns[-1])
        out = np.empty(len(index), np.int64)
        short: list[tuple[int, int]] = []
        cuts = [0, *np.flatnonzero(pauses).tolist(), len(index)]
        for a, b in pairwise(cuts):
            if a == b:
                continue
            if pauses[a]:
                short += self._next_line(int(index[a]), int(timestamp_ns[a]))
            within = index[a:b] - self._begun
            inside = (within >= 0) & (within < self._line_frames)
            out[a:b] = np.where(inside, self._line * self._line_frames + within, -1)
            if inside.any():
                self._furthest = max(self._furthest, int(out[a:b].max()))
        return Numbered(out, short)

    def _next_line(self, first: int, at_ns: int) -> list[tuple[int, int]]:
        elapsed = at_ns - self._began_ns
        step = 1
        if self._periods:
            step = max(1, round(elapsed / float(np.median(self._periods))))
        if step == 1:
            self._periods = [*self._periods[1 - _KEPT_PERIODS :], elapsed]
        self._line += step
        self._begun, self._began_ns = first, at_ns
        begin = self._line * self._line_frames
        lacking = (self._furthest + 1, begin - 1)
        self._furthest = max(self._furthest, begin - 1)
        return [lacking] if lacking[0] <= lacking[1] else []

"""Where particles are now, where they were a moment ago, and how content has moved."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from typing import Any

import numpy as np

from scopeside.result import Result
from scopeside.series.lines import columns_of

MOST_SHOWN = 300
"""Particles that are drawn: beyond, those with the least chance are left out."""
TAIL = 24
"""Places of a tail."""
TAIL_EVERY_NS = 200_000_000
MOST_OUTLINE = 4000
"""Points of all contours together: beyond, every second one is left out, and so on."""
_MOST_DRIFT = 4096
_TOLD_DRIFT = 40


class DriftSoFar:
    """How far content has moved by each frame, pixels, as far as anybody says."""

    def __init__(self) -> None:
        self._frames: list[int] = []
        self._places: list[tuple[float, float]] = []

    def take(self, frame: int, dy: float, dx: float) -> None:
        """Take the vector of a frame later than all before."""
        if self._frames and frame <= self._frames[-1]:
            return
        self._frames.append(frame)
        self._places.append((dy, dx))
        if len(self._frames) > _MOST_DRIFT:
            self._frames, self._places = self._frames[::2], self._places[::2]

    def take_trace(self, trace: np.ndarray) -> bool:
        """Take the vectors of earlier frames: columns frame, dy, dx; say if any are."""
        first = self._frames[0] if self._frames else math.inf
        early = trace[trace[:, 0] < first][-_MOST_DRIFT:]
        # Both or neither: a plug-in's trace may lack a column.
        places = [(dy, dx) for dy, dx in early[:, 1:3].tolist()]
        self._frames[:0] = [int(frame) for frame in early[:, 0]]
        self._places[:0] = places
        return len(early) > 0

    def at(self, frame: float) -> tuple[float, float] | None:
        """Return the vector of the frame, or of the nearest before; None: unknown."""
        if not self._frames:
            return None
        return self._places[max(0, bisect_right(self._frames, frame) - 1)]

    def told(self) -> list[list[float]]:
        """Return the last ones: frame, dy, dx."""
        last = zip(
            self._frames[-_TOLD_DRIFT:], self._places[-_TOLD_DRIFT:], strict=True
        )
        return [[frame, round(dy, 2), round(dx, 2)] for frame, (dy, dx) in last]


class Places:
    """The particles of the newest frame, in coordinates of the specimen."""

    def __init__(self) -> None:
        self.left_out = 0
        self._source = ""
        self._frame = -1
        self._rows: list[list[Any]] = []
        self._tails: dict[int, deque[tuple[float, float]]] = {}
        self._tailed_ns = 0
        self._outlines: list[list[Any]] = []

    def take(self, result: Result, drift: tuple[float, float], t_ns: int) -> None:
        """Take a table ``tracks``, ``particles`` or ``contours``; tracks go first."""
        if result.name == "contours":
            self._outlines = _outlines(result, drift)
            return
        columns = columns_of(result)
        if result.name == "tracks" or not self._source:
            self._source = result.name
        if self._source != result.name or not {"id", "y", "x"} <= columns.keys():
            return
        number = len(columns["id"])
        chance = columns.get("probability", np.ones(number))
        chosen = np.argsort(-chance, kind="stable")[:MOST_SHOWN]
        self.left_out = number - len(chosen)
        self._frame = result.frame
        radius = columns.get("radius_px", np.full(number, np.nan))
        seen = columns.get("seen", np.ones(number))
        self._rows = [
            [
                int(columns["id"][at]),
                round(float(columns["y"][at]) - drift[0], 2),
                round(float(columns["x"][at]) - drift[1], 2),
                round(float(radius[at]), 2),
                round(float(chance[at]), 3),
                int(seen[at]),
            ]
            for at in chosen
        ]
        if result.name == "tracks":  # ids of particles are those of one frame
            self._draw_tails(t_ns)

    def told(self, *, outlines: bool) -> dict[str, Any]:
        """Return what a tab draws; places are [y, x] in pixels of frame 0."""
        return {
            "source": self._source,
            "frame": self._frame,
            "columns": ["id", "y", "x", "radius_px", "probability", "seen"],
            "rows": self._rows,
            "tails": {one: list(tail) for one, tail in self._tails.items()},
            "left_out": self.left_out,
            "outlines": self._outlines if outlines else [],
        }

    def _draw_tails(self, t_ns: int) -> None:
        if 0 <= t_ns - self._tailed_ns < TAIL_EVERY_NS:
            return
        self._tailed_ns = t_ns
        before, self._tails = self._tails, {}
        for ident, y, x, *_ in self._rows:
            tail = before.get(ident) or deque(maxlen=TAIL)
            tail.append((y, x))
            self._tails[ident] = tail


def _outlines(result: Result, drift: tuple[float, float]) -> list[list[Any]]:
    """Return [id, [y, x, y, x …]] of each contour, thinned out if they are long."""
    data = result.data
    if not result.valid or not isinstance(data, np.ndarray) or data.ndim != 2:
        return []
    step = -(-len(data) // MOST_OUTLINE) or 1
    starts = np.flatnonzero(np.diff(data[:, 0], prepend=data[:1, 0] - 1))
    found = []
    for points in np.split(data, starts[1:]):
        if len(points):
            places = (points[::step, 1:3] - np.asarray(drift)).round(1)
            found.append([int(points[0, 0]), places.ravel().tolist()])
    return found

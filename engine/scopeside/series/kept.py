"""All numbers that are followed, each as a trace over time; bounded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from scopeside.result import Result
from scopeside.series.frame_times import FrameTimes
from scopeside.series.lines import Line, Reading, histories
from scopeside.series.trace import Point, Trace

MOST_LINES = 64
MOST_SAMPLES = 64
"""Of a channel, that are taken at once: more become the least and largest of some."""


class Kept:
    """Traces by the names of their lines.

    Attributes
    ----------
    lines
        By their names.
    left_out
        Names of lines that there is no room for.
    """

    def __init__(self) -> None:
        self.lines: dict[str, tuple[Line, Trace]] = {}
        self.left_out: set[str] = set()

    @property
    def first_ns(self) -> Iterator[int]:
        """When each line begins."""
        for _, trace in self.lines.values():
            if trace.first_ns is not None:
                yield trace.first_ns

    def add(self, line: Line, point: Point, revision: int) -> None:
        """Take a point later than all before."""
        trace = self.trace(line)
        if trace is not None:
            trace.add(point, revision)

    def put_before(self, line: Line, points: Iterable[Point], revision: int) -> None:
        """Take what was earlier than all that is there."""
        trace = self.trace(line)
        if trace is not None:
            trace.put_before(points, revision)

    def replace_until(self, line: Line, points: list[Point], revision: int) -> None:
        """Take all that was until the last of `points`, told by who has heard it."""
        trace = self.trace(line)
        if trace is not None and points:
            trace.replace_until(points, revision)

    def replace(
        self, line: Line, begin_ns: int, points: list[Point], revision: int
    ) -> None:
        """Take all that is known of a line from some time on, told anew."""
        trace = self.trace(line)
        if trace is not None:
            trace.replace_from(min(begin_ns, points[0][0]), points, revision)

    def trace(self, line: Line) -> Trace | None:
        """Return the trace of a line; None if there is no room for another."""
        known = self.lines.get(line.ident)
        if known is not None:
            return known[1]
        if len(self.lines) >= MOST_LINES:
            if len(self.left_out) < MOST_LINES:
                self.left_out.add(line.ident)
            return None
        self.lines[line.ident] = (line, Trace())
        return self.lines[line.ident][1]


def point_of(reading: Reading, times: FrameTimes) -> Point | None:
    """Return what was read with the time of its frame; None: it is unknown."""
    _, frame, *values = reading
    t_ns = times.at(frame)
    return None if t_ns is None else (t_ns, values[0], values[1], values[2])


def told_anew(
    result: Result, source: str, nm_per_px: float | None, times: FrameTimes
) -> Iterator[tuple[bool, Line, list[Point]]]:
    """Yield what a result says of earlier frames: whether it replaces, line, points."""
    for replaces, rows in histories(result, source, nm_per_px):
        points = [p for row in rows if (p := point_of(row, times)) is not None]
        if points:
            yield replaces, rows[0][0], points


def channel(name: str, unit: str) -> Line:
    """Return the line of a channel."""
    return Line(f"channel {name}", f"channel {name}", name, unit)


def nm_of(pixel_size_m: Any) -> float | None:
    """Return the size of a pixel, nm; None: unknown, or not the same each way."""
    if pixel_size_m is None:
        return None
    sizes = {float(one) for one in np.atleast_1d(pixel_size_m)}
    return 1e9 * sizes.pop() if len(sizes) == 1 else None


def scale_of(about: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Return nm per pixel and the time of a frame, s, as an acquisition says them."""
    calibration = about.get("calibration") or {}
    return nm_of(calibration.get("pixel_size_m")), calibration.get("frame_time_s")

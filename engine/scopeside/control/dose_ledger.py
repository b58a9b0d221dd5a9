"""Counts spans of time between two looks at the instrument, for the map and the run."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from scopeside.control.dose_beam import Beam, Box, Rate
from scopeside.control.dose_counted import CountedRates
from scopeside.control.dose_map import DoseMap
from scopeside.control.dose_points import PointDoses
from scopeside.control.dose_settings import DoseSettings


@dataclass(frozen=True, slots=True)
class Span:
    """What is known of the time between two looks.

    Attributes
    ----------
    ends
        What the beam did at the beginning and at the end.
    between
        What it may have done meanwhile: what was sent.
    """

    first_ns: int
    last_ns: int
    ends: tuple[Beam, Beam]
    between: tuple[Beam, ...] = ()

    @property
    def seconds(self) -> float:
        """How long it is."""
        return max(0, self.last_ns - self.first_ns) / 1e9

    @property
    def lit(self) -> bool:
        """Whether the beam was on in any of it, as far as is known."""
        return self.seconds > 0 and any(one.on for one in (*self.ends, *self.between))

    @property
    def dark(self) -> bool:
        """Whether it was off in any of it."""
        return not all(one.on for one in (*self.ends, *self.between))


class Ledger:
    """The doses so far.

    A span in which anything changed counts as a whole for every place that the beam
    may have lit, and at the highest rate that it may have had; nominally, one half
    for what held at the beginning and one for what held at the end.

    Attributes
    ----------
    map
        Of the specimen.
    run
        Of all places, as if they were one: nominal and upper, e⁻/Å².
    highest
        The highest rate so far; it counts where none is known.
    uncalibrated_s
        For so long the beam was on at an unknown rate or place.
    """

    def __init__(self, settings: DoseSettings) -> None:
        counts = settings.calibration[0] if settings.counted_by else None
        self.counted = None if counts is None else CountedRates(counts)
        self.map = DoseMap(settings.cell_m)
        self.run = Rate(0.0, 0.0)
        self.highest = Rate(0.0, 0.0)
        self.uncalibrated_s = 0.0
        self._open: deque[Span] = deque()

    def add(self, span: Span) -> None:
        """Count a span, or keep it until the detector has counted its electrons."""
        for one in (*span.ends, *span.between):
            if one.rate is not None and one.rate.upper > self.highest.upper:
                self.highest = one.rate
        if not span.lit:
            return
        if self.counted is not None:
            self._open.append(span)
        else:
            self._count(span, None)

    def settle(self, now_ns: int) -> None:
        """Count the spans whose electrons have been counted, or never will be."""
        while self._open and self.counted is not None:
            span = self._open[0]
            rate = self.counted.over(
                span.first_ns, span.last_ns, now_ns, dark=span.dark
            )
            if rate is None:
                return
            self._open.popleft()
            self._count(span, rate)

    def rate(self, beams: Sequence[Beam], now_ns: int) -> float:
        """Return the highest rate of `beams` that is to be reckoned with, e⁻/Å²/s."""
        if self.counted is not None:
            return self.counted.now(now_ns).upper
        return max((self._known(one).upper for one in beams), default=0.0)

    def open_dose(self, now_ns: int) -> float:
        """Return the upper dose of the spans that are not counted yet."""
        if self.counted is None:
            return 0.0
        return self.counted.now(now_ns).upper * sum(one.seconds for one in self._open)

    def add_points(self, points: PointDoses, rate: Rate, *, dark: bool) -> None:
        """Count a probe that is put on points; nominally also its time, if `dark`."""
        cells, seconds = points.cells, points.seconds
        self.map.add_counts(cells.top, cells.left, points.per_rate, *rate)
        nominal = rate.nominal * seconds if dark else 0.0
        self._add_to_run(nominal, rate.upper * seconds)

    def waiting(self) -> list[tuple[float, list[Box] | None]]:
        """Return seconds and places of the spans that are not counted yet."""
        return [(one.seconds, _places(one)) for one in self._open]

    def count_waiting(self, waiting: Sequence[tuple[float, list[Box] | None]]) -> None:
        """Count such spans at the highest rate, since nobody measures them now."""
        for seconds, boxes in waiting:
            nominal, upper = (rate * seconds for rate in self.highest)
            self._add_to_run(nominal, upper)
            if boxes is None:
                self.map.add_everywhere(nominal, upper)
            else:
                share = nominal / len(boxes)
                self.map.add(boxes, upper, [(box, share) for box in boxes])

    def _known(self, one: Beam) -> Rate:
        return one.rate or self.highest

    def _count(self, span: Span, counted: Rate | None) -> None:
        beams, seconds = (*span.ends, *span.between), span.seconds
        if any(one.on and (one.rate is None or one.box is None) for one in beams):
            self.uncalibrated_s += seconds
        if counted is None:
            upper = max(self._known(one).upper for one in beams) * seconds
            shares = [
                self._known(end).nominal * seconds / 2 if end.on else 0.0
                for end in span.ends
            ]
        else:
            upper, on = counted.upper * seconds, [end.on for end in span.ends]
            each = counted.nominal * seconds / max(sum(on), 1)
            shares = [each if one else 0.0 for one in on]
        self._add_to_run(sum(shares), upper)
        boxes = _places(span)
        if boxes is None:
            self.map.add_everywhere(sum(shares), upper)
        else:
            ends = zip(span.ends, shares, strict=True)
            nominal = [(end.field, share) for end, share in ends if end.field]
            self.map.add(boxes, upper, nominal)

    def _add_to_run(self, nominal: float, upper: float) -> None:
        self.run = Rate(self.run.nominal + nominal, self.run.upper + upper)


def _places(span: Span) -> list[Box] | None:
    """Return what was lit, the two ends first; None if it may have been anything.

    Between two places of the stage the beam lights all that may lie on the way.
    """
    beams = (*span.ends, *span.between)
    boxes = [one.box for one in beams if one.box is not None]
    if len(boxes) < len(beams):
        return None
    if len({one.stage for one in beams}) > 1:
        way = boxes[0]
        for box in boxes[1:]:
            way = way.with_(box)
        boxes.append(way)
    return boxes

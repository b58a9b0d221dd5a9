"""The record of an experiment, as far as this page has heard of it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from scopeside.dashboard.frame_times import FrameTimes
from scopeside.dashboard.history import Point, Trace
from scopeside.dashboard.insitu_account import limits_of, readings_of
from scopeside.dashboard.insitu_events import Events
from scopeside.dashboard.insitu_lines import Line, Reading, histories, readings
from scopeside.dashboard.insitu_places import DriftSoFar, Places
from scopeside.result import Result

MOST_LINES = 64
MOST_IMAGES = 64
MOST_ACQUISITIONS = 200
DESCRIBED_WITHIN_S = 2.0
"""The status, which says how large a pixel is, may come after the first results."""
_OTHER_CLOCK_NS = 60 * 10**9
"""Frames whose times are further than this from now are not of this hour."""


class Acquired:
    """What is known of one acquisition.

    Attributes
    ----------
    drift_of
        ``chain.processor`` that `drift` comes from; empty: nobody tells.
    filled
        Lines that have got what was before this page was opened.
    """

    def __init__(self, about: Mapping[str, Any]) -> None:
        self.times = FrameTimes()
        self.started_ns: int | None = None
        self.nm_per_px: float | None = None
        self.drift = DriftSoFar()
        self.drift_of = ""
        self._heard_of = time.monotonic()
        self._described = False
        self.filled: set[str] = set()
        self.learn(about)

    def learn(self, about: Mapping[str, Any]) -> None:
        """Take what the status says of the acquisition."""
        self._described = self._described or bool(about)
        calibration = about.get("calibration") or {}
        self.started_ns = about.get("started_ns", self.started_ns)
        if self.nm_per_px is None:
            self.nm_per_px = _nm(calibration.get("pixel_size_m"))
        if self.times.frame_time_s is None:
            self.times.frame_time_s = calibration.get("frame_time_s")

    @property
    def is_scaled(self) -> bool:
        """Whether it is known how large a pixel is, or that nobody will say."""
        waited = time.monotonic() - self._heard_of > DESCRIBED_WITHIN_S
        return self._described or waited

    @property
    def begin_ns(self) -> int | None:
        """When frame 0 was taken."""
        return self.times.at(0) or self.started_ns

    def point(self, reading: Reading) -> Point | None:
        """Return what was read with the time of its frame; None: it is unknown."""
        _, frame, value, error = reading
        t_ns = self.times.at(frame)
        return None if t_ns is None else (t_ns, value, error)

    def displaced(self, frame: float) -> tuple[float, float]:
        """Return how far content has moved by a frame, px; unknown: not at all."""
        return self.drift.at(frame) or (0.0, 0.0)


class Record:
    """Traces, events, and particles of one engine; not for several threads.

    Attributes
    ----------
    revision
        Counts whatever comes; what is kept bears the revision that it came with.
    lines
        By their names.
    acq
        The newest acquisition.
    images
        What each image is: ``raw`` frames, a mean as the present ``frame`` lies or as
        the ``specimen`` does, or an ``other``; by its key.
    limits, words
        By row: what is not to be passed, and what is said of it.
    """

    def __init__(self) -> None:
        self.revision = 0
        self.lines: dict[str, tuple[Line, Trace]] = {}
        self.acquired: dict[str, Acquired] = {}
        self.acq = ""
        self.limits: dict[str, list[dict[str, Any]]] = {}
        self.words: dict[str, str] = {}
        self.images: dict[str, str] = {}
        self.events = Events()
        self.places = Places()
        self.left_out: set[str] = set()

    @property
    def newest(self) -> Acquired | None:
        """The newest acquisition."""
        return self.acquired.get(self.acq)

    @property
    def begin_ns(self) -> int:
        """When the experiment began; 0: nobody says."""
        begins = [one.begin_ns for one in self.acquired.values()]
        firsts = [trace.first_ns for _, trace in self.lines.values()]
        return min((one for one in (*begins, *firsts) if one), default=0)

    def take(self, result: Result, about: Mapping[str, Any]) -> None:
        """Take a result; `about` is what the status says of its acquisition."""
        acq = str(result.meta.get("acq", ""))
        if not acq:
            return
        self.revision += 1
        if acq != self.acq:
            self.acq, self.places = acq, Places()
        acquired = self._of(acq, about)
        if result.kind != "event" or acquired.times.newest < 0:
            acquired.times.learn(result.frame, result.meta.get("t_frame_ns", 0))
        source = f"{result.meta.get('chain')}.{result.meta.get('processor')}"
        self._take_channels(result)
        self._take_drift(acquired, result, source)
        self._take_numbers(acquired, result, source)
        self._take_happenings(acquired, result, source)
        if result.kind == "image":
            self._take_image(result, source)

    def take_status(self, status: Mapping[str, Any]) -> None:
        """Take which acquisitions there are and were, and the guard's account."""
        for known in ("acquisitions", "open"):
            for acq, one in (status.get(known) or {}).items():
                self._of(acq, (one or {}).get("acquisition") or {})
        account = (status.get("control") or {}).get("dose")
        if account:
            self.revision += 1
            now_ns = self._now_ns()
            for line, value in readings_of(account):
                self._add(line, (now_ns, value, math.nan))
            self.limits |= limits_of(account)

    # ---------------------------------------------------------------------------

    def _of(self, acq: str, about: Mapping[str, Any]) -> Acquired:
        known = self.acquired.get(acq)
        if known is None:
            self.revision += 1
            known = self.acquired[acq] = Acquired(about)
            while len(self.acquired) > MOST_ACQUISITIONS:
                del self.acquired[next(iter(self.acquired))]
        else:
            known.learn(about)
        return known

    def _take_channels(self, result: Result) -> None:
        for name, sample in (result.meta.get("channels") or {}).items():
            line = _channel(name, sample["unit"])
            self._add(line, (int(sample["t_ns"]), float(sample["value"]), math.nan))

    def _take_drift(self, acquired: Acquired, result: Result, source: str) -> None:
        """Learn how content has moved: from `drift`, else from who tells its own."""
        if not result.valid or result.frame < 0:
            return
        if result.name == "trace" and source == acquired.drift_of:
            acquired.drift.take_trace(np.asarray(result.data))
            return
        vector = result.data if result.name == "drift" else result.meta.get("drift")
        if vector is None or np.shape(vector) != (2,):
            return
        if acquired.drift_of != source:
            if acquired.drift_of and result.name != "drift":
                return
            acquired.drift_of, acquired.drift = source, DriftSoFar()
        acquired.drift.take(result.frame, float(vector[0]), float(vector[1]))

    def _take_numbers(self, acquired: Acquired, result: Result, source: str) -> None:
        if not acquired.is_scaled:
            return
        nm_per_px = acquired.nm_per_px
        for reading in readings(result, source, nm_per_px):
            point = acquired.point(reading)
            if point is not None:
                self._add(reading[0], point)
        for replaces, rows in histories(result, source, nm_per_px):
            points = [p for row in rows if (p := acquired.point(row)) is not None]
            if not points:
                continue
            if replaces:
                self._replace(acquired, rows[0][0], points)
            else:
                self._fill(acquired, rows[0][0], points)
        if result.meta.get("chain") == "channels":
            self._fill_channel(acquired, result)
        law = result.meta.get("law_of_mean_radius")
        if law:
            self.words["radius"] = (
                f"mean radius {law['law']}: r ∝ t^{law['exponent']:.2g}, "
                f"probability {law['probability']:.2f}"
            )

    def _take_image(self, result: Result, source: str) -> None:
        key = f"{source}.{result.name}"
        if result.valid and (key in self.images or len(self.images) < MOST_IMAGES):
            role = "raw" if result.name == "frame" else "other"
            self.images[key] = result.meta.get("coordinates", role)

    def _replace(self, acquired: Acquired, line: Line, points: list[Point]) -> None:
        """Take a whole history, which is told anew each time."""
        trace = self._trace(line)
        if trace is not None:
            begin_ns = acquired.begin_ns or points[0][0]
            trace.replace_from(min(begin_ns, points[0][0]), points, self.revision)

    def _fill(self, acquired: Acquired, line: Line, points: list[Point]) -> None:
        """Take, once, what was before this page was opened."""
        trace = self._trace(line)
        if trace is not None and line.ident not in acquired.filled:
            acquired.filled.add(line.ident)
            trace.put_before(points, self.revision)

    def _fill_channel(self, acquired: Acquired, result: Result) -> None:
        """Take the values of a channel, one a frame; maps and tables are others."""
        line = _channel(result.name, result.units)
        is_series = isinstance(result.data, np.ndarray) and result.data.ndim == 1
        if result.valid and is_series and line.ident not in acquired.filled:
            found = np.flatnonzero(np.isfinite(result.data))
            values = result.data[found].tolist()
            rows = zip(found.tolist(), values, strict=True)
            points = [
                (t_ns, value, math.nan)
                for frame, value in rows
                if (t_ns := acquired.times.at(frame)) is not None
            ]
            self._fill(acquired, line, points)

    def _take_happenings(self, acquired: Acquired, result: Result, source: str) -> None:
        clock, displaced = acquired.times.at, acquired.displaced
        self.events.take(result, source, clock, displaced, self.revision)
        if result.name in ("tracks", "particles", "contours") and result.valid:
            t_ns = clock(result.frame) or 0
            self.places.take(result, displaced(result.frame), t_ns)

    def _now_ns(self) -> int:
        """Return the time for what is of this moment, on the frames' clock.

        A movie from a file may bear the times of another day.
        """
        now_ns = time.time_ns()
        newest_ns = None if self.newest is None else self.newest.times.newest_ns
        if newest_ns is not None and abs(now_ns - newest_ns) > _OTHER_CLOCK_NS:
            return newest_ns
        return now_ns

    def _add(self, line: Line, point: Point) -> None:
        trace = self._trace(line)
        if trace is not None:
            trace.add(point, self.revision)

    def _trace(self, line: Line) -> Trace | None:
        known = self.lines.get(line.ident)
        if known is not None:
            return known[1]
        if len(self.lines) >= MOST_LINES:
            if len(self.left_out) < MOST_LINES:
                self.left_out.add(line.ident)
            return None
        self.lines[line.ident] = (line, Trace())
        return self.lines[line.ident][1]


def _channel(name: str, unit: str) -> Line:
    return Line(f"channel {name}", f"channel {name}", name, unit)


def _nm(pixel_size_m: Any) -> float | None:
    """Return the size of a pixel, nm; None: unknown, or not the same each way."""
    if pixel_size_m is None:
        return None
    sizes = {float(one) for one in np.atleast_1d(pixel_size_m)}
    return 1e9 * sizes.pop() if len(sizes) == 1 else None

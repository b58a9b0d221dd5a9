"""The record of an experiment, as far as this page has heard of it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from scopeside.dashboard.insitu_events import Events
from scopeside.dashboard.insitu_places import DriftSoFar, Places
from scopeside.result import Result
from scopeside.series.account import limits_of, readings_of
from scopeside.series.frame_times import FrameTimes
from scopeside.series.kept import Kept, channel, point_of, scale_of, told_anew
from scopeside.series.lines import Line, readings
from scopeside.series.past import Past
from scopeside.series.trace import Point

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
        self.started_ns = about.get("started_ns", self.started_ns)
        nm_per_px, frame_time_s = scale_of(about)
        if self.nm_per_px is None:
            self.nm_per_px = nm_per_px
        if self.times.frame_time_s is None:
            self.times.frame_time_s = frame_time_s

    @property
    def is_scaled(self) -> bool:
        """Whether it is known how large a pixel is, or that nobody will say."""
        waited = time.monotonic() - self._heard_of > DESCRIBED_WITHIN_S
        return self._described or waited

    @property
    def begin_ns(self) -> int | None:
        """When frame 0 was taken."""
        return self.times.at(0) or self.started_ns

    def displaced(self, frame: float) -> tuple[float, float]:
        """Return how far content has moved by a frame, px; unknown: not at all."""
        return self.drift.at(frame) or (0.0, 0.0)


class Record:
    """Traces, events, and particles of one engine; not for several threads.

    Attributes
    ----------
    revision
        Counts whatever comes; what is kept bears the revision that it came with.
    kept
        The lines.
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
        self.kept = Kept()
        self.acquired: dict[str, Acquired] = {}
        self.acq = ""
        self.limits: dict[str, list[dict[str, Any]]] = {}
        self.words: dict[str, str] = {}
        self.images: dict[str, str] = {}
        self.events = Events()
        self._past_events: list[Result] = []
        self._known_before: set[str] = set()  # lines that the engine has told whole
        self.places = Places()

    @property
    def newest(self) -> Acquired | None:
        """The newest acquisition."""
        return self.acquired.get(self.acq)

    @property
    def begin_ns(self) -> int:
        """When the experiment began; 0: nobody says."""
        begins = [one.begin_ns for one in self.acquired.values()]
        return min((one for one in (*begins, *self.kept.first_ns) if one), default=0)

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

    def _take_past_events(self, acquisitions: Iterable[str]) -> None:
        """Take what has happened before; once more when it is known how content moved.

        So the events of a page that was opened late lie where they were.
        """
        whose = set(acquisitions)
        for event in self._past_events:
            acq = str(event.meta.get("acq"))
            if acq in whose and acq in self.acquired:
                acquired = self.acquired[acq]
                source = f"{event.meta.get('chain')}.{event.meta.get('processor')}"
                clock, displaced = acquired.times.at, acquired.displaced
                self.events.take_past(event, source, clock, displaced, self.revision)

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
                self._add(line, (now_ns, value, math.nan, math.nan))
            self.limits |= limits_of(account)
        for name, one in (status.get("channels") or {}).items():
            if one.get("t_ns") is not None and self._is_of_now(int(one["t_ns"])):
                self._sample(name, one)

    def take_past(self, past: Past) -> None:
        """Take how numbers have been before this page was opened."""
        self.revision += 1
        earlier = {acq: Acquired({}) for acq in past.begins if acq not in self.acquired}
        self.acquired = {**earlier, **self.acquired}
        for acq, begin_ns in past.begins.items():
            acquired = self.acquired[acq]
            acquired.started_ns = acquired.started_ns or begin_ns
        for acq, pairs in past.times.items():
            if acq in self.acquired:
                self.acquired[acq].times.put_before(pairs)
        self._forget_oldest()
        self._past_events = list(past.events) or self._past_events
        self._take_past_events(past.begins)
        for line, points in past.lines:
            self._known_before.add(line.ident)
            self.kept.replace_until(line, points, self.revision)

    # ---------------------------------------------------------------------------

    def _of(self, acq: str, about: Mapping[str, Any]) -> Acquired:
        known = self.acquired.get(acq)
        if known is None:
            self.revision += 1
            known = self.acquired[acq] = Acquired(about)
            self._forget_oldest()
        else:
            known.learn(about)
        return known

    def _forget_oldest(self) -> None:
        while len(self.acquired) > MOST_ACQUISITIONS:
            del self.acquired[next(iter(self.acquired))]

    def _take_channels(self, result: Result) -> None:
        for name, sample in (result.meta.get("channels") or {}).items():
            self._sample(name, sample)

    def _sample(self, name: str, sample: Mapping[str, Any]) -> None:
        point = (int(sample["t_ns"]), float(sample["value"]), math.nan, math.nan)
        self._add(channel(name, sample["unit"]), point)

    def _take_drift(self, acquired: Acquired, result: Result, source: str) -> None:
        """Learn how content has moved: from `drift`, else from who tells its own."""
        if not result.valid or result.frame < 0:
            return
        if result.name == "trace" and source == acquired.drift_of:
            if acquired.drift.take_trace(np.asarray(result.data)):
                self._take_past_events([str(result.meta.get("acq"))])
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
        nm_per_px, times = acquired.nm_per_px, acquired.times
        for reading in readings(result, source, nm_per_px):
            point = point_of(reading, times)
            if point is not None:
                self._add(reading[0], point)
        for replaces, line, points in told_anew(result, source, nm_per_px, times):
            if replaces:
                begin_ns = acquired.begin_ns or points[0][0]
                self.kept.replace(line, begin_ns, points, self.revision)
            else:
                self._fill(acquired, line, points)
        if result.meta.get("chain") == "channels":
            self._fill_channel(acquired, result)
        law = result.meta.get("law_of_mean_radius")
        if law:
            self.words["radius"] = (
                f"mean: {law['law']} law, t^{law['exponent']:.2g}, "
                f"probability {law['probability']:.2f}"
            )

    def _take_image(self, result: Result, source: str) -> None:
        key = f"{source}.{result.name}"
        if result.valid and (key in self.images or len(self.images) < MOST_IMAGES):
            role = "raw" if result.name == "frame" else "other"
            self.images[key] = result.meta.get("coordinates", role)

    def _fill(self, acquired: Acquired, line: Line, points: list[Point]) -> None:
        """Take, once, what was before this page was opened."""
        if line.ident not in acquired.filled | self._known_before:
            acquired.filled.add(line.ident)
            self.kept.put_before(line, points, self.revision)

    def _fill_channel(self, acquired: Acquired, result: Result) -> None:
        """Take the values of a channel, one a frame; maps and tables are others."""
        line = channel(result.name, result.units)
        is_series = isinstance(result.data, np.ndarray) and result.data.ndim == 1
        if result.valid and is_series and line.ident not in acquired.filled:
            found = np.flatnonzero(np.isfinite(result.data))
            values = result.data[found].tolist()
            rows = zip(found.tolist(), values, strict=True)
            points = [
                (t_ns, value, math.nan, math.nan)
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

    def _is_of_now(self, t_ns: int) -> bool:
        """Whether a sample is of the time of the frames, which may be another day."""
        newest_ns = None if self.newest is None else self.newest.times.newest_ns
        return newest_ns is not None and abs(t_ns - newest_ns) <= _OTHER_CLOCK_NS

    def _add(self, line: Line, point: Point) -> None:
        self.kept.add(line, point, self.revision)

"""How numbers have been since the engine began, for who comes late.

What is said frame by frame is looked at ten times a second at most. Of each number
there are at most so many points as a trace keeps, and it is told as a `Past`.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from scopeside.acquisition import Acquisition
from scopeside.collect.master import Master
from scopeside.join import FloatArray, IntArray
from scopeside.publication import from_header
from scopeside.result import Result
from scopeside.series.frame_times import FrameTimes
from scopeside.series.happenings import FOLLOWED, Happenings
from scopeside.series.kept import Kept, channel, point_of, scale_of, told_anew
from scopeside.series.lines import Line, readings
from scopeside.series.past import Past
from scopeside.series.trace import Point

log = logging.getLogger(__name__)

EVERY_S = 0.09
"""Between two looks at what a chain says: as often as it is published to be seen."""
MOST_SAMPLES = 64
"""Of a channel, that are taken at once: of more, the least and largest of some."""
MOST_BEGINS = 200
FEW_TIMES = 32
"""Of the frames of an acquisition that is no longer held."""
AROUND_S = 600.0
"""Samples of a channel are told from so long before the first acquisition on."""


@dataclass(slots=True)
class _Followed:
    """An acquisition that is held, and what was seen of it."""

    nm_per_px: float | None
    times: FrameTimes
    seen: dict[tuple[str, str], Result] = field(default_factory=dict)


class PastKept:
    """Follows the numbers of all acquisitions of an engine.

    Parameters
    ----------
    units
        Of each channel.
    """

    def __init__(self, units: Mapping[str, str]) -> None:
        self._kept = Kept()
        self._units = units
        self._happenings = Happenings()
        self._begins: dict[str, int] = {}
        self._times: dict[str, FrameTimes] = {}
        self._followed: dict[str, _Followed] = {}
        self._looked: dict[tuple[str, str], float] = {}
        self._unread: set[str] = set()

    # -- what comes -------------------------------------------------------------

    def open(self, acquisition: Acquisition) -> None:
        """Follow an acquisition."""
        nm_per_px, frame_time_s = scale_of(acquisition.to_dict())
        times = FrameTimes(frame_time_s)
        # Of one that was under way the journal has told the past first.
        known = self._times.pop(acquisition.id, None)
        times.put_before(known.pairs if known is not None else ())
        self._times[acquisition.id] = times
        self._followed[acquisition.id] = _Followed(nm_per_px, times)
        while len(self._times) > MOST_BEGINS:
            oldest = next(iter(self._times))
            del self._times[oldest]
            self._begins.pop(oldest, None)

    def forget(self, acquisition: str) -> None:
        """Let an acquisition go; its numbers stay."""
        if self._followed.pop(acquisition, None) is not None:
            self._times[acquisition].thin(FEW_TIMES)
        for key in [key for key in self._looked if key[0] == acquisition]:
            del self._looked[key]

    def look(self, master: Master, now_s: float | None = None) -> None:
        """Take what a chain says now, if it is time; `now_s`: by another clock."""
        key = (master.acquisition.id, master.chain.name)
        now_s = time.monotonic() if now_s is None else now_s
        # A time by another clock is far away in either direction.
        if abs(now_s - self._looked.get(key, -math.inf)) >= EVERY_S:
            self._looked[key] = now_s
            self.take(master)

    def take(self, master: Master) -> None:
        """Take what a chain says now."""
        followed = self._followed[master.acquisition.id]
        for processor, result in master.said():
            source = f"{master.chain.name}.{processor}"
            if followed.seen.get((source, result.name)) is not result:
                followed.seen[source, result.name] = result
                read = partial(self._read, followed, result, source, master.t_frame_ns)
                self._try(read, result, source)
        self._begin(master)

    def happen(self, master: Master, header: Mapping[str, Any]) -> None:
        """Take what has happened out of the header of a part, or of what is said."""
        for processor, about, _ in header["said"]:
            if about["name"] in FOLLOWED and about["kind"] == "event":
                whose = {
                    "acq": master.acquisition.id,
                    "chain": master.chain.name,
                    "processor": processor,
                }
                event = from_header({**about, "meta": {**about["meta"], **whose}}, ())
                take = partial(self._happenings.take, event)
                self._try(take, event, f"{master.chain.name}.{processor}")

    def close(self, masters: Mapping[str, Master]) -> None:
        """Take the last of an acquisition, and what is told anew as a whole."""
        for chain, master in masters.items():
            self.take(master)
            followed = self._followed[master.acquisition.id]
            for processor, result in master.said():
                source = f"{chain}.{processor}"
                read = partial(self._read_anew, followed, result, source)
                self._try(read, result, source)

    def sample(self, name: str, times: IntArray, values: FloatArray) -> None:
        """Take samples of a channel."""
        line = channel(name, self._units[name])
        step = max(1, -(-len(times) // (MOST_SAMPLES // 2)))
        for at in range(0, len(times), step):
            part = values[at : at + step]
            for k in sorted({int(part.argmin()), int(part.argmax())}):
                point = (int(times[at + k]), float(part[k]), math.nan, math.nan)
                self._kept.add(line, point, 0)

    # -- what is asked ----------------------------------------------------------

    def past(self) -> Past:
        """Return all of it."""
        since_ns = min(self._begins.values(), default=0) - AROUND_S * 1e9
        lines = [
            (line, _of_experiment(line, trace.points, since_ns))
            for line, trace in self._kept.lines.values()
        ]
        times = {acq: one.pairs for acq, one in self._times.items()}
        told = [one for one in lines if one[1]]
        return Past(told, dict(self._begins), times, list(self._happenings))

    def take_over(self, past: Past) -> None:
        """Go on from what `past` gave; only on a new object."""
        self._begins |= past.begins
        for acq, pairs in past.times.items():
            self._times.setdefault(acq, FrameTimes()).put_before(pairs)
        for event in past.events:
            self._happenings.take(event)
        for line, points in past.lines:
            self._kept.put_before(line, points, 0)

    # ---------------------------------------------------------------------------

    def _begin(self, master: Master) -> None:
        name = master.acquisition.id
        followed = self._followed[name]
        begin_ns = followed.times.at(0) or master.acquisition.started_ns
        if begin_ns and name not in self._begins:
            self._begins[name] = begin_ns

    def _try(self, read: Callable[[], None], result: Result, source: str) -> None:
        """Read a result; a plug-in's may bear a name of ours and be something else."""
        try:
            read()
        except Exception:
            if source not in self._unread:
                log.exception("%s of %s is not followed over time", result.name, source)
                self._unread.add(source)

    def _read(
        self, followed: _Followed, result: Result, source: str, t_frame_ns: int
    ) -> None:
        if result.kind != "event" or followed.times.newest < 0:
            followed.times.learn(result.frame, t_frame_ns)
        for reading in readings(result, source, followed.nm_per_px):
            point = point_of(reading, followed.times)
            if point is not None:
                self._kept.add(reading[0], point, 0)

    def _read_anew(self, followed: _Followed, result: Result, source: str) -> None:
        times = followed.times
        anew = told_anew(result, source, followed.nm_per_px, times)
        for replaces, line, points in anew:
            if replaces:
                begin_ns = times.at(0) or points[0][0]
                self._kept.replace(line, begin_ns, points, 0)


def _of_experiment(line: Line, points: list[Point], since_ns: float) -> list[Point]:
    """Return the points of a line; of a channel, those since shortly before it."""
    if not line.row.startswith("channel "):
        return points
    return [point for point in points if point[0] >= since_ns]

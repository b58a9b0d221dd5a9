"""What has happened in the movie: nuclei, meetings of particles, changes of growth."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scopeside.result import Result
from scopeside.series.happenings import MEETINGS
from scopeside.series.lines import columns_of

MOST = 500
"""Events that are kept: beyond, those that came to nothing go first."""
MOST_COURSES = 40
"""Nuclei whose size over time is told, those of the latest news."""

Clock = Callable[[float], int | None]
"""Frame to ns since 1970 UTC."""
Drift = Callable[[float], tuple[float, float]]
"""Frame to (dy, dx), px."""


@dataclass(slots=True)
class Event:
    """What is known of one event now.

    Attributes
    ----------
    uid
        Number on this page.
    told
        Plain values for a tab.
    course
        Time (ns), radius (px), standard deviation (px).
    """

    uid: int
    revision: int
    told: dict[str, Any]
    course: list[tuple[int, float, float]] = field(default_factory=list)
    thumbnail: np.ndarray | None = None


class Events:
    """The events of all acquisitions that were heard of."""

    def __init__(self) -> None:
        self.left_out = 0
        self._next = 0
        self._events: dict[tuple[Any, ...], Event] = {}

    def __len__(self) -> int:
        return len(self._events)

    def take(
        self, result: Result, source: str, clock: Clock, drift: Drift, revision: int
    ) -> None:
        """Take an event, or a table ``nuclei`` with those that nobody has heard."""
        acq = result.meta.get("acq")
        if result.name == "nuclei":
            self._take_table(result, source, clock, revision)
        elif result.name == "nucleation" and result.valid:
            self._take_nucleus(result, (acq, source), clock, drift, revision)
        elif result.name in MEETINGS or result.name == "change_point":
            self._take_other(result, (acq, source), clock, drift, revision)

    def take_past(
        self, result: Result, source: str, clock: Clock, drift: Drift, revision: int
    ) -> None:
        """Take an event that may be known already, and with later news."""
        known = None
        if result.name == "nucleation":
            key = (result.meta.get("acq"), source, "nucleus", result.data["id"])
            known = self._events.get(key)
        if known is None or known.told["frame"] <= result.frame:
            self.take(result, source, clock, drift, revision)

    def thumbnail(self, uid: int) -> np.ndarray | None:
        """Return the picture of an event; None if it has none."""
        found = (one for one in self._events.values() if one.uid == uid)
        event = next(found, None)
        return None if event is None else event.thumbnail

    def since(self, revision: int) -> list[Event]:
        """Return those with news after `revision`, the latest last."""
        return [one for one in self._events.values() if one.revision > revision]

    def uids(self) -> list[int]:
        """Return those that are kept."""
        return [one.uid for one in self._events.values()]

    # ---------------------------------------------------------------------------

    def _take_nucleus(
        self,
        result: Result,
        whose: tuple[Any, ...],
        clock: Clock,
        drift: Drift,
        revision: int,
    ) -> None:
        data = result.data
        event = self._of((*whose, "nucleus", data["id"]), revision)
        dy, dx = drift(result.frame)
        birth = clock(data["birth_frame"])
        event.told |= {
            "kind": "nucleus",
            "id": data["id"],
            **_of_result(result, clock),
            **_kept(data, "status", "confidence", "radius_px", "radius_error_px"),
            **_kept(data, "birth_frame", "reason"),
            "y": data["y"] - dy,
            "x": data["x"] - dx,
            "birth_ns": birth,
            "heard": True,
        }
        event.course = [
            (t_ns, radius, error)
            for frame, radius, error in data.get("course", ())
            if (t_ns := clock(frame)) is not None
        ]
        if data.get("thumbnail"):
            event.thumbnail = np.asarray(data["thumbnail"], np.float32)
            event.told["picture"] = result.frame

    def _take_table(
        self, result: Result, source: str, clock: Clock, revision: int
    ) -> None:
        columns = columns_of(result)
        if not result.valid or not {"id", "confirmed_frame"} <= columns.keys():
            return
        whose = (result.meta.get("acq"), source, "nucleus")
        for at, ident in enumerate(columns["id"].astype(int).tolist()):
            known = self._events.get((*whose, ident))
            if known is not None and known.told.get("heard"):
                continue
            row = {name: float(one[at]) for name, one in columns.items()}
            event = self._of((*whose, ident), revision)
            event.told |= _of_result(result, clock) | _from_table(row, clock)

    def _take_other(
        self,
        result: Result,
        whose: tuple[Any, ...],
        clock: Clock,
        drift: Drift,
        revision: int,
    ) -> None:
        if not isinstance(result.data, Mapping):
            return
        data = result.data
        ident, words, frame = _in_words(result.name, data, result.frame)
        event = self._of((*whose, result.name, ident, result.frame), revision)
        dy, dx = drift(result.frame)
        event.told |= {
            "kind": result.name,
            "id": ident,
            **_of_result(result, clock),
            "frame": frame,
            "t_ns": clock(frame),
            "reason": words,
            "y": data["y"] - dy if "y" in data else None,
            "x": data["x"] - dx if "x" in data else None,
        }

    def _of(self, key: tuple[Any, ...], revision: int) -> Event:
        """Return the event of that key, as the one with the latest news."""
        event = self._events.pop(key, None)
        if event is None:
            self._next += 1
            event = Event(self._next, revision, {})
            if len(self._events) >= MOST:
                del self._events[self._least()]
                self.left_out += 1
        event.revision = revision
        self._events[key] = event
        return event

    def _least(self) -> tuple[Any, ...]:
        """Return which event to let go."""
        for status in ("rejected", "candidate"):
            for key, event in self._events.items():
                if event.told.get("status") == status:
                    return key
        return next(iter(self._events))


def _of_result(result: Result, clock: Clock) -> dict[str, Any]:
    return {
        "acq": result.meta.get("acq"),
        "source": f"{result.meta.get('chain')}.{result.meta.get('processor')}",
        "frame": result.frame,
        "t_ns": clock(result.frame),
    }


def _kept(data: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: data.get(name) for name in names}


def _from_table(row: Mapping[str, float], clock: Clock) -> dict[str, Any]:
    """Return what the table of nuclei says of one whose events were not heard."""
    dissolved = row.get("dissolved_frame", math.nan)
    gone = math.isfinite(dissolved)
    frame = dissolved if gone else row["confirmed_frame"]
    return {
        "kind": "nucleus",
        "id": int(row["id"]),
        "status": "dissolved" if gone else "confirmed",
        **_kept(row, "confidence", "radius_px", "birth_frame", "y", "x"),
        "frame": int(frame),
        "t_ns": clock(frame),
        "birth_ns": clock(row["birth_frame"]),
        "reason": "from the table of nuclei: this page was opened later",
    }


def _in_words(name: str, data: Mapping[str, Any], frame: int) -> tuple[str, str, int]:
    """Return who it concerns, what it is in words, and when it was."""
    if name == "change_point":
        before, after = data["speed_before"], data["speed_after"]
        words = f"dr/dt from {before:.3g} to {after:.3g} px/frame"
        return str(data["id"]), words, int(data["at_frame"])
    if name == "identities_lost":
        count = len(data.get("ids", ()))
        return "", f"{count} particles cannot be told apart any more", frame
    parents, children = data.get("parents", ()), data.get("children", ())
    ident = f"{_ids(parents)} → {_ids(children)}"
    return ident, "", int(data.get("met", frame))


def _ids(some: Any) -> str:
    return " + ".join(str(one) for one in some)

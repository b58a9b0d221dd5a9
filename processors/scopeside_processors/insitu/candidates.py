"""Follows each place that may be a nucleus, from its first alarm to its end."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np

from scopeside_processors.insitu import features, patches, sizes
from scopeside_processors.insitu.absorbance import Absorbance
from scopeside_processors.insitu.field_objects import (
    WHEN,
    learn_from,
    objects_of,
    texture_of,
)
from scopeside_processors.insitu.followed import (
    CANDIDATE,
    CONFIRMED,
    DISSOLVED,
    ENDED,
    REJECTED,
    SOON,
    Candidate,
    Event,
    event_of,
    interval,
)
from scopeside_processors.insitu.verdicts import Judge, Trees, reason_for

__all__ = ["Candidates", "Event"]

LOST = "places before and after are unrelated"
MERGED = "part of another candidate"
UNDECIDED = "undecided for too long"

_LOOKS = 2
"""Candidates that are looked at in one frame, and nuclei that are measured; the others
wait for the next."""
_SILENT = 12
"""Frames without an alarm after which a candidate is given up."""
_MEASURE = 8
"""Frames from one radius to the next."""
_GONE = 4
"""Radii in sequence that are too small until a nucleus counts as dissolved."""
_LEARN, _AGAIN = 1.8, 1.4
"""Smallest radii from which a nucleus teaches its absorbance; growth until it does so
again."""
_MOST = 256
"""Candidates at a time; more are no nuclei but a fault."""
_CONFIRMED_MOST = 4096
_CROWD, _TIMES = 8, 6.0
"""So many new candidates within `_TOGETHER` frames, and so many times as many as usual,
are held for `_HELD` frames: drift was lost, or the light changed."""
_TOGETHER, _HELD = 4, 24
_SETTLE = 1.0 / 64.0


class Candidates:
    """All candidates of a movie, in specimen coordinates."""

    def __init__(
        self,
        *,
        min_radius_px: float,
        alarms_per_hour: float = 60.0,
        absorbance_per_px: float | None = None,
        judge: Judge | None = None,
    ) -> None:
        """Start with none.

        Parameters
        ----------
        min_radius_px : smallest radius that counts as a nucleus
        alarms_per_hour : false ones that are allowed; sets the probability to confirm
        absorbance_per_px : of the particles, per px of thickness; learnt if None
        judge : turns features into a probability; ours if None
        """
        self._radius = min_radius_px
        self._judge: Judge = Trees.ours() if judge is None else judge
        self.absorbance = Absorbance(absorbance_per_px)
        self._all: list[Candidate] = []
        self._next_id = 0
        self._segment: int | None = None
        self._taken = 0
        self._objects: list[tuple[float, float]] = []
        self._texture = 0.0
        self._usual = 0.0
        self._held_until = 0
        self.allow(alarms_per_hour)

    def allow(self, alarms_per_hour: float) -> None:
        """Confirm at the probability that gives so many false alarms from now on."""
        self._confirm_at = Trees.ours().threshold_for(alarms_per_hour)

    def __len__(self) -> int:
        return len(self._all)

    def nuclei(self) -> list[Event]:
        """Return what is known now of all that were confirmed and are still there."""
        none = np.zeros((0, 0), np.float32)
        return [event_of(c, none) for c in self._all if c.status == CONFIRMED]

    def take(self, evidence: Any, frame: int, drift: Any) -> list[Event]:
        """Take in a frame that `evidence` has taken; return what changed.

        Parameters
        ----------
        evidence : `Evidence`, after its ``take``
        frame : number of it in the movie
        drift : of this frame, of which only ``segment`` is used

        Returns
        -------
        Events, in the order of what happened. Places are on the specimen.
        """
        events: list[Event] = []
        if self._segment is not None and drift.segment != self._segment:
            self._lose(events)
        self._segment = drift.segment
        self._taken += 1
        self._learn(evidence)
        self._sort(evidence.proposals(), frame)
        due = self._due(frame)
        for candidate in due:
            if candidate.status == CONFIRMED:
                self._measure(candidate, evidence, frame, events)
            else:
                self._look(candidate, evidence, frame, events)
        self._merge(due, events)
        self._give_up(frame, events)
        return events

    def _learn(self, evidence: Any) -> None:
        """Look the field over now and then, and at one of its objects a frame."""
        if self._taken in WHEN:
            self._objects = objects_of(evidence, self._radius)
            self._texture = texture_of(evidence)
        elif self._objects:
            place = self._objects.pop(0)
            learn_from(evidence, place, self._radius, self._texture, self.absorbance)

    def _lose(self, events: list[Event]) -> None:
        for candidate in self._all:
            if candidate.status == CANDIDATE:
                self._end(candidate, REJECTED, LOST, events)
        self._all = []
        self._objects = []
        self._taken = 0

    def _sort(self, proposals: list[Any], frame: int) -> None:
        """Give each alarm to the candidate that claims it, or open one for it."""
        new, claims = [], [(c.y, c.x, c.claims(self._radius), c) for c in self._all]
        for p in proposals:
            owner, least = None, 1.0
            for y, x, reach, c in claims:
                if abs(y - p.y) < reach and abs(x - p.x) < reach:
                    away = math.hypot(y - p.y, x - p.x) / reach
                    if away < least:
                        owner, least = c, away
            if owner is None:
                new.append(p)
            else:
                owner.alarmed = frame
                owner.score = p.score
        for p in new[: max(0, _MOST - len(self._all))]:
            self._open(p, frame)
        self._hold(frame)

    def _hold(self, frame: int) -> None:
        """Let candidates wait that came with too many others."""
        young = [c for c in self._all if c.opened > frame - _TOGETHER]
        if len(young) >= max(_CROWD, _TIMES * _TOGETHER * self._usual):
            self._held_until = frame + _HELD
        for c in young:
            c.hold = max(c.hold, self._held_until)
        self._usual += _SETTLE * (sum(c.opened == frame for c in young) - self._usual)

    def _open(self, p: Any, frame: int) -> None:
        if any(
            math.hypot(c.y - p.y, c.x - p.x) < c.claims(self._radius) for c in self._all
        ):
            return
        self._all.append(
            Candidate(
                id=self._next_id,
                y=p.y,
                x=p.x,
                opened=frame,
                alarmed=frame,
                since=float(p.since),
                score=p.score,
                filter_px=p.radius_px,
                due=frame,
            )
        )
        self._next_id += 1

    def _due(self, frame: int) -> list[Candidate]:
        """Return who is to be looked at now: those who have waited longest."""
        waiting = [c for c in self._all if c.due <= frame]
        waiting.sort(key=lambda c: (c.due, c.id))
        grown = [c for c in waiting if c.status == CONFIRMED]
        return [c for c in waiting if c.status != CONFIRMED][:_LOOKS] + grown[:_LOOKS]

    def _look(
        self, c: Candidate, evidence: Any, frame: int, events: list[Event]
    ) -> None:
        place = self._place(c, evidence, frame)
        if len(place.patch) < features.LEAST:
            c.due = frame + SOON
            return
        image = place.patch[-8:].mean(axis=0)
        seen = features.look(place, self.absorbance)
        self._move(c, seen, evidence.history)
        c.confidence = self._judge.probability(seen.values)
        c.due = frame + interval(c.confidence, frame - c.opened)
        c.radius_px = seen.size.radius * place.cell
        c.error_px = c.radius_px * seen.size.scatter
        numbers = evidence.history.numbers(len(place.patch))
        c.birth = float(numbers[-1]) - seen.age
        first = not c.course
        c.course = sizes.thinned([*c.course, [float(frame), c.radius_px, c.error_px]])
        if c.confidence >= self._confirm_at and c.hold <= frame < c.opened + ENDED:
            c.status, c.baseline, c.reason = CONFIRMED, seen.baseline.tolist(), ""
            c.due = frame + _MEASURE
        elif c.status == CANDIDATE:
            c.reason = reason_for(seen.values)
        if first or c.status == CONFIRMED:
            events.append(event_of(c, image))

    def _place(self, c: Candidate, evidence: Any, frame: int) -> features.Place:
        history, radius = evidence.history, self._radius
        level = patches.level_of(radius, history.bin)
        cell = float(history.bin << level)
        half = features.side_of(radius, cell)
        patch = patches.patch_of(history, (c.y, c.x), half, features.FRAMES, level)
        return features.Place(
            patch=patch,
            cell=cell,
            radius=radius,
            unit=patches.unit_of(evidence) / (1 << level),
            score=c.score,
            since=max(0, frame - c.opened),
            filter_radius=c.filter_px / radius,
        )

    def _move(self, c: Candidate, seen: features.Look, history: Any) -> None:
        level, most = patches.level_of(self._radius, history.bin), self._radius
        y, x = patches.middle_of(history, c.y, c.x, level)
        c.y += min(max(0.5 * (y + seen.dy - c.y), -most), most)
        c.x += min(max(0.5 * (x + seen.dx - c.x), -most), most)

    def _measure(
        self, c: Candidate, evidence: Any, frame: int, events: list[Event]
    ) -> None:
        c.due = frame + _MEASURE
        level = patches.level_of(self._radius, evidence.history.bin)
        found = sizes.measure(
            evidence,
            (c.y, c.x),
            c.radius_px,
            base_level=level,
            baseline=np.array(c.baseline),
            absorbance=self.absorbance,
        )
        if found is None:
            return
        size, cell, rings, variance = found
        c.radius_px, c.error_px = size.radius * cell, size.radius * cell * size.scatter
        c.course = sizes.thinned([*c.course, [float(frame), c.radius_px, c.error_px]])
        if c.radius_px > max(_LEARN * self._radius, _AGAIN * c.learnt_px):
            c.learnt_px = c.radius_px
            self.absorbance.learn(rings, variance, cell)
        c.small = c.small + 1 if c.radius_px < 0.6 * self._radius else 0
        if c.small >= _GONE:
            self._end(c, DISSOLVED, "", events)

    def _merge(self, moved: list[Candidate], events: list[Event]) -> None:
        """Of two candidates at one place keep the confirmed one, or the older."""
        gone = set()
        for c in moved:
            for k in self._all:
                if k is c or k.id in gone or c.id in gone:
                    continue
                away = math.hypot(c.y - k.y, c.x - k.x)
                first, second = sorted((c, k), key=_rank)
                if away < first.merges(self._radius) and second.status != CONFIRMED:
                    gone.add(second.id)
                    if second.status == CANDIDATE:
                        self._end(second, REJECTED, MERGED, events)
        if gone:
            self._all = [c for c in self._all if c.id not in gone]

    def _give_up(self, frame: int, events: list[Event]) -> None:
        kept = []
        for c in self._all:
            silent = frame - c.alarmed > _SILENT and c.status != CONFIRMED
            late = frame - c.opened > ENDED and c.status == CANDIDATE
            if (silent or late) and c.status == CANDIDATE:
                self._end(c, REJECTED, c.reason if silent else UNDECIDED, events)
            if not silent and c.status != DISSOLVED:
                kept.append(c)
        excess = sum(c.status == CONFIRMED for c in kept) - _CONFIRMED_MOST
        self._all = kept[excess:] if excess > 0 else kept

    def _end(self, c: Candidate, status: str, reason: str, events: list[Event]) -> None:
        announced = bool(c.course)
        c.status, c.reason = status, reason
        if announced:
            events.append(event_of(c, np.zeros((0, 0), np.float32)))

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        return {
            "all": [asdict(c) for c in self._all],
            "next": self._next_id,
            "segment": self._segment,
            "taken": self._taken,
            "objects": [list(place) for place in self._objects],
            "texture": self._texture,
            "usual": self._usual,
            "held_until": self._held_until,
            "absorbance": self.absorbance.state(),
        }

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._all = [Candidate(**fields) for fields in state["all"]]
        self._next_id, self._segment = state["next"], state["segment"]
        self._taken = state["taken"]
        self._objects = [(y, x) for y, x in state["objects"]]
        self._texture, self._usual = state["texture"], state["usual"]
        self._held_until = state["held_until"]
        self.absorbance.take_over(state["absorbance"])


def _rank(c: Candidate) -> tuple[bool, int]:
    return c.status != CONFIRMED, c.id

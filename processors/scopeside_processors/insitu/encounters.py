"""Tells what became of particles that met: one of two, or two of one.

Where a track ends beside another, and the other has grown by what was lost, the two
have become one. Where a track begins beside another that has shrunk, one has come
apart. Particles that only pass in front of each other are seen again, and reported
not at all.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from scopeside_processors.insitu.tracks import Tracks

FloatArray = npt.NDArray[np.float64]

_PATIENCE = 10
"""Frames after which what was lost is not expected back."""
_OLD = 5
"""Frames that a track has to be seen before it can be a parent."""
_SHARE = 0.4
"""Share of the lost volume by which the other must have grown."""
_MOST = 256
"""Meetings that are looked at side by side."""
_RESTS = 0.3
"""A particle whose step is below this, px per frame, is at rest."""

Kind = Literal["coalescence", "attachment", "split"]


@dataclass(slots=True)
class Meeting:
    """Two tracks, one of which was lost or has begun beside the other.

    Attributes
    ----------
    one, other : ids; `one` was lost or has begun
    apart : whether it has begun
    frame : index of the frame
    attached : whether exactly one of the two was at rest
    radius, other_radius : px, at that time
    after, count : sum of the other's radii since then, and their number
    waited : frames since then
    """

    one: int
    other: int
    apart: bool
    frame: int
    attached: bool
    radius: float
    other_radius: float
    after: float = 0.0
    count: int = 0
    waited: int = 0


@dataclass(frozen=True, slots=True)
class Encounter:
    """What became of two particles.

    Attributes
    ----------
    kind : what happened
    parents, children : ids before and after
    frame : index of the frame in which they met or came apart
    radii_before, radii_after : px, of parents and children
    """

    kind: Kind
    parents: tuple[int, ...]
    children: tuple[int, ...]
    frame: int
    radii_before: tuple[float, ...]
    radii_after: tuple[float, ...]


class Encounters:
    """Watches tracks that are lost or begin beside others."""

    def __init__(self) -> None:
        self._meetings: list[Meeting] = []
        self._known: set[int] = set()

    def watch(self, tracks: Tracks, steps: FloatArray, index: int) -> list[Encounter]:
        """Return what has become clear with a frame.

        Parameters
        ----------
        tracks : those that were ever shown
        steps : (n,) px per frame, their random walks
        index : of the frame
        """
        row = {int(i): k for k, i in enumerate(tracks.id)}
        self._begin(tracks, steps, index)
        found, kept = [], []
        for meeting in self._meetings:
            if not self._goes_on(meeting, tracks, row):
                continue
            if meeting.waited < _PATIENCE:
                kept.append(meeting)
            elif (encounter := _verdict(meeting)) is not None:
                found.append(encounter)
        self._meetings = kept[-_MOST:]
        self._known = set(row)
        return found

    def state(self) -> dict[str, Any]:
        """Return plain values, for a snapshot."""
        return {
            "meetings": [asdict(one) for one in self._meetings],
            "known": sorted(self._known),
        }

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._meetings = [Meeting(**one) for one in state["meetings"]]
        self._known = set(state["known"])

    def _begin(self, tracks: Tracks, steps: FloatArray, index: int) -> None:
        """Look for tracks that were lost, or have begun, beside others."""
        place, _, var = tracks.bank.mean()
        seen = tracks.since == 0
        lost = (tracks.since > 0) & (tracks.since <= 2) & (tracks.seen >= _OLD)
        new = np.array([int(i) not in self._known for i in tracks.id], np.bool_)
        new &= bool(self._known) & (tracks.age <= _PATIENCE)
        watched = {(m.one, m.apart) for m in self._meetings}
        for k in np.flatnonzero(lost | new):
            apart = bool(new[k])
            if (int(tracks.id[k]), apart) in watched:
                continue
            others = seen & (tracks.seen >= _OLD) & ~new
            others[k] = False
            reach = tracks.radius[k] + tracks.radius + 2 * math.sqrt(var[k])
            away = np.hypot(*(place - place[k]).T)
            away[~others | (away > reach)] = np.inf
            j = int(away.argmin())
            if not np.isfinite(away[j]):
                continue
            rests = bool(steps[k] < _RESTS) != bool(steps[j] < _RESTS)
            self._meetings.append(
                Meeting(
                    int(tracks.id[k]), int(tracks.id[j]), apart, index, rests,
                    float(tracks.radius[k]), float(tracks.radius[j]),
                )
            )  # fmt: skip

    @staticmethod
    def _goes_on(meeting: Meeting, tracks: Tracks, row: dict[int, int]) -> bool:
        """Take in a frame; return whether both may still be what they seem."""
        one, other = row.get(meeting.one), row.get(meeting.other)
        meeting.waited += 1
        if other is None:
            return False
        if meeting.apart and one is None:
            return False
        if not meeting.apart and one is not None and tracks.since[one] == 0:
            return False
        if tracks.since[other] == 0 and meeting.waited > _PATIENCE // 3:
            meeting.after += float(tracks.measured_radius[other])
            meeting.count += 1
        if meeting.apart and one is not None:
            meeting.radius = float(tracks.radius[one])
        return True


def _verdict(meeting: Meeting) -> Encounter | None:
    """Return what happened, if the volumes say that something has."""
    if not meeting.count:
        return None
    after = meeting.after / meeting.count
    gained = after**3 - meeting.other_radius**3
    if meeting.apart:
        if -gained < _SHARE * meeting.radius**3:
            return None
        return Encounter(
            "split",
            (meeting.other,),
            (meeting.other, meeting.one),
            meeting.frame,
            (meeting.other_radius,),
            (after, meeting.radius),
        )
    if gained < _SHARE * meeting.radius**3:
        return None
    return Encounter(
        "attachment" if meeting.attached else "coalescence",
        (meeting.other, meeting.one),
        (meeting.other,),
        meeting.frame,
        (meeting.other_radius, meeting.radius),
        (after,),
    )

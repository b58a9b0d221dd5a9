"""The simulated instrument: the one place that holds its state, and its commands.

Commands are those of design 4.7: an action, its fields in SI units with the unit in
the name, absolute values only. What cannot be done exactly as asked is refused with
a reason and changes nothing; nothing is ever clamped.

``place_beam`` takes time: the beam stays on each point in turn, and goes back to what
it did before, so a scan goes on. Until then nothing else is done but a blank, which
puts an end to it.

Thread safety: one lock is held for the whole of a command and for every look at the
history; what is handed out is frozen. Any thread may call anything.
"""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from scopeside.scan import IntArray
from scopeside_adapters.simulator.commands import (
    Refused,
    changes_of,
    check_deadline,
    check_range,
    placing,
)
from scopeside_adapters.simulator.dose_truth import DoseTruth
from scopeside_adapters.simulator.history import History, Run
from scopeside_adapters.simulator.placing import Placement, Visit, Visits
from scopeside_adapters.simulator.state import State

REMEMBERED_IDS = 4096
Value = float | bool | str


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a command.

    Attributes
    ----------
    state
        The one after it.
    more
        What the answer to this action holds besides: ``visited`` of ``place_beam``.
    """

    id: str | int | None
    ok: bool
    reason: str
    state: State
    more: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as they travel on the control socket."""
        return {
            "id": self.id,
            "ok": self.ok,
            "reason": self.reason,
            "state": asdict(self.state),
            **self.more,
        }


class Microscope:
    """Holds the state of the instrument and changes it on command.

    Parameters
    ----------
    initial
        The state to begin with.
    longest_exposure_s
        The detector's frame time, if it has one: no exposure outlasts it.
    scans
        Whether it has a scanned field, in which the beam can be placed.
    optics
        What is fixed and tells optical states apart, such as ``high_tension_V``.
    now_ns
        The clock, nanoseconds since 1970 UTC.
    aspect
        Height over width of the picture, for the dose.

    Attributes
    ----------
    session
        A word that no other microscope bears, nor this one when it is made anew.
    """

    def __init__(
        self,
        initial: State | None = None,
        *,
        longest_exposure_s: float = math.inf,
        scans: bool = False,
        optics: Mapping[str, Value] | None = None,
        now_ns: Callable[[], int] = time.time_ns,
        aspect: float = 1.0,
    ) -> None:
        state = State() if initial is None else initial
        self.session = secrets.token_hex(8)
        self.optics = {} if optics is None else dict(optics)
        self._scans = scans
        self._longest_exposure_s = longest_exposure_s
        self._fov_at_1x_m = state.fov_m * state.magnification
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._answers: OrderedDict[str | int, Answer] = OrderedDict()
        self._history = History(state)
        self._placement: Placement | None = None
        self._visits = Visits()
        self._aspect = aspect
        self._truth: DoseTruth | None = None

    @property
    def state(self) -> State:
        """The state now."""
        with self._lock:
            return self._state()

    def readback(self, at_ns: int | None = None) -> dict[str, Any]:
        """Return the state as plain values: now, or as it was at a time.

        Times before the oldest state that is remembered get that oldest one.
        """
        if at_ns is None:
            return asdict(self.state)
        with self._lock:
            return asdict(self._history.at(at_ns))

    def reading(self) -> tuple[int, State]:
        """Return the state now, and when that is, ns since 1970."""
        with self._lock:
            return self._now_ns(), self._state()

    def dose(self, points_m: Sequence[tuple[float, float]] = ()) -> dict[str, Any]:
        """Return what the specimen has really received since this was asked first.

        While the beam is placed on points nothing is counted: no field is lit.

        Parameters
        ----------
        points_m : (y, x) of points of the specimen, metres

        Returns
        -------
        dict
            ``t_ns``; ``run_e_per_A2`` of all places as if they were one;
            ``points_e_per_A2``; ``forgotten``: changes of field that were too many to
            be remembered, so that points may have received more.
        """
        with self._lock:
            self._settle()
            now = self._now_ns()
            if self._truth is None:
                state = self._state()
                lit = state if self._placement is None else _unlit(state)
                self._truth = DoseTruth(lit, now, self._aspect)
            truth = self._truth
            truth.count(now)
            return {
                "t_ns": now,
                "run_e_per_A2": truth.run_e_per_A2,
                "points_e_per_A2": truth.at(points_m),
                "forgotten": truth.forgotten,
            }

    def states_at(self, timestamp_ns: IntArray) -> list[Run]:
        """Return runs (first, end, state) of the ascending times in `timestamp_ns`."""
        with self._lock:
            return self._history.runs(timestamp_ns)

    def visits(self, first: int = 0) -> tuple[int, int, list[Visit]]:
        """Return where the beam was placed: number of the first, number of all, stays.

        Those of a ``place_beam`` are added when it is over.
        """
        with self._lock:
            self._settle()
            begin, found = self._visits.since(first)
            return begin, self._visits.total, found

    def command(self, request: Mapping[str, Any]) -> Answer:
        """Carry out a command, or say why not; never raises on what it is asked.

        `request` holds ``action``, its fields, and ``id`` (text or whole number);
        it may hold ``created`` and ``deadline`` (ns since 1970), ``frame``, ``epoch``
        and ``session``. A command past its deadline is refused, and one for another
        session, unless it blanks. An id that was seen before (among the last
        `REMEMBERED_IDS`) gets the answer it got then.
        """
        with self._lock:
            name = request.get("id")
            self._settle()
            if type(name) not in (str, int) or name is None or name == "":
                reason = "a command needs an id, a text or a whole number"
                return Answer(None, False, reason, self._state())
            if name in self._answers:
                return self._answers[name]
            answer = self._act(name, request)
            self._answers[name] = answer
            if len(self._answers) > REMEMBERED_IDS:
                self._answers.popitem(last=False)
            return answer

    def dwells(self, name: str | int | None) -> bool:
        """Whether the beam still stands on the points of the command with that id.

        Its answer changes when that is over: ask for it then, by the same id.
        """
        with self._lock:
            self._settle()
            return self._placement is not None and self._placement.id == name

    # With the lock held ----------------------------------------------------------

    def _state(self) -> State:
        if self._placement is None:
            return self._history.last
        # A wall clock that was set back does not bring back what was before.
        return self._history.at(max(self._now_ns(), self._placement.since_ns))

    def _act(self, name: str | int, request: Mapping[str, Any]) -> Answer:
        before = self._state()
        try:
            now = self._now_ns()
            check_deadline(request.get("deadline"), now)
            self._check_time(request, now)
            if request.get("action") == "place_beam":
                return self._place(name, request, now)
            wanted = self._wanted(before, request)
        except Refused as refusal:
            return Answer(name, False, str(refusal), before)
        if wanted != before:
            wanted = replace(wanted, epoch=before.epoch + 1, probe=None)
            if self._placement is not None:
                self._history.end_placement()
                self._over(now)
            self._history.add(now, wanted)
            self._lit(wanted, now)
        return Answer(name, True, "", wanted)

    def _check_time(self, request: Mapping[str, Any], now_ns: int) -> None:
        """Refuse what is for another session or comes while the beam is placed."""
        if request.get("action") == "blank" and request.get("on") is True:
            return
        session = request.get("session")
        if session is not None and session != self.session:
            raise Refused(
                f"the microscope was started anew: it is session {self.session}, the "
                f"command is for {session!r:.60}"
            )
        if self._placement is not None:
            left_s = (self._placement.until_ns - now_ns) / 1e9
            raise Refused(f"the beam is placed on points, for another {left_s:.3g} s")

    def _place(
        self, name: str | int, request: Mapping[str, Any], now_ns: int
    ) -> Answer:
        before = self._history.last
        if not self._scans:
            raise Refused(
                "action 'place_beam' is not offered by the simulated microscope in "
                "this mode: it does not scan"
            )
        points, dwell_ns = placing(request)
        if before.blanked:
            raise Refused("the beam is blanked; there is none to place")
        since_ns = self._history.not_before(now_ns)
        placement = Placement(name, before, points, since_ns, dwell_ns)
        self._history.place(placement)
        self._placement = placement
        self._lit(_unlit(before), since_ns)
        return Answer(name, True, "", placement.state(0))

    def _settle(self) -> None:
        """Note that the placing of the beam is over, if it is."""
        if self._placement is not None:
            now = self._now_ns()
            if now >= self._placement.until_ns:
                self._over(now)

    def _over(self, now_ns: int) -> None:
        """End the placing of the beam: now, or when its time was over."""
        placement = self._placement
        assert placement is not None  # who calls this has looked
        visits = placement.visits(now_ns)
        self._visits.add(visits)
        self._placement = None
        done = now_ns >= placement.until_ns
        state = placement.after if done else placement.state_at(now_ns)
        n = len(placement.points)
        reason = (
            "" if done else f"a blank put an end to it on point {len(visits)} of {n}"
        )
        self._lit(state, min(now_ns, placement.until_ns))
        more = {"visited": len(visits)}
        self._answers[placement.id] = Answer(placement.id, done, reason, state, more)

    def _lit(self, state: State, t_ns: int) -> None:
        """Tell the account of the dose what is lit from now on."""
        if self._truth is not None:
            self._truth.change(state, t_ns)

    def _wanted(self, before: State, request: Mapping[str, Any]) -> State:
        changes = changes_of(request)
        if "fov_m" in changes:
            changes["magnification"] = self._fov_at_1x_m / changes["fov_m"]
            check_range("set_magnification", changes["magnification"])
        elif "magnification" in changes:
            changes["fov_m"] = self._fov_at_1x_m / changes["magnification"]
            check_range("set_fov", changes["fov_m"])
        if changes.get("exposure_s", 0.0) > self._longest_exposure_s:
            raise Refused(
                f"exposure_s = {changes['exposure_s']:g} is longer than the frame "
                f"time of {self._longest_exposure_s:g} s"
            )
        return replace(before, **changes)


def _unlit(state: State) -> State:
    """Return the state as the dose of fields sees it while none is lit."""
    return replace(state, blanked=True)

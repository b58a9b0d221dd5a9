"""The simulated instrument: the one place that holds its state, and its commands.

Commands are those of design 4.7: an action, its fields in SI units with the unit in
the name, absolute values only. What cannot be done exactly as asked is refused with
a reason and changes nothing; nothing is ever clamped.

Thread safety: one lock is held for the whole of a command and for every look at the
history; what is handed out is frozen. Any thread may call anything.
"""

from __future__ import annotations

import math
import threading
import time
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside_adapters.simulator.dose_truth import DoseTruth
from scopeside_adapters.simulator.state import State

REMEMBERED_IDS = 4096
REMEMBERED_STATES = 4096
ENVELOPE = frozenset({"action", "id", "created", "deadline", "frame", "epoch"})
# In design 4.7, but nothing that this instrument could do.
NOT_OFFERED = frozenset({"set_scan", "place_beam", "acquire"})


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an action: its name, what it sets, and what is allowed."""

    name: str
    sets: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Action:
    """What may be asked for; without `partial` every field must be there."""

    fields: tuple[Field, ...] = ()
    switches: str = ""
    to: bool | None = None
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a command; `state` is the one after it."""

    id: str | int | None
    ok: bool
    reason: str
    state: State

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as they travel on the control socket."""
        return {
            "id": self.id,
            "ok": self.ok,
            "reason": self.reason,
            "state": asdict(self.state),
        }


def _pair(prefix: str, limit: float) -> Action:
    return Action(
        tuple(Field(f"{a}_m", f"{prefix}_{a}_m", -limit, limit) for a in "xy")
    )


def _one(name: str, sets: str, low: float, high: float) -> Action:
    return Action((Field(name, sets, low, high),))


ACTIONS: Mapping[str, Action] = {
    "set_beam_shift": _pair("beam_shift", 5e-6),
    "set_image_shift": _pair("image_shift", 5e-6),
    "set_view_offset": _pair("view_offset", 5e-6),
    "move_stage": Action(
        (
            Field("x_m", "stage_x_m", -1e-3, 1e-3),
            Field("y_m", "stage_y_m", -1e-3, 1e-3),
            Field("z_m", "stage_z_m", -3e-4, 3e-4),
            Field("alpha_rad", "stage_alpha_rad", -1.25, 1.25),
            Field("beta_rad", "stage_beta_rad", -0.5, 0.5),
        ),
        partial=True,
    ),
    "set_defocus": _one("defocus_m", "defocus_m", -1e-4, 1e-4),
    "set_magnification": _one("value", "magnification", 50.0, 5e7),
    "set_fov": _one("width_m", "fov_m", 1e-10, 1e-3),
    "set_exposure": _one("exposure_s", "exposure_s", 1e-6, 100.0),
    "set_dose_rate": _one("e_per_A2_s", "dose_rate_e_per_A2_s", 0.0, 1e12),
    "blank": Action(switches="blanked"),
    "pause": Action(switches="paused", to=True),
    "resume": Action(switches="paused", to=False),
}


class _Refused(Exception):  # noqa: N818 - it is no error, and leaves this file never
    """Why a command is not carried out."""


class Microscope:
    """Holds the state of the instrument and changes it on command.

    Parameters
    ----------
    initial
        The state to begin with.
    longest_exposure_s
        The detector's frame time, if it has one: no exposure outlasts it.
    now_ns
        The clock, nanoseconds since 1970 UTC.
    aspect
        Height over width of the picture, for the dose.
    """

    def __init__(
        self,
        initial: State | None = None,
        *,
        longest_exposure_s: float = math.inf,
        now_ns: Callable[[], int] = time.time_ns,
        aspect: float = 1.0,
    ) -> None:
        state = State() if initial is None else initial
        self._longest_exposure_s = longest_exposure_s
        self._fov_at_1x_m = state.fov_m * state.magnification
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._answers: OrderedDict[str | int, Answer] = OrderedDict()
        self._states = deque([state], REMEMBERED_STATES)
        self._since_ns = deque([0], REMEMBERED_STATES)
        self._aspect = aspect
        self._truth: DoseTruth | None = None

    @property
    def state(self) -> State:
        """The state now."""
        with self._lock:
            return self._states[-1]

    def readback(self, at_ns: int | None = None) -> dict[str, Any]:
        """Return the state as plain values: now, or as it was at a time.

        Times before the oldest state that is remembered get that oldest one.
        """
        if at_ns is None:
            return asdict(self.state)
        with self._lock:
            return asdict(self._states[max(bisect_right(self._since_ns, at_ns), 1) - 1])

    def dose(self, points_m: Sequence[tuple[float, float]] = ()) -> dict[str, Any]:
        """Return what the specimen has really received since this was asked first.

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
        now = self._now_ns()
        with self._lock:
            truth = self._truth
            if truth is None:
                truth = self._truth = DoseTruth(self._states[-1], now, self._aspect)
            truth.count(now)
            return {
                "t_ns": now,
                "run_e_per_A2": truth.run_e_per_A2,
                "points_e_per_A2": truth.at(points_m),
                "forgotten": truth.forgotten,
            }

    def states_at(
        self, timestamp_ns: npt.NDArray[np.int64]
    ) -> list[tuple[int, int, State]]:
        """Return runs (first, end, state) of the ascending times in `timestamp_ns`."""
        with self._lock:
            if len(timestamp_ns) and timestamp_ns[0] >= self._since_ns[-1]:
                return [(0, len(timestamp_ns), self._states[-1])]
            since, states = np.array(self._since_ns), list(self._states)
        of_each = np.maximum(np.searchsorted(since, timestamp_ns, "right"), 1) - 1
        cuts = [0, *(np.flatnonzero(np.diff(of_each)) + 1).tolist(), len(of_each)]
        return [(a, b, states[of_each[a]]) for a, b in pairwise(cuts) if b > a]

    def command(self, request: Mapping[str, Any]) -> Answer:
        """Carry out a command, or say why not; never raises on what it is asked.

        `request` holds ``action``, its fields, and ``id`` (text or whole number);
        it may hold ``created`` and ``deadline`` (ns since 1970), ``frame`` and
        ``epoch``. A command past its deadline is refused. An id that was seen
        before (among the last `REMEMBERED_IDS`) gets the answer it got then.
        """
        with self._lock:
            name = request.get("id")
            if type(name) not in (str, int) or name is None or name == "":
                reason = "a command needs an id, a text or a whole number"
                return Answer(None, False, reason, self._states[-1])
            if name in self._answers:
                return self._answers[name]
            answer = self._act(name, request)
            self._answers[name] = answer
            if len(self._answers) > REMEMBERED_IDS:
                self._answers.popitem(last=False)
            return answer

    def _act(self, name: str | int, request: Mapping[str, Any]) -> Answer:
        before = self._states[-1]
        try:
            now = self._now_ns()
            _check_deadline(request.get("deadline"), now)
            wanted = self._wanted(before, request)
        except _Refused as refusal:
            return Answer(name, False, str(refusal), before)
        if wanted != before:
            wanted = replace(wanted, epoch=before.epoch + 1)
            self._states.append(wanted)
            # The history stays in order even if the wall clock is set back.
            self._since_ns.append(max(now, self._since_ns[-1]))
            if self._truth is not None:
                self._truth.change(wanted, now)
        return Answer(name, True, "", wanted)

    def _wanted(self, before: State, request: Mapping[str, Any]) -> State:
        changes = _changes(request)
        if "fov_m" in changes:
            changes["magnification"] = self._fov_at_1x_m / changes["fov_m"]
            _check_range("set_magnification", changes["magnification"])
        elif "magnification" in changes:
            changes["fov_m"] = self._fov_at_1x_m / changes["magnification"]
            _check_range("set_fov", changes["fov_m"])
        if changes.get("exposure_s", 0.0) > self._longest_exposure_s:
            raise _Refused(
                f"exposure_s = {changes['exposure_s']:g} is longer than the frame "
                f"time of {self._longest_exposure_s:g} s"
            )
        return replace(before, **changes)


def _check_deadline(deadline: Any, now_ns: int) -> None:
    if deadline is None:
        return
    if type(deadline) not in (int, float) or not math.isfinite(deadline):
        raise _Refused(f"deadline is a time in ns since 1970, not {deadline!r:.60}")
    if deadline < now_ns:
        raise _Refused(f"the deadline passed {(now_ns - deadline) / 1e6:.1f} ms ago")


def _changes(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes of state that a request asks for, all of them allowed."""
    name = request.get("action")
    action = ACTIONS.get(name) if isinstance(name, str) else None
    if action is None:
        why = "not offered by" if _is_known(name) else "unknown to"
        raise _Refused(f"action {name!r:.60} is {why} the simulated microscope")
    given = {key: value for key, value in request.items() if key not in ENVELOPE}
    if action.switches:
        return {action.switches: _switched(action, given)}
    allowed = {field.name: field for field in action.fields}
    _check_names(given, allowed, partial=action.partial)
    return {
        allowed[key].sets: _number(allowed[key], value) for key, value in given.items()
    }


def _is_known(name: Any) -> bool:
    return isinstance(name, str) and name in NOT_OFFERED


def _switched(action: Action, given: Mapping[str, Any]) -> bool:
    if action.to is not None:
        _check_names(given, {}, partial=False)
        return action.to
    _check_names(given, {"on": None}, partial=False)
    if type(given["on"]) is not bool:
        raise _Refused(f"on is true or false, not {given['on']!r:.60}")
    return given["on"]


def _check_names(
    given: Mapping[str, Any], allowed: Mapping[str, Any], *, partial: bool
) -> None:
    for key in given:
        if key not in allowed:
            known = ", ".join(allowed) or "none"
            raise _Refused(f"unknown field {key!r:.60}; this action has: {known}")
    if not given and allowed:
        raise _Refused(f"fields are missing: {', '.join(allowed)}")
    if not partial and (missing := [key for key in allowed if key not in given]):
        raise _Refused(f"fields are missing: {', '.join(missing)}")


def _number(field: Field, value: Any) -> float:
    if type(value) not in (int, float):
        raise _Refused(f"{field.name} is a number, not {value!r:.60}")
    if not field.low <= value <= field.high:  # false for NaN too
        raise _Refused(
            f"{field.name} = {value!r:.60} is outside {field.low:g} … {field.high:g}"
        )
    return float(value)


def _check_range(action: str, value: float) -> None:
    _number(ACTIONS[action].fields[0], value)

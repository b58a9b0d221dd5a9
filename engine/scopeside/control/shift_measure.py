"""Moves an actuator from place to place and watches where the picture goes.

It asks the guard of the running engine for every move, as a person: limits, dose and
audit log hold for it as for anybody. What moves the picture is put back where it was,
whatever happens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from scopeside.control.calibration import ACTIONS, difference, state_of
from scopeside.control.instrument import Readback
from scopeside.control.shift_fit import Visit
from scopeside.control.shift_plan import Place
from scopeside.errors import EngineError, RefusedError, ScopesideError
from scopeside.result import Result

FloatArray = npt.NDArray[np.float64]

NOW_BUSY = ("busy", "rate")
"""Refusals that pass by themselves."""
_AGAIN_S = 0.05


class GuardAsked(Protocol):
    """The guard, as a person asks it."""

    def status(self) -> Mapping[str, Any]:
        """Return its status; ``readback``: values by quantity, None while moving."""

    def do(self, action: str, fields: Mapping[str, float]) -> None:
        """Have it done; raises `RefusedError` if it is refused or fails."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Where the content was in one frame: (x, y) m, its covariance, end of exposure."""

    place: FloatArray
    covariance: FloatArray
    t_ns: int
    segment: str


@dataclass(slots=True)
class Measurement:
    """One measurement of one actuator.

    Attributes
    ----------
    results
        Of the drift of each frame, as they come; it ends when none has come for long.
    pixel_m
        (height, width) of a pixel on the specimen.
    frames
        Frames that are looked at in each place.
    settle_s
        After a move so long nothing is believed.
    every_s
        Shortest time between two moves.
    patience_s
        So long a place is tried, and a guard that is busy.
    say
        Told of each step.
    """

    guard: GuardAsked
    results: Iterator[Result]
    actuator: str
    pixel_m: tuple[float, float]
    frames: int
    settle_s: float
    every_s: float
    patience_s: float = 30.0
    say: Callable[[str], None] = lambda _: None
    now_ns: Callable[[], int] = time.time_ns
    sleep: Callable[[float], None] = time.sleep
    _moved_ns: int | None = field(default=None, init=False)
    _at: Place | None = field(default=None, init=False)
    """Where it is; None while that is not certain."""

    def run(self, places: Sequence[Place]) -> list[Visit]:
        """Visit all places and return what was seen; then go back to the first.

        Raises
        ------
        RefusedError
            If the guard refuses a move.
        EngineError
            If no drift comes, or the optical state becomes another.
        """
        before = state_of(self.actuator, self.readback())
        visits: list[Visit] = []
        self._at = places[0]
        try:
            for k, place in enumerate(places):
                if place != self._at:
                    self._go(place)
                visits.append(self._look())
                self.say(self._told(k, places, visits))
                if another := difference(before, self.readback()):
                    raise EngineError(
                        f"the optical state has changed: {another}; nobody may change "
                        "it while this is measured"
                    )
        finally:
            self._go_back(places[0])
        return visits

    def readback(self) -> Readback:
        """Return what the instrument is set to, once it stands still.

        Raises
        ------
        EngineError
            If the guard does not say for long.
        """
        until_ns = self.now_ns() + round(self.patience_s * 1e9)
        while self.now_ns() < until_ns:
            values = self.guard.status().get("readback")
            if values is not None:
                return Readback(self.now_ns(), values)
            self.sleep(_AGAIN_S)
        raise EngineError("the guard does not say what the instrument is set to")

    def place(self) -> Place:
        """Return where the actuator is, (x, y) m.

        Raises
        ------
        EngineError
            If the instrument does not say.
        """
        readback = self.readback()
        x, y = (readback.number(f"{self.actuator}_{axis}_m") for axis in "xy")
        if x is None or y is None:
            raise EngineError(
                f"the instrument does not say where its {self.actuator} is"
            )
        return x, y

    def _go(self, place: Place) -> None:
        """Move, as soon as the limits allow; a guard that is busy is asked again."""
        if self._moved_ns is not None:
            passed_s = (self.now_ns() - self._moved_ns) / 1e9
            self.sleep(max(0.0, self.every_s - passed_s))
        until_ns = self.now_ns() + round(self.patience_s * 1e9)
        while True:
            self._at, self._moved_ns = None, self.now_ns()
            try:
                x, y = place
                self.guard.do(ACTIONS[self.actuator], {"x_m": x, "y_m": y})
            except RefusedError as refused:
                if refused.cause not in NOW_BUSY or self.now_ns() > until_ns:
                    raise
                self.sleep(_AGAIN_S)
            else:
                self._at, self._moved_ns = place, self.now_ns()
                return

    def _go_back(self, start: Place) -> None:
        x, y = start
        try:
            if self._at != start:
                self._go(start)
        except ScopesideError as error:
            # What went wrong before is told as well, by whoever raised it.
            self.say(
                f"could NOT go back to {self.actuator} x = {x:g} m, y = {y:g} m: "
                f"{error}; put it there by hand"
            )
        else:
            self.say(f"{self.actuator} is back at x = {x:g} m, y = {y:g} m")

    def _look(self) -> Visit:
        """Return the mean of the next frames that were exposed after the last move."""
        moved_ns = self.now_ns() if self._moved_ns is None else self._moved_ns
        since_ns = moved_ns + round(self.settle_s * 1e9)
        until_ns = self.now_ns() + round((self.settle_s + self.patience_s) * 1e9)
        begun, seen = False, list[Seen]()
        for result in self.results:
            one = seen_in(result, self.pixel_m)
            t_ns = int(result.meta.get("t_frame_ns", 0))
            if begun and one is not None:
                if seen and one.segment != seen[-1].segment:
                    seen.clear()
                seen.append(one)
            # The frame that ends first after the move may have begun before it.
            begun = begun or t_ns >= since_ns
            if len(seen) == self.frames:
                return self._visit(seen)
            if self.now_ns() > until_ns:
                break
        raise EngineError(
            f"{len(seen)} of {self.frames} frames showed where the content is: drift "
            "does not come any more, or the content is not found"
        )

    def _visit(self, seen: Sequence[Seen]) -> Visit:
        return Visit(
            actuator=np.array(self.place()),
            place=np.mean([one.place for one in seen], axis=0),
            covariance=np.mean([one.covariance for one in seen], axis=0) / len(seen),
            t_s=float(np.mean([one.t_ns for one in seen])) / 1e9,
            segment=seen[0].segment,
        )

    def _told(self, k: int, places: Sequence[Place], visits: Sequence[Visit]) -> str:
        at = 1e9 * (np.array(places[k]) - places[0])
        content = 1e9 * (visits[-1].place - visits[0].place)
        return (
            f"{k + 1}/{len(places)}: {self.actuator} by ({at[0]:+.2f}, {at[1]:+.2f}) "
            f"nm, content at ({content[0]:+.2f}, {content[1]:+.2f}) nm"
        )


def seen_in(result: Result, pixel_m: tuple[float, float]) -> Seen | None:
    """Return where the content was, from a result ``drift``; None if it does not say.

    Parameters
    ----------
    pixel_m : (height, width) of a pixel on the specimen
    """
    if not result.valid or np.shape(result.data) != (2,):
        return None
    down, right = pixel_m
    yx = np.asarray(result.data, np.float64) * (down, right)
    spread = np.asarray(result.meta.get("covariance", np.zeros((2, 2))), np.float64)
    spread = spread * np.outer((down, right), (down, right))
    t_ns = result.meta.get("t_frame_ns")
    if t_ns is None or not np.isfinite(yx).all() or not np.isfinite(spread).all():
        return None
    segment = f"{result.meta.get('acq', '')}/{result.meta.get('segment', 0)}"
    return Seen(yx[::-1].copy(), spread[::-1, ::-1].copy(), int(t_ns), segment)

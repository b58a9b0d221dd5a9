"""``hold_still``: the view follows the specimen as it drifts.

Set-points are absolute: where the view was in that very frame, plus what the frame
shows of drift. So a command that takes frames to be seen is not given twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, model_validator

from scopeside.acquisition import Acquisition
from scopeside.control.instrument import Readback, Value
from scopeside.control.policy import Knows, Outcome, Seen
from scopeside.control.proposal import Wish
from scopeside.params import Params
from scopeside_processors.policies import field
from scopeside_processors.policies.asked import Asked
from scopeside_processors.policies.motion import Motion, Place
from scopeside_processors.policies.steering import ByStage, ByView, StageAxes, Steering
from scopeside_processors.policies.vector import Vector, vector_of

FloatArray = npt.NDArray[np.float64]

_LEAST_NM = 1e-3
"""What lies nearer to its place is there."""
_NM = 1e9


class HoldStillParams(Params):
    """``[[control.policy]]`` with ``kind = "hold_still"``."""

    gain: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Part of what is found that is taken back at once."""
    lead_frames: Annotated[float, Field(ge=0, le=16)] | None = None
    """Frames that drift is foreseen by; absent: as many as a command takes to be seen;
    0: none, and the view lags by that many frames of drift."""
    fit_frames: Annotated[int, Field(ge=3, le=64)] = 16
    """Last frames that a line is fitted to, at most."""
    dead_band_m: Annotated[float, Field(ge=0)] = 0.0
    """Nothing is asked for that is less than this, m."""
    dead_band_sigmas: Annotated[float, Field(ge=0, le=10)] = 1.0
    """Nor less than so many standard deviations of the vector."""
    max_step_px: Annotated[float, Field(gt=0)] = 10.0
    """Farther than this a specimen does not move in a frame, px; what does is believed
    when the third frame in a row says so."""
    min_confidence: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Vectors that say they are less sure are left out."""
    every_frames: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Shortest distance of two wishes, frames."""
    largest_m: Annotated[float, Field(gt=0)] | None = None
    """A longer way is gone in pieces of this, m; as `step` of the limits allows it."""
    let_go_after: Annotated[int, Field(ge=1, le=1000)] = 5
    """After so many refusals in a row the view is held where it is by then."""
    exposure_s: Annotated[float, Field(gt=0)] | None = None
    """Of a frame, s, where the acquisition does not say it."""
    steer: Literal["view", "stage"] = "view"
    """By what: view offset, or stage (slow drift where there is no shifter)."""
    stage: StageAxes | None = None
    """With steer = "stage": its axes, measured; no default."""

    @model_validator(mode="after")
    def _axes_are_known(self) -> Self:
        if (self.steer == "stage") != (self.stage is not None):
            raise ValueError('stage is given with steer = "stage", and only there')
        return self


class HoldStill:
    """Asks for the view that shows the specimen where it was."""

    Params: ClassVar[type[BaseModel]] = HoldStillParams

    def __init__(self, params: HoldStillParams) -> None:
        self._params = params
        self._steering: Steering = (
            ByView() if params.stage is None else ByStage(params.stage)
        )
        self._asked = Asked(params.let_go_after)
        self._motion = Motion(params.fit_frames)
        self._field: field.Field | None = None
        self._forget()

    @property
    def wants(self) -> tuple[str, ...]:
        """The vector of each frame."""
        return ("drift.drift",)

    def begin(self, acquisition: Acquisition) -> None:
        """Hold what it shows as soon as that is known well enough.

        Raises
        ------
        ConfigError
            If nobody says how long a frame is exposed; it then asks for nothing.
        """
        self._field = None
        self._forget()
        self._asked.begin()
        self._field = field.Field(acquisition, self._params.exposure_s)

    def hear(self, seen: Seen, microscope: Knows) -> Iterable[Wish]:
        """Take in the vector of a frame; ask for the view that takes it back."""
        vector = vector_of(seen.result)
        if self._field is None or self._field.id != seen.acquisition.id:
            return ()
        if vector is None:
            return ()
        if vector.segment != self._segment:
            self._begin_segment(vector)
        held = self._field.held(microscope, seen.t_ns)
        if held is None or vector.confidence < self._params.min_confidence:
            return ()
        pixel_m, view = self._field.pixel_m(held), self._steering.view(held)
        if pixel_m is None or view is None or not self._comparable(held):
            return ()
        self._look(vector, held, view, float(pixel_m.mean()))
        sigma_m = vector.sigma_px * float(pixel_m.mean())
        if not math.isfinite(sigma_m):
            return ()
        place = Place(vector.frame, view + vector.px * pixel_m, sigma_m)
        step_m = self._params.max_step_px * float(pixel_m.mean())
        if not self._motion.take(place, step_m):
            return ()
        # Who has lost results has no evidence, but the places count.
        if seen.missed or not self._undisturbed(microscope.now, held, view, step_m):
            return ()
        return self._wishes(place, view, self._held_px * pixel_m)

    def told(self, outcome: Outcome) -> Iterable[Wish]:
        """Take note; the next frame says what to ask for."""
        if self._asked.told(outcome):
            self._anew = True
        return ()

    # ------------------------------------------------------------------------------

    def _forget(self) -> None:
        self._segment: tuple[int, int] | None = None
        # Where content is held, px from where `drift` counts; while `_anew`, where the
        # next good frame shows it.
        self._held_px: FloatArray = np.zeros(2)
        self._anew = True
        self._optics: dict[str, Value] | None = None
        self._beside: tuple[float | None, ...] | None = None
        self._motion.forget()

    def _begin_segment(self, vector: Vector) -> None:
        """Hold what the first good frame of a segment shows: what was is lost."""
        self._segment = vector.segment
        self._anew = True
        self._optics = None
        self._motion.forget()

    def _comparable(self, held: Readback) -> bool:
        """Whether the picture is of the same optics as the segment's first.

        If not, the vector is against a picture of another size or turn: `drift` will
        begin a new segment.
        """
        found = field.optics(held)
        if self._optics is None:
            self._optics = found
        return field.same(found, self._optics)

    def _look(
        self, vector: Vector, held: Readback, view: FloatArray, pixel_m: float
    ) -> None:
        """See who has moved the view since the last frame, and hold still there."""
        expected = self._asked.expects
        tolerance_m = self._params.max_step_px * pixel_m
        others = self._asked.look(vector.frame, view, tolerance_m)
        beside = self._steering.beside(held)
        shoved = self._beside is not None and beside != self._beside
        self._beside = beside
        if shoved:
            # The stage goes never exactly where it says: places are new ones. If it was
            # moved for a wish of ours, what is held is the same.
            self._motion.forget()
            others = not expected
        if others or self._anew:
            self._held_px = vector.px
            self._anew = self._asked.pauses(vector.frame)

    def _undisturbed(
        self, now: Readback | None, held: Readback, view: FloatArray, tolerance_m: float
    ) -> bool:
        """Whether nobody else has moved the view since the frame was taken."""
        there = None if now is None else self._steering.view(now)
        if now is None or there is None:
            return False
        if self._steering.beside(now) != self._steering.beside(held):
            return False
        return self._asked.near(view, there, tolerance_m)

    def _wishes(
        self, place: Place, view: FloatArray, held_m: FloatArray
    ) -> Iterable[Wish]:
        params = self._params
        lead = self._asked.age if params.lead_frames is None else params.lead_frames
        target = self._motion.ahead(lead) - held_m
        goal = view + params.gain * (target - view)
        going_to = self._asked.goal(view)
        way = goal - going_to
        length = float(np.hypot(*way))
        band = max(params.dead_band_m, params.dead_band_sigmas * place.sigma_m)
        if not length > band or not math.isfinite(length):
            return ()
        if not self._asked.free(place.frame, params.every_frames):
            return ()
        if params.largest_m is not None and length > params.largest_m:
            goal = going_to + way * (params.largest_m / length)
        wish = Wish(*self._steering.ask(goal), self._why(place, view, held_m, lead))
        self._asked.ask(place.frame, goal, wish)
        return (wish,)

    def _why(
        self, place: Place, view: FloatArray, held_m: FloatArray, lead: float
    ) -> str:
        y, x = (place.yx - view - held_m) * _NM
        said = f"content lies {_aside(y, x)}where it is held"
        rate = self._motion.rate
        if rate is None or lead <= 0:
            return said
        down, right = rate * _NM
        return (
            f"{said}; specimen moves {down:+.3g}, {right:+.3g} nm a frame, foreseen by "
            f"{lead:.3g} frames"
        )


def _aside(y: float, x: float) -> str:
    """Return how far down and right something lies, nm: only what is not nothing."""
    parts = [
        f"{abs(value):.3g} nm {ahead if value > 0 else back}"
        for value, ahead, back in ((y, "down", "up"), (x, "right", "left"))
        if abs(value) >= _LEAST_NM
    ]
    return f"{', '.join(parts)} of " if parts else ""

"""``go_to_event``: look at what happens, closely, and come back.

States: `home`: events are waited for. `going`: centre, magnify, set the exposure.
`there`: stay. `returning`: undo it in the reverse order. `stopped`: a person goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, model_validator

from scopeside.acquisition import Acquisition
from scopeside.control.instrument import Readback, Value
from scopeside.control.policy import Knows, Outcome, Seen
from scopeside.control.proposal import Wish
from scopeside.params import Params
from scopeside_processors.policies import field
from scopeside_processors.policies.agenda import Agenda, Waiting
from scopeside_processors.policies.steering import ByView
from scopeside_processors.policies.steps import Steps
from scopeside_processors.policies.vector import vector_of

FloatArray = npt.NDArray[np.float64]
Positive = Annotated[float, Field(gt=0)]

_EVENT = "nucleation.nucleation"
_SURE = 0.5
_QUANTITY = {"value": "magnification", "width_m": "fov_m", "exposure_s": "exposure_s"}


class GoToEventParams(Params):
    """``[[control.policy]]`` with ``kind = "go_to_event"``."""

    status: Literal["confirmed", "candidate"] = "confirmed"
    """From when on an event counts."""
    min_confidence: Annotated[float, Field(ge=0, le=1)] = 0.8
    """Events that are less sure are not gone to."""
    magnification: Positive | None = None
    """At the event; absent: as it is."""
    fov_m: Positive | None = None
    """Width of the picture at the event, m, instead of the magnification."""
    new_exposure_s: Positive | None = None
    """Exposure of a frame at the event, s; absent: as it is."""
    stay_s: Positive = 10.0
    """Time of frames at the event, s."""
    then: Literal["return", "wait", "blank"] = "return"
    """After that: come back; wait for a person; blank the beam and wait."""
    apart_m: Positive = 20e-9
    """Events nearer than this to one that was visited are left out, m."""
    forget_s: Positive = 60.0
    """An event that has waited longer is left out, s."""
    clock: str = "drift.drift"
    """A result that comes with every frame, as processor.result: time is told by it,
    and what waits moves with the specimen if it is drift.drift."""
    exposure_s: Positive | None = None
    """Of a frame now, s, where the acquisition does not say it."""

    @model_validator(mode="after")
    def _one_way_to_magnify(self) -> Self:
        if self.magnification is not None and self.fov_m is not None:
            raise ValueError("give magnification or fov_m, not both")
        return self


class GoToEvent:
    """Goes to one event after the other."""

    Params: ClassVar[type[BaseModel]] = GoToEventParams

    def __init__(self, params: GoToEventParams) -> None:
        self._params = params
        self._agenda = Agenda(params.apart_m)
        self._view = ByView()
        self._field: field.Field | None = None
        self._forget()

    @property
    def state(self) -> str:
        """``home``, ``going``, ``there``, ``returning`` or ``stopped``."""
        return self._state

    @property
    def wants(self) -> tuple[str, ...]:
        """Events, and what comes with every frame."""
        return (_EVENT, self._params.clock)

    def begin(self, acquisition: Acquisition) -> None:
        """Forget all events; what is seen then is home.

        Raises
        ------
        ConfigError
            If nobody says how long a frame is exposed; it then asks for nothing.
        """
        self._field = None
        self._agenda.forget()
        self._forget()
        self._field = field.Field(acquisition, self._params.exposure_s)

    def hear(self, seen: Seen, microscope: Knows) -> Iterable[Wish]:
        """Take in an event, or that time has passed; ask for the next step."""
        if self._field is None or self._field.id != seen.acquisition.id:
            return ()
        held = self._field.held(microscope, seen.t_ns)
        if f"{seen.processor}.{seen.result.name}" == _EVENT:
            self._note(seen, held)
        elif held is not None:
            self._follow(seen, held)
        self._turn(seen.t_ns, held)
        # Who hears of a result that is invalid, or after lost ones, has no evidence.
        if self._steps is None or not seen.result.valid or seen.missed:
            return ()
        wish = self._steps.next(seen.result.frame)
        return () if wish is None else (wish,)

    def told(self, outcome: Outcome) -> Iterable[Wish]:
        """Take note; the next result brings the next step."""
        if self._steps is not None:
            self._steps.told(outcome)
        return ()

    # ------------------------------------------------------------------------------

    def _forget(self) -> None:
        self._state = "home"
        self._steps: Steps | None = None
        self._back: list[Wish] = []
        self._home_m = np.zeros(2)
        self._optics: dict[str, Value] = {}
        self._arrived_ns: int | None = None
        self._confidence, self._event_ns = 0.0, 0
        self._last: tuple[tuple[int, int], dict[str, Value], FloatArray] | None = None

    def _note(self, seen: Seen, held: Readback | None) -> None:
        """Put an event on the agenda, where on the specimen it is."""
        event = seen.result.data
        if not seen.result.valid or not isinstance(event, Mapping):
            return
        name, status = event.get("id"), event.get("status")
        if not isinstance(name, int):
            return
        if status in ("rejected", "dissolved"):
            self._agenda.drop(name)
        counts = ("confirmed", self._params.status)
        confidence = _number(event.get("confidence"))
        if status not in counts or not confidence >= self._params.min_confidence:
            return
        place = None if held is None else self._place(event, held)
        if place is not None:
            self._agenda.put(Waiting(name, place, confidence, seen.t_ns))

    def _place(self, event: Mapping[str, Any], held: Readback) -> FloatArray | None:
        """Return where an event is on the specimen, m; None if it cannot be said."""
        assert self._field is not None
        view, pixel_m = self._view.view(held), self._field.pixel_m(held)
        at_home = self._state == "home" or field.same(field.optics(held), self._optics)
        if view is None or pixel_m is None or not at_home:
            return None
        px = np.array([_number(event.get("y")), _number(event.get("x"))])
        middle = (np.array(self._field.shape) - 1) / 2
        place = view + (px - middle) * pixel_m
        return place if np.isfinite(place).all() else None

    def _follow(self, seen: Seen, held: Readback) -> None:
        """Move what waits, and home, with the specimen."""
        assert self._field is not None
        vector = vector_of(seen.result)
        view, pixel_m = self._view.view(held), self._field.pixel_m(held)
        if vector is None or vector.confidence < _SURE:
            return
        if view is None or pixel_m is None:
            return
        optics, place = field.optics(held), view + vector.px * pixel_m
        if self._last is not None:
            segment, before, last = self._last
            if segment == vector.segment and field.same(before, optics):
                self._agenda.move(place - last)
                self._home_m = self._home_m + place - last
        self._last = vector.segment, optics, place

    def _turn(self, t_ns: int, held: Readback | None) -> None:
        """Go from one state to the next, where it is time."""
        if self._state == "home" and held is not None and len(self._agenda):
            self._leave(t_ns, held)
        elif self._state == "going":
            self._arrive(t_ns)
        elif self._state == "there":
            assert self._arrived_ns is not None
            if t_ns - self._arrived_ns >= self._params.stay_s * 1e9:
                self._end_stay()
        elif self._state in ("returning", "ending"):
            assert self._steps is not None
            if self._steps.refused or (self._steps.finished and not self._returned()):
                self._stop()

    def _leave(self, t_ns: int, held: Readback) -> None:
        """Plan the way to the surest event, and the way back."""
        event = self._agenda.next(t_ns - round(self._params.forget_s * 1e9))
        view = self._view.view(held)
        if event is None or view is None:
            return
        there, back = self._settings(held, event.confidence)
        if len(there) != len(back) and self._params.then == "return":
            return  # what it is set to now is not known: it could not be set back
        self._home_m, self._optics = view, field.optics(held)
        self._confidence, self._event_ns = event.confidence, event.t_ns
        why = f"event {event.name}, confidence {event.confidence:.3g}"
        centre = self._wish(*self._view.ask(event.yx_m), why)
        self._back = back
        self._steps = Steps([centre, *there])
        self._state = "going"

    def _settings(
        self, held: Readback, confidence: float
    ) -> tuple[list[Wish], list[Wish]]:
        """Return the wishes that set what is wanted at the event, and set it back."""
        self._confidence = confidence
        params = self._params
        wanted = [
            ("set_magnification", "value", params.magnification),
            ("set_fov", "width_m", params.fov_m),
            ("set_exposure", "exposure_s", params.new_exposure_s),
        ]
        there, back = [], []
        for action, name, value in wanted:
            if value is None:
                continue
            there.append(self._wish(action, {name: value}, "for the event"))
            now = held.number(_QUANTITY[name])
            if now is not None:
                back.append(self._wish(action, {name: now}, "as it was before"))
        return there, back

    def _arrive(self, t_ns: int) -> None:
        assert self._steps is not None
        if self._steps.finished:
            self._state, self._arrived_ns, self._steps = "there", t_ns, None
        elif self._steps.refused or self._is_old(t_ns):
            # What has been done is undone: the centring first, settings after it.
            self._return(settings=self._steps.done - 1)

    def _is_old(self, t_ns: int) -> bool:
        """Whether the way to the event was not begun in time."""
        assert self._steps is not None
        age_ns = t_ns - self._event_ns
        return not self._steps.begun and age_ns > self._params.forget_s * 1e9

    def _end_stay(self) -> None:
        if self._params.then == "return":
            self._return(settings=len(self._back))
        elif self._params.then == "blank":
            self._steps = Steps(
                [self._wish("blank", {"on": True}, "the event is seen")]
            )
            self._state = "ending"
        else:
            self._stop()

    def _return(self, settings: int) -> None:
        """Plan the way back: so many settings are to be set back, the last first."""
        if settings < 0:
            self._state, self._steps = "home", None  # not even the centring was done
            return
        wishes = self._back[:settings][::-1]
        home = self._wish(*self._view.ask(self._home_m), "back from the event")
        self._steps, self._state = Steps([*wishes, home]), "returning"

    def _returned(self) -> bool:
        """Be home again, if that is where the steps have led."""
        if self._state != "returning":
            return False
        self._state, self._steps = "home", None
        return True

    def _stop(self) -> None:
        self._state, self._steps = "stopped", None

    def _wish(self, action: str, fields: dict[str, Any], why: str) -> Wish:
        return Wish(action, fields, why, confidence=self._confidence)


def _number(value: Any) -> float:
    """Return a number, NaN for anything else."""
    good = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if good else float("nan")

"""A policy on a desk: results go in by hand, read-backs are as they are said to be."""

from __future__ import annotations

from typing import Any

import numpy as np

from scopeside.acquisition import Acquisition
from scopeside.control.policy import Outcome, Policy, Seen
from scopeside.control.proposal import Wish
from scopeside.control.timeline import Timeline
from scopeside.result import Result
from scopeside.scan import Scan

FRAME_NS = 100_000_000
EXPOSURE_S = 0.05
PIXEL_M = 1e-9
SIDE = 101
NM = 1e-9


def acquisition(name: str = "a1", *, kind: str = "movie", **about: Any) -> Acquisition:
    """Frames of 101 × 101 px, each 1 nm, exposed for half of the time."""
    known = {"pixel_size_m": PIXEL_M, "exposure_s": EXPOSURE_S, "frame_time_s": 0.1}
    known |= about.pop("calibration", {})
    return Acquisition(
        name, (SIDE, SIDE), np.dtype("u2"), kind, calibration=known, **about
    )


def scan(rows: int, columns: int, name: str = "s1") -> Acquisition:
    """A 4D-STEM scan."""
    return acquisition(name, kind="scan4d", scan=Scan((rows, columns)), started_ns=0)


def drift(px: Any, frame: int, **meta: Any) -> Result:
    """A vector that is as sure and precise as vectors are."""
    about = {
        "confidence": 0.9,
        "covariance": [[1e-6, 0.0], [0.0, 1e-6]],
        "segment": 0,
    }
    about |= meta
    first = about.pop("first", 0)
    valid = about.pop("valid", True)
    data = np.asarray(px, float)
    return Result(
        "drift", data, "series", frame=frame, first=first, valid=valid, meta=about
    )


class Desk:
    """A policy and the microscope that it knows of.

    Attributes
    ----------
    wishes
        All that it has asked for.
    """

    def __init__(self, policy: Policy, about: Acquisition | None = None, **values: Any):
        self.policy = policy
        self.about = about or acquisition()
        self.timeline = Timeline()
        self.values: dict[str, Any] = {
            "view_offset_x_m": 0.0,
            "view_offset_y_m": 0.0,
            **values,
        }
        self.timeline.take(0, dict(self.values))
        self.wishes: list[Wish] = []
        self.frame = 0
        policy.begin(self.about)

    @property
    def t_ns(self) -> int:
        """The end of the exposure of the present frame."""
        return (self.frame + 1) * FRAME_NS

    def hear(self, result: Result, *, processor: str = "drift", **about: Any):
        """Give it a result of the present frame; return what it asks for."""
        seen = Seen(self.about, 0, "c", processor, result, self.t_ns, **about)
        found = list(self.policy.hear(seen, self.timeline))
        self.wishes += found
        return found

    def drift(self, px: Any, *, lost: int = 0, **meta: Any) -> list[Wish]:
        """Give it the vector of the next frame."""
        self.frame += 1
        return self.hear(drift(px, self.frame, **meta), missed=lost)

    def set(self, *, after_ns: int = 1, **values: Any) -> None:
        """Change what the microscope is set to, just after the present frame."""
        self.values |= values
        self.timeline.take(self.t_ns + after_ns, dict(self.values))

    def tell(self, wish: Wish, state: str = "done", cause: str = "") -> None:
        """Tell it what became of a wish; the read-back is another thing."""
        assert list(self.policy.told(Outcome(wish, state, "so", cause))) == []

    def do(self, wish: Wish) -> None:
        """Carry out a wish, as a microscope that does all it is asked would."""
        names = {
            "set_view_offset": ("view_offset_x_m", "view_offset_y_m"),
            "move_stage": ("stage_x_m", "stage_y_m"),
            "set_magnification": ("magnification",),
            "set_fov": ("fov_m",),
            "set_exposure": ("exposure_s",),
            "blank": ("blanked",),
        }[wish.action]
        keys = [key for key in ("x_m", "y_m") if key in wish.fields]
        fields = [wish.fields[key] for key in keys or wish.fields]
        self.set(**dict(zip(names, fields, strict=True)))
        self.tell(wish)

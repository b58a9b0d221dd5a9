"""What the dose of a frame is known from: electrons counted, or a dose rate."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

from scopeside_processors.insitu.camera import Camera
from scopeside_processors.insitu.exposure import (
    Coincidence,
    before_loss,
    pixel_area_A2,
)
from scopeside_processors.insitu.incoming import NOT_A_NUMBER, SATURATED, Condition

_SET = "set it in the table [acquisition.calibration]"
_TOO_MANY = "more electrons than the camera can count"
_NO_TIME = f"dose needs frame_time_s, or time stamps: {_SET}"


class Brought(NamedTuple):
    """What a frame has brought.

    Attributes
    ----------
    dose, variance
        In the beam's unit; the variance is that of counting.
    reason
        Why the dose is not known and another was put in its place.
    """

    dose: float
    variance: float = 0.0
    reason: str = ""


class Beam(Protocol):
    """Where doses come from, in e⁻/px or e⁻/Å².

    Attributes
    ----------
    per_px, per_A2
        What turns its unit into e⁻/px and e⁻/Å²; NaN if unknown.
    lacking
        What keeps the dose in e⁻/Å² from being known; empty if nothing does.
    relative
        Standard deviation of the calibration, relative; None if unknown.
    counted
        Whether its doses are counted, with an uncertainty that follows from it.
    """

    per_px: float
    per_A2: float  # noqa: N815 - Å
    lacking: str
    relative: float | None
    counted: bool

    def of(self, condition: Condition, time_s: float, last: float) -> Brought:
        """Return what a frame of `time_s` has brought; `last`, the one before it."""


class Counted:
    """A camera that counts electrons; the unit is e⁻/px."""

    counted = True

    def __init__(
        self,
        camera: Camera,
        pixels: int,
        share: float,
        relative: float | None,
        coincidence: Coincidence | None,
    ) -> None:
        self._gain, self._pixels, self._share = camera.gain, pixels, share
        self._coincidence = coincidence
        self.relative = relative
        self.per_A2 = 1 / pixel_area_A2(camera.known.pixel_size_m)
        self.per_px = 1.0
        self.lacking = ""
        if camera.known.counts_per_electron is None:
            self.per_px = self.per_A2 = math.nan
            self.lacking = f"dose needs counts_per_electron: {_SET}"
        elif camera.known.pixel_size_m is None:
            self.lacking = f"dose needs pixel_size_m for e⁻/Å²: {_SET}"

    def of(self, condition: Condition, time_s: float, last: float) -> Brought:  # noqa: ARG002 - counts need no clock
        """Return the electrons per pixel of a frame."""
        if condition.reason == NOT_A_NUMBER:
            return Brought(last, reason=NOT_A_NUMBER)
        counted = max(0.0, condition.mean / self._gain)
        came = before_loss(counted, self._coincidence)
        if math.isinf(came):
            return Brought(max(last, counted / self._share), reason=_TOO_MANY)
        dose = came / self._share
        variance = dose / self._share / self._pixels
        if condition.reason == SATURATED:
            return Brought(max(last, dose), variance, SATURATED)
        return Brought(dose, variance)


class Declared:
    """A beam whose dose rate somebody has measured; the unit is e⁻/Å²."""

    counted = False

    def __init__(self, camera: Camera) -> None:
        known = camera.known
        self._rate = known.dose_rate_e_per_A2_s or math.nan
        self.relative = known.dose_rate_relative_uncertainty
        self.per_px, self.per_A2 = pixel_area_A2(known.pixel_size_m), 1.0
        self.lacking = ""
        if known.dose_rate_e_per_A2_s is None:
            self.per_px = self.per_A2 = math.nan
            self.lacking = f"dose needs dose_rate_e_per_A2_s: {_SET}"

    def of(self, condition: Condition, time_s: float, last: float) -> Brought:
        """Return the dose of a frame's time; nothing of a blank one."""
        if condition.blank or self.lacking:
            return Brought(0.0)
        if math.isnan(time_s):
            return Brought(last, reason=_NO_TIME)
        return Brought(self._rate * time_s)

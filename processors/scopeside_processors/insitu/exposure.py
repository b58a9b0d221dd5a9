"""The account of the electrons that a field has received.

What was not seen is counted as if the beam had been on, since a dose that is stated
too low spoils more than one that is stated too high.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from scopeside.params import Params

A_PER_M = 1e10
"""Ångström in a metre."""


class Coincidence(Params):
    """How a counting camera loses electrons that come too close to each other."""

    area_px: Annotated[float, Field(gt=0)]
    """Around an electron, pixels in which another one is not counted."""
    frames: Annotated[int, Field(ge=1)] = 1
    """Frames that the camera counts one by one and adds up to one that is sent."""


def before_loss(e_per_px: float, coincidence: Coincidence | None) -> float:
    """Return the electrons that came, of those that were counted.

    Parameters
    ----------
    e_per_px : counted, electrons per pixel and frame
    coincidence : of the camera; None if it loses none

    Returns
    -------
    float
        n = -m ln(1 - a c / m) / a with c counted electrons per pixel, m frames counted
        one by one and an area of a pixels: c = m (1 - exp(-a n / m)) / a is the share
        of places that an electron has reached. Infinite where no dose explains them.

    Notes
    -----
    X. Li et al., Nature Methods 10, 584 (2013), doi:10.1038/nmeth.2472, show how the
    loss of a counting camera grows with the dose rate; P. Zambon, Frontiers in Physics
    12, 1408430 (2024), doi:10.3389/fphy.2024.1408430, compares models of it. This is
    the simplest one; its area is found from counts at several known dose rates.
    """
    if coincidence is None:
        return e_per_px
    filled = coincidence.area_px * e_per_px / coincidence.frames
    if filled >= 1:
        return math.inf
    return -coincidence.frames * math.log1p(-filled) / coincidence.area_px


def pixel_area_A2(pixel_size_m: tuple[float, float] | None) -> float:  # noqa: N802 - Å
    """Return the area of a pixel on the specimen, Å²; NaN if unknown."""
    if pixel_size_m is None:
        return math.nan
    return pixel_size_m[0] * A_PER_M * pixel_size_m[1] * A_PER_M


@dataclass(frozen=True, slots=True)
class Exposed:
    """What one frame has brought, and all until then.

    Attributes
    ----------
    own
        Dose of the frame.
    total
        Dose of the field until the end of the frame.
    unseen
        What of it was never seen: frames that are missing, and pauses.
    sigma
        Standard deviation of `total`: of counting, of the calibration where it is
        known, and of `unseen` as anything between none and all of it.
    """

    own: float
    total: float
    unseen: float
    sigma: float


class Account:
    """Adds up the dose of a field, frame after frame.

    In whatever unit the frames are given: electrons per pixel, or per Å².

    Parameters
    ----------
    relative_uncertainty
        Of the calibration, one standard deviation; None where nobody has said.
    """

    def __init__(self, relative_uncertainty: float | None) -> None:
        self._relative = relative_uncertainty or 0.0
        self._last = 0.0
        self._total = 0.0
        self._unseen = 0.0
        self._variance = 0.0

    @property
    def last(self) -> float:
        """Dose of the frame before."""
        return self._last

    def add(self, own: float, variance: float, unseen_frames: float) -> Exposed:
        """Take in a frame.

        Parameters
        ----------
        own : its dose
        variance : of that, from counting
        unseen_frames : how many frames' time before it nobody has seen; they count as
            the brighter of this frame and the one before
        """
        unseen = unseen_frames * max(own, self._last)
        self._unseen += unseen
        self._total += own + unseen
        self._variance += variance
        self._last = own
        systematic = (self._relative * self._total) ** 2
        sigma = math.sqrt(self._variance + systematic + self._unseen**2 / 12)
        return Exposed(own, self._total, self._unseen, sigma)

    def state(self) -> list[float]:
        """Return what it goes on from, for a snapshot."""
        return [self._last, self._total, self._unseen, self._variance]

    def take_over(self, state: list[float]) -> None:
        """Go on from what `state` gave."""
        self._last, self._total, self._unseen, self._variance = state

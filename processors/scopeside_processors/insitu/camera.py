"""What is known of the camera and the field of a movie, checked.

An acquisition says it in its table ``calibration``. What nobody has said is None.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import Field

from scopeside.acquisition import Acquisition
from scopeside.params import Params
from scopeside_processors.calibrated import Positive, PositivePair, known_of


class Known(Params):
    """The keys of an acquisition's calibration that the in-situ processors read."""

    model_config = {**Params.model_config, "extra": "ignore"}

    counts_per_electron: Positive | None = None
    """Counts of the camera for one electron."""
    offset_counts: float | None = None
    """Counts of a pixel without a beam, as an integrating camera adds them."""
    saturated_at: Positive | None = None
    """Counts from which a pixel is saturated; none: the largest that its dtype has."""
    pixel_size_m: PositivePair | None = None
    """[y, x] of a pixel on the specimen; one number stands for both."""
    frame_time_s: Annotated[float, Field(ge=0)] | None = None
    """From one frame to the next; 0 is unknown."""
    dose_rate_e_per_A2_s: Positive | None = None  # noqa: N815 - Å
    """Of the beam on the specimen, as somebody has measured it."""
    dose_rate_measured_on: str | datetime.date | None = None
    """When that was, as 2026-11-20."""
    dose_rate_relative_uncertainty: Annotated[float, Field(ge=0)] | None = None
    """Its standard deviation, relative to it."""


@dataclass(frozen=True, slots=True)
class Camera:
    """The camera of one acquisition.

    Attributes
    ----------
    known
        What the acquisition says, checked.
    offset
        Counts of a pixel without a beam; 0 where nobody has said.
    gain
        Counts of one electron; 1 where nobody has said.
    frame_time_s
        From one frame to the next, s; None where nobody has said.
    """

    known: Known
    offset: float
    gain: float
    frame_time_s: float | None

    @classmethod
    def of(cls, acquisition: Acquisition) -> Self:
        """Return the camera of an acquisition.

        Raises
        ------
        ConfigError
            If a value cannot be; the message names the key.
        """
        known = known_of(acquisition, Known)
        return cls(
            known,
            known.offset_counts or 0.0,
            known.counts_per_electron or 1.0,
            known.frame_time_s or None,
        )

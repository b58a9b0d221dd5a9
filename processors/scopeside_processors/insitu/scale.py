"""Turns pixels and frames into metres and seconds, where an acquisition says how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside_processors.insitu.camera import Camera
from scopeside_processors.insitu.growth_table import COLUMNS

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scale:
    """The size of a pixel and the time of a frame.

    Attributes
    ----------
    pixel_m, frame_s
        Geometric mean of both sides of a pixel on the specimen, and the time from frame
        to frame; None where nobody has said.
    """

    pixel_m: float | None
    frame_s: float | None

    @classmethod
    def of(cls, acquisition: Acquisition) -> Self:
        """Return the scale of an acquisition.

        Raises
        ------
        ConfigError
            If what it says cannot be.
        """
        camera = Camera.of(acquisition)
        sides = camera.known.pixel_size_m
        pixel = None if sides is None else float(np.sqrt(sides[0] * sides[1]))
        return cls(pixel, camera.frame_time_s)

    @property
    def known(self) -> bool:
        """Whether both are known."""
        return self.pixel_m is not None and self.frame_s is not None

    @property
    def meta(self) -> dict[str, Any]:
        """What belongs to results: the scale, if it is known."""
        found = {"pixel_size_m": self.pixel_m, "frame_time_s": self.frame_s}
        return {name: value for name, value in found.items() if value is not None}

    @property
    def diffusion(self) -> float:
        """m²/s in a px²/frame; NaN if it is not known."""
        if self.pixel_m is None or self.frame_s is None:
            return np.nan
        return self.pixel_m**2 / self.frame_s

    @property
    def nucleation(self) -> float:
        """Births per m² and s in one per px² and frame; 1 if it is not known."""
        if self.pixel_m is None or self.frame_s is None:
            return 1.0
        return 1 / (self.pixel_m**2 * self.frame_s)

    @property
    def nucleation_units(self) -> str:
        """Unit that goes with it."""
        return "1/(m² s)" if self.known else "1/(px² frame)"

    def growth(self, table: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return rate (m^(1/n)/s), speed (m/s) and radius (m) of a table of growth."""
        assert self.pixel_m is not None
        assert self.frame_s is not None
        exponent = table[:, COLUMNS.index("exponent")]
        power = 1 / np.where(exponent > 0, exponent, np.inf)
        rate = table[:, COLUMNS.index("rate")] * self.pixel_m**power / self.frame_s
        speed = table[:, COLUMNS.index("speed")] * self.pixel_m / self.frame_s
        return rate, speed, table[:, COLUMNS.index("radius_px")] * self.pixel_m

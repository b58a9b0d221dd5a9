"""What is known of the microscope and the scan, checked, in SI units and pixels.

An acquisition says it in its table ``calibration``. Who needs a value asks for it by
name; the error says which key is missing and where to set it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import field_validator

from scopeside.acquisition import Acquisition
from scopeside.errors import ConfigError
from scopeside.params import LocalPath, Params
from scopeside_processors.calibrated import Positive, PositivePair, known_of

FloatArray = npt.NDArray[np.float64]
Point = tuple[float, float]

_PLANCK = 6.62607015e-34
_ELECTRON_MASS = 9.1093837015e-31
_CHARGE = 1.602176634e-19
_LIGHT = 299792458.0

Plane = tuple[float, float, float]


def wavelength_m(beam_energy_eV: float) -> float:  # noqa: N803 - a unit is not a word
    """Return the relativistic wavelength of electrons, metres.

    λ = h c / √(E (E + 2 m c²)), with the CODATA 2018 constants.
    """
    energy = beam_energy_eV * _CHARGE
    rest = _ELECTRON_MASS * _LIGHT**2
    return _PLANCK * _LIGHT / math.sqrt(energy * (energy + 2 * rest))


class Known(Params):
    """The keys of an acquisition's calibration that the 4D-STEM processors read."""

    model_config = {**Params.model_config, "extra": "ignore"}

    beam_energy_eV: Positive | None = None  # noqa: N815 - a unit is not a word
    """Kinetic energy of the electrons."""
    semi_angle_rad: Positive | None = None
    """Half the angle of convergence."""
    scan_step_m: PositivePair | None = None
    """[y, x], from one probe position to the next."""
    detector_rad_per_px: PositivePair | None = None
    """[y, x], scattering angle per pixel of the camera."""
    centre_px: tuple[float, float] | None = None
    """[y, x] of the undiffracted beam, pixels; (0, 0) is the centre of the first."""
    scan_rotation_rad: float | None = None
    """Angle by which the scan's axes are turned against the camera's: a vector (y, x)
    on the camera points along R(-angle) · vector in the scan, see `to_scan`."""
    flip: bool = False
    """Whether the camera's rows run the other way (its y is negated first)."""
    defocus_m: float | None = None
    """Of the probe; positive is overfocus."""
    descan_px: tuple[Plane, Plane] | None = None
    """How the undiffracted beam wanders over the camera during a scan:
    [[y at position (0, 0), per row, per column], [x …]] in pixels."""
    ellipse: tuple[Positive, float] | None = None
    """[ratio of the long to the short axis of what should be a circle, angle of the
    long axis against the columns' direction (x) towards rows (y) in rad]."""
    aperture: LocalPath | list[Any] | None = None
    """The convergence disk as the camera sees it, without a sample: path of a .npy
    file of the frame's shape, or the array."""

    @field_validator("aperture", mode="before")
    @classmethod
    def _arrays_are_taken(cls, value: Any) -> Any:
        return value.tolist() if isinstance(value, np.ndarray) else value


@dataclass(frozen=True, slots=True)
class Calibration:
    """The calibration of one acquisition.

    Attributes
    ----------
    known
        What its table says, checked.
    frame_shape
        (height, width) of its frames, pixels.
    """

    known: Known
    frame_shape: tuple[int, int]

    @classmethod
    def of(cls, acquisition: Acquisition) -> Self:
        """Return the calibration of an acquisition.

        Raises
        ------
        ConfigError
            If a value cannot be; the message names the key.
        """
        known = known_of(acquisition, Known)
        return cls(known, acquisition.frame_shape)

    def need(self, key: str, who: str) -> Any:
        """Return the value of a key that `who`, a processor, cannot do without.

        Raises
        ------
        ConfigError
            If nobody has said it.
        """
        value = getattr(self.known, key)
        if value is None:
            raise ConfigError(
                f"{who} needs {key}, which neither the detector nor the pipeline file "
                f"says: set {key} in the table [acquisition.calibration]"
            )
        return value

    def wavelength_m(self, who: str) -> float:
        """Return the wavelength of the beam, metres; `who` needs it."""
        return wavelength_m(self.need("beam_energy_eV", who))

    def aperture(self, who: str) -> FloatArray | None:
        """Return the aperture's image, (height, width) float64 ≥ 0; None if unknown.

        Raises
        ------
        ConfigError
            If the file cannot be read, or is no image of the frame's shape.
        """
        said = self.known.aperture
        if said is None:
            return None
        try:
            found = (
                np.load(said, allow_pickle=False) if isinstance(said, Path) else said
            )
            image = np.asarray(found, np.float64)
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(f"{who}: aperture {said!r:.80}: {error}") from error
        if image.shape != self.frame_shape:
            raise ConfigError(
                f"{who}: aperture is {image.shape}, frames are {self.frame_shape}"
            )
        if not (np.isfinite(image).all() and image.min() >= 0 and image.max() > 0):
            raise ConfigError(f"{who}: aperture holds NaN, negative values, or nothing")
        return image

    def to_scan(self) -> FloatArray:
        """Return the matrix (2, 2) that turns (y, x) on the camera into the scan's.

        First y is negated if the camera is flipped, then the vector is turned back by
        the angle of scan rotation.
        """
        angle = self.known.scan_rotation_rad or 0.0
        cos, sin = math.cos(angle), math.sin(angle)
        # In (y, x): x' = x cos + y sin, y' = -x sin + y cos turns by -angle.
        turn = np.array([[cos, -sin], [sin, cos]])
        mirror = np.diag([-1.0 if self.known.flip else 1.0, 1.0])
        matrix: FloatArray = turn @ mirror
        return matrix

    def centres(self, places: npt.NDArray[np.int64], columns: int) -> FloatArray:
        """Return the undiffracted beam at flat scan ``places (n,)``: (n, 2) pixels.

        Descan is followed where it is known; without any centre, the middle of the
        frame is taken.

        Parameters
        ----------
        places : flat positions, row · columns + column
        columns : of the scan
        """
        row, column = np.divmod(places, columns)
        if self.known.descan_px is not None:
            plane = np.array(self.known.descan_px)
            seen: FloatArray = np.stack([np.ones_like(row), row, column], 1) @ plane.T
            return seen
        middle = self.known.centre_px or tuple((n - 1) / 2 for n in self.frame_shape)
        return np.tile(np.array(middle, np.float64), (len(places), 1))

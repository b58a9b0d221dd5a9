"""An annulus around the beam, as the scan's axes see it.

Pixels are put where they would lie on a camera without distortion, with square pixels,
whose columns and rows run along the scan's. Angles count from the columns' direction
(x) towards rows (y).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.errors import ConfigError
from scopeside_processors.stem.calibration import Calibration
from scopeside_processors.stem.detectors import Point, Shape

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

Unit = Literal["px", "mrad", "1/Å"]
LEAST_SHARE = 0.75
"""Of its area an annulus must have on the detector."""
_SUBPIXEL = 4


@dataclass(frozen=True, slots=True)
class Geometry:
    """How the camera lies against the scan, and which of its pixels count.

    Attributes
    ----------
    shape
        (height, width) of frames, pixels.
    living
        (height, width) bool as bytes, the pixels that count.
    ellipse, pitch, matrix
        ``ellipse``, ``detector_rad_per_px`` and `Calibration.to_scan` of the
        calibration.
    """

    shape: Shape
    living: bytes
    ellipse: tuple[float, float]
    pitch: tuple[float, float]
    matrix: tuple[float, float, float, float]

    @property
    def held(self) -> BoolArray:
        """The pixels that count, (height, width)."""
        return np.frombuffer(self.living, np.bool_).reshape(self.shape)

    def straightened(self, centre: Point) -> tuple[FloatArray, FloatArray]:
        """Return where each pixel lies from `centre`, (height, width) y and x.

        An ellipse is made a circle whose radius is the geometric mean of its half-axes,
        pixels are made squares of the same area, then they are turned into the scan.
        """
        row, column = np.mgrid[: self.shape[0], : self.shape[1]].astype(np.float64)
        y, x = row - centre[0], column - centre[1]
        ratio, angle = self.ellipse
        if ratio != 1:
            cos, sin = math.cos(angle), math.sin(angle)
            along = (x * cos + y * sin) / math.sqrt(ratio)
            across = (y * cos - x * sin) * math.sqrt(ratio)
            y, x = along * sin + across * cos, along * cos - across * sin
        tall, wide = self.pitch
        y, x = y * math.sqrt(tall / wide), x * math.sqrt(wide / tall)
        a, b, c, d = self.matrix
        return a * y + b * x, c * y + d * x


def geometry_of(living: BoolArray, calibration: Calibration) -> Geometry:
    """Return the geometry that a calibration says, with the pixels that count."""
    known = calibration.known
    a, b, c, d = calibration.to_scan().reshape(4).tolist()
    return Geometry(
        calibration.frame_shape,
        living.tobytes(),
        known.ellipse or (1.0, 0.0),
        known.detector_rad_per_px or (1.0, 1.0),
        (a, b, c, d),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Annulus:
    """The pixels of an annulus.

    Attributes
    ----------
    pixel
        (m,) int64, flat.
    y, x
        (m,) float64, px of the mean pitch, from the beam, along the scan's axes.
    living
        (m,) bool, those that count.
    share
        Of the area of the annulus that those cover.
    """

    pixel: IntArray
    y: FloatArray
    x: FloatArray
    living: BoolArray
    share: float

    @property
    def counted(self) -> IntArray:
        """The pixels that count, (k,) int64, flat."""
        return self.pixel[self.living]


def pixels_per_unit(unit: Unit, calibration: Calibration, who: str) -> float:
    """Return how many pixels, of the mean pitch, one `unit` is.

    Raises
    ------
    ConfigError
        If the calibration lacks what the unit needs.
    """
    if unit == "px":
        return 1.0
    pitch = math.sqrt(math.prod(calibration.need("detector_rad_per_px", who)))
    if unit == "mrad":
        return 1e-3 / pitch
    return 1e10 * calibration.wavelength_m(who) / pitch


def usual_unit(calibration: Calibration) -> Unit:
    """Return 1/Å, mrad if the beam is not calibrated, px if the camera is not."""
    known = calibration.known
    if known.detector_rad_per_px is None:
        return "px"
    return "mrad" if known.beam_energy_eV is None else "1/Å"


class Centres:
    """Where the beam is in each frame, and what is laid out around it.

    Parameters
    ----------
    said
        (y, x) of the beam in pixels; None takes it from the calibration, descan too.
    """

    def __init__(self, acquisition: Acquisition, said: Point | None) -> None:
        self.calibration = Calibration.of(acquisition)
        self._scan, self._said = acquisition.scan, said
        self._shape = acquisition.frame_shape

    def groups(self, index: IntArray) -> Iterator[tuple[Point, IntArray]]:
        """Yield each centre, rounded to a quarter of a pixel, and its rows of `index`.

        Frames without a position are taken as those of the first.
        """
        centres = self._of(index)
        rounded = np.round(centres * _SUBPIXEL) / _SUBPIXEL
        found, of = np.unique(rounded, axis=0, return_inverse=True)
        for k, (y, x) in enumerate(found.tolist()):
            yield (y, x), np.flatnonzero(of.reshape(-1) == k)

    @property
    def moves(self) -> bool:
        """Whether the beam wanders."""
        descan = self.calibration.known.descan_px
        drifts = descan is not None and any(a[1] or a[2] for a in descan)
        return self._said is None and drifts and self._scan is not None

    @property
    def first(self) -> Point:
        """The centre at the first position of the scan, as `groups` has it."""
        ((centre, _),) = self.groups(np.zeros(1, np.int64))
        return centre

    def _of(self, index: IntArray) -> FloatArray:
        if self._said is not None:
            return np.tile(np.array(self._said, np.float64), (len(index), 1))
        if self._scan is None:
            return self.calibration.centres(np.zeros(len(index), np.int64), 1)
        place = np.maximum(self._scan.position_of(index), 0) % self._scan.positions
        return self.calibration.centres(place, self._scan.shape[1])


@lru_cache(maxsize=64)
def annulus(geometry: Geometry, centre: Point, radii: tuple[float, float]) -> Annulus:
    """Return the pixels between two radii, in px."""
    y, x = geometry.straightened(centre)
    r = np.hypot(y, x)
    pixel = np.flatnonzero((r >= radii[0]) & (r <= radii[1]))
    living = geometry.held.reshape(-1)[pixel]
    area = math.pi * (radii[1] ** 2 - radii[0] ** 2)
    share = min(1.0, float(living.sum()) / area)
    return Annulus(pixel, y.reshape(-1)[pixel], x.reshape(-1)[pixel], living, share)


def must_be_on_detector(found: Annulus, radii: tuple[float, float], who: str) -> None:
    """Refuse an annulus that lies off the detector.

    Raises
    ------
    ConfigError
        If less than `LEAST_SHARE` of it is there.
    """
    if found.share < LEAST_SHARE:
        raise ConfigError(
            f"{who}: {100 * found.share:.0f} % of the ring from {radii[0]:.4g} to "
            f"{radii[1]:.4g} px lies on the detector, and {100 * LEAST_SHARE:.0f} % "
            "must: set r_in and r_out, or the centre"
        )

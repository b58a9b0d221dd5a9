"""Rings around the beam: which bin of a radial profile each pixel belongs to.

Bins tile the radii from `r_min` to `r_max` in equal steps. Bin k has its middle at
``r_min + (k + 1/2) step`` and holds the pixels whose centre is nearer to it than to any
other middle; halfway, the upper bin has it. If pixels are split, this holds for their
parts, n x n of the same size, each of which bears the counts of the whole pixel: sums
stay whole numbers, and means are those of pixels that are shared out by area.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, Field

from scopeside import params
from scopeside.acquisition import Acquisition
from scopeside.errors import ConfigError
from scopeside.params import LocalPath
from scopeside_processors.kernels.radial import MOST_RINGS, Rings, rings_of
from scopeside_processors.stem.calibration import Calibration
from scopeside_processors.stem.detectors import Detector, Point, Shape, load_mask
from scopeside_processors.stem.layout import pixels_of

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

Unit = Literal["px", "mrad", "1/Å", "rad/Å"]
_SPELLINGS = {"1/A": "1/Å", "rad/A": "rad/Å", "1/Å": "1/Å", "rad/Å": "rad/Å"}
_KEPT_BYTES = 64 << 20


def _spelled(value: Any) -> Any:
    return _SPELLINGS.get(value, value) if isinstance(value, str) else value


Units = Annotated[Unit | None, BeforeValidator(_spelled)]
PixelList = tuple[tuple[int, int], ...]


class RingParams(params.Params):
    """Where the rings lie."""

    centre: Point | Literal["calibration"] | None = None
    """[cy, cx] in pixels; 'calibration': centre_px of the acquisition, or descan_px,
    which is followed; none: the same where it is known, else the frame's middle."""
    units: Units = None
    """px, mrad, 1/Å (k = θ/λ) or rad/Å (q = 2πθ/λ; 1/A and rad/A are understood); none:
    1/Å where camera and beam are calibrated, mrad where the camera is, else px."""
    r_min: float = Field(0.0, ge=0)
    """Where the first bin begins, in `units`."""
    r_max: Annotated[float, Field(gt=0)] | None = None
    """Where the last bin ends, in `units`; none: the furthest edge of the frame."""
    bins: Annotated[int, Field(ge=1, le=MOST_RINGS)] | None = None
    """Number of bins; none: as `step` says."""
    step: Annotated[float, Field(gt=0)] | None = None
    """Width of a bin, in `units`; none: of one pixel, or as `bins` says."""
    mask: Detector | None = None
    """The pixels that count, such as { disk = [cy, cx, r] }; none: all of them."""
    dead: LocalPath | PixelList | None = None
    """Pixels that do not count: [[row, column], …], or a .npy file of the frame's
    shape that holds 1 for them and 0 for the others."""
    subpixel: int = Field(4, ge=1, le=16)
    """Centres that follow descan are rounded to 1/subpixel px."""
    split: int = Field(1, ge=1, le=8)
    """Into split x split parts each pixel is divided, which belong to bins of their
    own; the work grows with their number."""
    saturated_at: Annotated[float, Field(gt=0)] | None = None
    """Counts from which a pixel is saturated; a frame with one that counts is invalid.
    None: no pixel is."""


@dataclass(frozen=True, slots=True)
class Axis:
    """The bins of a radial profile.

    Attributes
    ----------
    r_min, step
        In `units`.
    bins
        How many there are.
    units
        px, mrad, 1/Å or rad/Å.
    scale
        (y, x), units per pixel.
    ellipse
        Ratio of the long to the short axis of what should be a circle, and the angle of
        the long axis against the columns' direction towards rows, rad.
    """

    r_min: float
    step: float
    bins: int
    units: str
    scale: tuple[float, float]
    ellipse: tuple[float, float] = (1.0, 0.0)

    @property
    def middles(self) -> FloatArray:
        """The middle of each bin, (bins,), in `units`."""
        place = np.arange(self.bins, dtype=np.float64) + 0.5
        return np.asarray(self.r_min + place * self.step, np.float64)

    def radius(self, shape: Shape, centre: Point) -> FloatArray:
        """Return the distance of each pixel from `centre` (y, x), in `units`.

        An ellipse is made a circle whose radius is the geometric mean of its half-axes;
        then pixels are scaled.
        """
        row, column = np.ogrid[: shape[0], : shape[1]]
        y, x = row - float(centre[0]), column - float(centre[1])
        ratio, angle = self.ellipse
        if ratio != 1:
            cos, sin = math.cos(angle), math.sin(angle)
            along = (x * cos + y * sin) / math.sqrt(ratio)
            across = (y * cos - x * sin) * math.sqrt(ratio)
            y, x = along * sin + across * cos, along * cos - across * sin
        squared: FloatArray = (y * self.scale[0]) ** 2 + (x * self.scale[1]) ** 2
        return np.sqrt(squared)

    def label(self, shape: Shape, centre: Point) -> IntArray:
        """Return the bin of each pixel, (height, width), -1 where it is in none."""
        place = (self.radius(shape, centre) - self.r_min) / self.step
        inside = (place >= 0) & (place < self.bins)
        return np.where(inside, np.floor(place), -1).astype(np.int64)

    @property
    def meta(self) -> dict[str, Any]:
        """What a result says of its bins."""
        return {"r_min": self.r_min, "step": self.step, "units": self.units}


def axis_of(params: RingParams, calibration: Calibration, who: str) -> Axis:
    """Return the bins that `params` asks for.

    Raises
    ------
    ConfigError
        If the calibration lacks what the units need, or the bins cannot be.
    """
    units, scale = _scale(params.units, calibration, who)
    centre, pitch = _middle(params, calibration), min(scale)
    reach = [
        max(at + 0.5, size - 0.5 - at) * one
        for at, size, one in zip(centre, calibration.frame_shape, scale, strict=True)
    ]
    if params.bins and params.step and params.r_max:
        raise ConfigError(f"{who}: of bins, step and r_max give two at most")
    if params.bins and params.step:
        r_max = params.r_min + params.bins * params.step
    else:
        r_max = params.r_max or max(reach)
    if r_max <= params.r_min:
        raise ConfigError(
            f"{who}: r_min = {params.r_min:g} must be below r_max = {r_max:g} {units}"
        )
    if params.bins:
        bins, step = params.bins, params.step or (r_max - params.r_min) / params.bins
    else:
        step = params.step or pitch
        # What is left over by rounding alone is no bin.
        bins = max(1, math.ceil((r_max - params.r_min) / step - 1e-6))
    if bins > MOST_RINGS:
        raise ConfigError(
            f"{who}: step = {step:g} {units} makes {bins} bins; at most "
            f"{MOST_RINGS} can be"
        )
    ellipse = calibration.known.ellipse or (1.0, 0.0)
    return Axis(params.r_min, step, bins, units, scale, ellipse)


def held_by(params: RingParams, shape: Shape, centre: Point, who: str) -> BoolArray:
    """Return the pixels of a frame that count, (height, width).

    Raises
    ------
    ConfigError
        If a mask or the dead pixels cannot be used.
    """
    held = np.ones(shape, np.bool_)
    if params.mask is not None:
        held = pixels_of("mask", params.mask, shape, centre)
        if held.dtype != np.bool_:
            raise ConfigError(
                f"{who}: mask.mask: {params.mask.mask} holds weights; a "
                "pixel counts or does not: 1 or 0"
            )
    if params.dead is None:
        return held
    return held & ~_dead(params.dead, shape, who)


def centre_is_known(params: RingParams, calibration: Calibration, who: str) -> None:
    """Refuse a centre that the calibration has to say and does not.

    Raises
    ------
    ConfigError
        It names the key.
    """
    if params.centre == "calibration" and calibration.known.descan_px is None:
        calibration.need("centre_px", who)


@dataclass(frozen=True, slots=True, eq=False)
class RingSet:
    """The rings around one centre.

    Attributes
    ----------
    parts
        Of the same part of each pixel.
    pixels
        (bins,) int64: how many parts of pixels each ring has.
    """

    parts: tuple[Rings, ...]
    pixels: IntArray


class RingMaps:
    """The rings of frames, whose centre may move.

    Parameters
    ----------
    held : (height, width) bool, the pixels that count
    """

    def __init__(self, params: RingParams, acquisition: Acquisition, who: str) -> None:
        calibration = Calibration.of(acquisition)
        centre_is_known(params, calibration, who)
        self.axis = axis_of(params, calibration, who)
        self._calibration, self._scan = calibration, acquisition.scan
        self.middle = _middle(params, calibration)
        self._shape = acquisition.frame_shape
        self.held = held_by(params, self._shape, self.middle, who)
        self._subpixel, self.split = params.subpixel, params.split
        self.moves = _moves(params, acquisition, calibration)
        self._kept: OrderedDict[Point, RingSet] = OrderedDict()
        if not self.of(self.middle).pixels.any():
            raise ConfigError(
                f"{who}: no pixel that counts lies between r_min = {self.axis.r_min:g} "
                f"and {self.axis.r_min + self.axis.bins * self.axis.step:g} "
                f"{self.axis.units} around the centre ({self.middle[0]:g}, "
                f"{self.middle[1]:g}): set r_min, r_max, mask or centre"
            )

    @property
    def fixed(self) -> RingSet:
        """The rings where the centre does not move, else those in mid-scan."""
        return self.of(self.middle)

    def of(self, centre: Point) -> RingSet:
        """Return the rings around a centre (y, x)."""
        found = self._kept.pop(centre, None)
        if found is None:
            parts = tuple(
                rings_of(label, self.axis.bins) for label in self.labels(centre)
            )
            pixels = np.sum([part.pixels for part in parts], axis=0)
            found = RingSet(parts, pixels)
            most = max(2, _KEPT_BYTES // (2 * self.held.size * len(parts)))
            while len(self._kept) >= most:
                self._kept.popitem(last=False)
        self._kept[centre] = found
        return found

    def labels(self, centre: Point) -> Iterator[IntArray]:
        """Yield the bin of each part of the pixels, (height, width), -1 for none."""
        offsets = (np.arange(self.split) + 0.5) / self.split - 0.5
        for y in offsets.tolist():
            for x in offsets.tolist():
                label = self.axis.label(self._shape, (centre[0] - y, centre[1] - x))
                yield np.where(self.held, label, -1)

    def centres(self, places: IntArray) -> FloatArray:
        """Return the rounded centre at flat places of the scan, (n, 2)."""
        assert self._scan is not None
        columns = self._scan.shape[1]
        found = self._calibration.centres(places % self._scan.positions, columns)
        rounded: FloatArray = np.round(found * self._subpixel) / self._subpixel
        return rounded

    def off(self, centres: FloatArray) -> BoolArray:
        """Return which centres (n, 2) lie off the detector."""
        size = np.array(self._shape)
        outside: BoolArray = (centres < -0.5) | (centres > size - 0.5)
        return np.logical_or(outside[:, 0], outside[:, 1])


def _middle(params: RingParams, calibration: Calibration) -> Point:
    """Return the centre, or, where it moves, that of the scan's first position."""
    if params.centre is not None and params.centre != "calibration":
        return float(params.centre[0]), float(params.centre[1])
    known = calibration.known
    if known.centre_px is not None:
        return known.centre_px
    y, x = calibration.centres(np.zeros(1, np.int64), 1)[0].tolist()
    return y, x


def _moves(
    params: RingParams, acquisition: Acquisition, calibration: Calibration
) -> bool:
    said = params.centre is None or params.centre == "calibration"
    plane = calibration.known.descan_px
    drifts = plane is not None and any(axis[1] or axis[2] for axis in plane)
    return said and drifts and acquisition.scan is not None


def _scale(
    units: str | None, calibration: Calibration, who: str
) -> tuple[str, tuple[float, float]]:
    """Return the units, and how many of them a pixel is (y, x)."""
    known = calibration.known
    if units is None and known.detector_rad_per_px is None:
        units = "px"
    elif units is None:
        units = "mrad" if known.beam_energy_eV is None else "1/Å"
    if units == "px":
        return units, (1.0, 1.0)
    y, x = calibration.need("detector_rad_per_px", who)
    if units == "mrad":
        return units, (1e3 * y, 1e3 * x)
    turn = 1.0 if units == "1/Å" else 2 * math.pi
    per_rad = turn / (1e10 * calibration.wavelength_m(who))
    return units, (y * per_rad, x * per_rad)


def _dead(dead: Any, shape: Shape, who: str) -> BoolArray:
    if isinstance(dead, tuple):
        found = np.zeros(shape, np.bool_)
        for row, column in dead:
            if not (0 <= row < shape[0] and 0 <= column < shape[1]):
                raise ConfigError(
                    f"{who}: dead: pixel [{row}, {column}] is not in frames of {shape}"
                )
            found[row, column] = True
        return found
    try:
        read = load_mask(dead, shape)
    except ConfigError as error:
        raise ConfigError(f"{who}: dead: {error}") from error
    if read.dtype != np.bool_:
        raise ConfigError(f"{who}: dead: {dead} holds more than 0 and 1")
    return read.astype(np.bool_)

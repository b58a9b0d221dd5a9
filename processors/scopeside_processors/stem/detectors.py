"""Virtual detectors: which pixels of a frame each of them holds.

Coordinates are (row, column) in pixels; (0, 0) is the centre of the first pixel. A
pixel belongs to a detector by its centre alone. Distances are compared as squares,
in float64, so that detectors that touch share no pixel and leave none out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, Field, model_validator

from scopeside.acquisition import Acquisition
from scopeside.errors import ConfigError
from scopeside.params import LocalPath, Params

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
Shape = tuple[int, int]
Point = tuple[float, float]
Number = Annotated[float, Field(ge=-1e6, le=1e6)]  # beyond, squares lose whole pixels
Numbers = tuple[Number, ...]


def disk(shape: Shape, centre: Point, radius: float) -> BoolArray:
    """Return the pixels at a distance ≤ `radius` from `centre`."""
    inside: BoolArray = _squared_distance(shape, centre) <= radius * radius
    return inside


def annulus(shape: Shape, centre: Point, inner: float, outer: float) -> BoolArray:
    """Return the pixels at ``inner < distance ≤ outer`` from `centre`."""
    squared = _squared_distance(shape, centre)
    inside: BoolArray = (squared > inner * inner) & (squared <= outer * outer)
    return inside


def segment(
    shape: Shape, centre: Point, radii: tuple[float, float], degrees: Point
) -> BoolArray:
    """Return the part of an annulus whose azimuth is in ``[from, to)`` degrees.

    The azimuth is 0 towards higher columns and 90 towards higher rows (clockwise on
    a screen). Where `to` is below `from`, the segment passes through 0. Segments
    that follow each other around the circle tile the annulus.
    """
    row, column = np.ogrid[: shape[0], : shape[1]]
    azimuth = np.degrees(np.arctan2(row - centre[0], column - centre[1])) % 360
    # Twice, as the remainder of a tiny negative angle is 360.
    start, stop = degrees[0] % 360 % 360, degrees[1] % 360 % 360
    from_start, to_stop = azimuth >= start, azimuth < stop
    inside = from_start & to_stop if start < stop else from_start | to_stop
    sector: BoolArray = annulus(shape, centre, *radii) & inside
    return sector


def rectangle(
    shape: Shape, top: float, left: float, bottom: float, right: float
) -> BoolArray:
    """Return the pixels with ``top ≤ row < bottom`` and ``left ≤ column < right``."""
    row, column = np.ogrid[: shape[0], : shape[1]]
    inside: BoolArray = (
        (row >= top) & (row < bottom) & (column >= left) & (column < right)
    )
    return inside


def polygon(shape: Shape, corners: tuple[Point, ...]) -> BoolArray:
    """Return the pixels inside the closed line through `corners`, even-odd.

    As with a rectangle, an edge belongs to the polygon that lies below it or to the
    right of it: polygons with a common edge share no pixel.
    """
    row, column = np.ogrid[: shape[0], : shape[1]]
    inside = np.zeros(shape, np.bool_)
    for one, other in zip(corners, (*corners[1:], corners[0]), strict=True):
        (y0, x0), (y1, x1) = sorted((one, other))
        beside = (row >= y0) & (row < y1)
        # Multiplied out, as a division would round.
        inside ^= beside & ((column - x0) * (y1 - y0) < (row - y0) * (x1 - x0))
    return inside


def _squared_distance(shape: Shape, centre: Point) -> FloatArray:
    row, column = np.ogrid[: shape[0], : shape[1]]
    squared: FloatArray = (row - float(centre[0])) ** 2 + (
        column - float(centre[1])
    ) ** 2
    return squared


def load_mask(path: Path, shape: Shape) -> BoolArray | FloatArray:
    """Read a mask or weights of a frame of `shape` from a ``.npy`` file.

    Returns
    -------
    (height, width) bool if the file holds nothing but 0 and 1, else float64

    Raises
    ------
    ConfigError
        As `load_image`.
    """
    found = load_image(path, shape, "a mask")
    if np.all((found == 0) | (found == 1)):
        return found.astype(np.bool_)
    return found.astype(np.float64)


def load_image(path: Path, shape: Shape, what: str) -> npt.NDArray[Any]:
    """Read an image of a frame of `shape` from a ``.npy`` file; `what` it is, in words.

    Raises
    ------
    ConfigError
        If the file cannot be read, or does not hold finite numbers of that shape.
    """
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(f"{path} cannot be read as .npy: {error}") from error
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "buif":
        kind = getattr(found, "dtype", type(found).__name__)
        raise ConfigError(f"{path} holds {kind}; {what} is one array of real numbers")
    if found.shape != shape:
        raise ConfigError(f"{path} has shape {found.shape}; the frames have {shape}")
    if not np.isfinite(found).all():
        raise ConfigError(f"{path} holds NaN or infinity")
    return found


_ROUND = {"disk": ("r",), "annulus": ("r_in", "r_out")}
_ROUND["segment"] = ("r_in", "r_out", "from_deg", "to_deg")
_KEYS = "disk, annulus, segment, rectangle, polygon or mask"


class Detector(Params):
    """One virtual detector: exactly one of the keys below, lengths in pixels.

    ``disk``, ``annulus`` and ``segment`` may leave out ``cy, cx``; the processor's
    `centre` then stands in.
    """

    disk: Numbers | None = None
    """[cy, cx, r], px: the pixels at a distance ≤ r."""
    annulus: Numbers | None = None
    """[cy, cx, r_in, r_out], px: the pixels at r_in < distance ≤ r_out."""
    segment: Numbers | None = None
    """[cy, cx, r_in, r_out, from_deg, to_deg], px and degrees: the part of an
    annulus with azimuth in [from_deg, to_deg), 0 along columns, 90 along rows; may
    pass through 0."""
    rectangle: Numbers | None = None
    """[y0, x0, y1, x1], px: the pixels with y0 ≤ row < y1 and x0 ≤ column < x1."""
    polygon: tuple[tuple[Number, Number], ...] | None = None
    """[[y, x], …], px: the pixels inside; upper and left edges belong to it."""
    mask: LocalPath | None = None
    """A .npy file of the frame's shape with a weight for each pixel."""

    @model_validator(mode="before")
    @classmethod
    def _has_one_key(cls, values: Any) -> Any:
        if not isinstance(values, Mapping | cls):
            raise ValueError(f"a detector is a table with one of {_KEYS}")
        if isinstance(values, Mapping):
            found = ", ".join(repr(key) for key in values) or "none"
            if len(values) != 1 or not values.keys() <= cls.model_fields.keys():
                raise ValueError(
                    f"found {found}; a detector has exactly one of {_KEYS}"
                )
        return values

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.shape in _ROUND:
            _check_round(self.shape, getattr(self, self.shape))
        elif self.rectangle is not None:
            _check_rectangle(self.rectangle)
        elif self.polygon is not None and len(self.polygon) < 3:
            raise ValueError(f"polygon has 3 corners or more, not {len(self.polygon)}")
        return self

    @property
    def shape(self) -> str:
        """The key that is given, such as ``disk``."""
        given: str = next(key for key, value in self if value is not None)
        return given

    @property
    def lacks_centre(self) -> bool:
        """Whether it leaves its centre to the processor."""
        names = _ROUND.get(self.shape)
        return names is not None and len(getattr(self, self.shape)) == len(names)

    def weights(self, shape: Shape, centre: Point | None) -> BoolArray | FloatArray:
        """Return what each pixel counts: (height, width), bool unless weighted.

        `centre` serves where the detector has none of its own.

        Raises
        ------
        ConfigError
            If the file of a mask is of no use.
        """
        if self.mask is not None:
            return load_mask(self.mask, shape)
        if self.polygon is not None:
            return polygon(shape, self.polygon)
        if self.rectangle is not None:
            return rectangle(shape, *self.rectangle)
        *own, inner, outer = self._round()
        centre = (own[0], own[1]) if own else centre
        assert centre is not None  # the processor's parameters see to that
        if self.segment is not None:
            return segment(
                shape, centre, (inner, outer), (self.segment[-2], self.segment[-1])
            )
        if self.disk is not None:
            return disk(shape, centre, outer)
        return annulus(shape, centre, inner, outer)

    def extent(self, centre: Point | None) -> str:
        """Return which rows and columns it reaches, in words."""
        if self.mask is not None:
            return f"the mask {self.mask}"
        if self.polygon is not None:
            rows, columns = zip(*self.polygon, strict=True)
        elif self.rectangle is not None:
            rows, columns = self.rectangle[::2], self.rectangle[1::2]
        else:
            *own, _, outer = self._round()
            y, x = own or centre or (0.0, 0.0)
            rows, columns = (y - outer, y + outer), (x - outer, x + outer)
        return (
            f"rows {min(rows):g} to {max(rows):g}, "
            f"columns {min(columns):g} to {max(columns):g}"
        )

    def _round(self) -> tuple[float, ...]:
        """Return ``(cy, cx, r_in, r_out)``, without the centre if it has none."""
        if self.disk is not None:
            return (*self.disk[:-1], 0.0, self.disk[-1])
        return self.annulus or (self.segment or ())[:-2]


def _check_round(key: str, numbers: tuple[float, ...]) -> None:
    names = _ROUND[key]
    if len(numbers) not in (len(names), len(names) + 2):
        raise ValueError(
            f"{key} = [cy, cx, {', '.join(names)}] has {len(names) + 2} numbers, or "
            f"{len(names)} without the centre, not {len(numbers)}"
        )
    named = dict(zip(names, numbers[-len(names) :], strict=True))
    inner, outer = named.get("r_in", 0.0), named.get("r_out", named.get("r", 0.0))
    if inner < 0 or outer < 0:
        raise ValueError(f"{key}: a radius is 0 or more, not {min(inner, outer):g}")
    if key != "disk" and inner >= outer:
        raise ValueError(f"{key}: r_in = {inner:g} must be below r_out = {outer:g}")
    start, stop = named.get("from_deg", 0.0), named.get("to_deg", 360.0)
    if start == stop or abs(stop - start) > 360:
        raise ValueError(
            f"{key}: from_deg = {start:g} and to_deg = {stop:g} must differ, by 360 "
            "or less"
        )


def _check_rectangle(numbers: tuple[float, ...]) -> None:
    if len(numbers) != 4:
        raise ValueError(f"rectangle = [y0, x0, y1, x1] has 4, not {len(numbers)}")
    y0, x0, y1, x1 = numbers
    if y0 >= y1 or x0 >= x1:
        raise ValueError(
            f"rectangle: y0 = {y0:g} must be below y1 = {y1:g}, and x0 = {x0:g} below "
            f"x1 = {x1:g}"
        )


def _centre(value: Any) -> Any:
    if value is None or value in ("calibration", "find") or _is_point(value):
        return value
    raise ValueError("centre is [cy, cx], 'calibration' or 'find'")


def _is_point(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(type(v) in (int, float) and math.isfinite(v) for v in value)
    )


Centre = Annotated[
    Point | Literal["calibration", "find"] | None, BeforeValidator(_centre)
]


def centre_of(centre: Centre, acquisition: Acquisition) -> Point | None:
    """Return the centre that an acquisition's detectors have, None if it moves.

    Raises
    ------
    ConfigError
        If the calibration has to say it and does not.
    """
    if centre == "find" or centre is None:
        return None
    if centre != "calibration":
        return float(centre[0]), float(centre[1])
    said = acquisition.calibration.get("centre_px")
    if said is None:
        known = ", ".join(acquisition.calibration) or "nothing"
        raise ConfigError(
            "centre = 'calibration' needs centre_px = [cy, cx] in the calibration of "
            f"the acquisition, which has {known}"
        )
    if not _is_point(said):
        raise ConfigError(f"centre_px is [cy, cx] in pixels, not {said!r:.80}")
    return float(said[0]), float(said[1])

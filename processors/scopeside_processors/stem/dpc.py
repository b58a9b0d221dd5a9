"""Differential phase contrast: the deflection of the beam from a ring of segments.

The segments are virtual detectors, so that what a segmented camera shows can be had
from a pixelated one, or from events. With a scan each quantity gives an image.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.errors import ConfigError
from scopeside.events import EventBatch
from scopeside.processor import Device, Order
from scopeside.result import Result, invalid
from scopeside.state import pack, unpack
from scopeside_processors.kernels import USUAL_PIXELS, events
from scopeside_processors.kernels import com as peaks
from scopeside_processors.kernels import virtual as kernels
from scopeside_processors.stem.calibration import Calibration
from scopeside_processors.stem.counts import event_sums, virtual_sums
from scopeside_processors.stem.detectors import Centre, Detector, Point, centre_of
from scopeside_processors.stem.faults import FAULTS, saturated
from scopeside_processors.stem.field import (
    FieldImages,
    FieldParams,
    Image,
    Measure,
    refuse_change,
)
from scopeside_processors.stem.frames import check_events, check_frames, overflows
from scopeside_processors.stem.layout import layout_of
from scopeside_processors.stem.segments import (
    Response,
    of_aperture,
    of_disk,
    of_ideal_disk,
)
from scopeside_processors.stem.values import FrameValues

Array = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
Quantity = Literal["field", "field_colour", "idpc", "ddpc", "segments", "validity"]

_IMAGES: dict[str, Image] = {
    "field": "field",
    "field_colour": "colour",
    "idpc": "phase",
    "ddpc": "charge",
}


@dataclass(frozen=True, slots=True)
class Ring:
    """A ring of equal segments on frames of one shape; see `Dpc.Params`."""

    shape: tuple[int, int]
    centre: Point
    segments: int
    inner: float
    outer: float | None
    start_deg: float

    def detectors(self) -> dict[str, Detector]:
        """Return the segments as virtual detectors, in the order of their azimuth."""
        outer = self.outer or max(math.hypot(*self.shape), 2 * self.inner)
        edges = self.start_deg + 360 * np.arange(self.segments + 1) / self.segments
        # Twice, as the remainder of a tiny negative angle is 360.
        azimuths = (edges % 360 % 360).tolist()
        return {
            f"segment_{i}": Detector(segment=(self.inner, outer, start, stop))
            for i, (start, stop) in enumerate(pairwise(azimuths))
        }


class Dpc:
    """Maps the deflection of the beam that the segments of a ring see."""

    order: ClassVar[Order] = Order.ANY
    fixed: ClassVar[tuple[str, ...]] = (
        "segments", "inner_px", "outer_px", "start_deg", "centre", "saturation"
    )  # fmt: skip
    """They say what is measured."""

    class Params(FieldParams):
        """The segments, the disk that moves over them, and what is wanted."""

        of: Annotated[tuple[Quantity, ...], Field(min_length=1)] = ("field", "idpc")
        """Any of field, field_colour, idpc, ddpc, segments and validity."""
        segments: Annotated[int, Field(ge=3, le=64)] = 4
        """How many equal segments the ring has; 4 are quadrants."""
        inner_px: Annotated[float, Field(ge=0)] = 0.0
        """Inner radius of the ring, pixels; what is closer does not count."""
        outer_px: Annotated[float, Field(gt=0)] | None = None
        """Outer radius of the ring, pixels; none: as far as the frame reaches."""
        start_deg: Annotated[float, Field(ge=-360, le=360)] = 0.0
        """Azimuth at which the first segment begins, degrees; 0 along columns, 90
        along rows. They follow each other with rising azimuth."""
        centre: Centre = None
        """[cy, cx] of the ring, pixels; 'calibration': centre_px of the acquisition,
        which must be known; none: it, or the middle of the frame."""
        disk_radius_px: Annotated[float, Field(gt=0)] | None = None
        """Radius of the undeflected disk, pixels; none: semi_angle_rad over
        detector_rad_per_px where they are known, else the image that `aperture` of
        the acquisition names, else the deflection is in radii of the disk."""
        saturation: Annotated[float, Field(gt=0)] | None = None
        """Counts from which a pixel is saturated; a frame with one in a segment is
        invalid. none: this is not looked at, which costs nothing."""

        @model_validator(mode="after")
        def _ring_has_a_width(self) -> Self:
            if self.centre == "find":
                raise ValueError("centre is [cy, cx] or 'calibration'; segments rest")
            if self.outer_px is not None and self.inner_px >= self.outer_px:
                raise ValueError(
                    f"inner_px = {self.inner_px:g} must be below outer_px = "
                    f"{self.outer_px:g}"
                )
            return self

    @classmethod
    def prepare(cls, acquisition: Acquisition | None = None) -> None:
        """Load the kernels for an acquisition, or for what cameras usually deliver."""
        for dtype in USUAL_PIXELS if acquisition is None else [acquisition.dtype]:
            kernels.warm(dtype)
            if acquisition is not None and acquisition.encoding == "events":
                events.warm(dtype)

    def __init__(
        self,
        acquisition: Acquisition,
        params: Params,
        device: Device = "cpu",  # noqa: ARG002 - there is no GPU twin yet
    ) -> None:
        self._acquisition = acquisition
        self._calibration = Calibration.of(acquisition)
        shape = acquisition.frame_shape
        middle = self._calibration.known.centre_px or _middle(shape)
        self._centre = centre_of(params.centre, acquisition) or middle
        self._ring = Ring(
            shape,
            self._centre,
            params.segments,
            params.inner_px,
            params.outer_px,
            params.start_deg,
        )
        self._layout = layout_of(self._ring.detectors(), shape, self._centre)
        self._region = _cut(self._ring)[1]
        kind = kernels.sum_type(acquisition.dtype)
        self._seen = FrameValues(
            acquisition, {"counts": (params.segments, kind)}, FAULTS[:3]
        )
        self._overflowed = False
        self._show(params)

    def change(self, params: Params) -> None:
        """Take other parameters from now on, for all that was seen.

        Raises
        ------
        ConfigError
            If they change what was measured: the segments, and which frames are
            invalid; or if they do not fit the acquisition.
        """
        refuse_change("dpc", self._params, params, self.fixed)
        self._show(params)

    def process(self, batch: Batch) -> None:
        """Sum the segments of the frames of `batch`.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        check_frames(batch, self._acquisition)
        self._overflowed |= overflows(batch.pixels)
        self._add(batch, virtual_sums(batch.pixels, self._layout)[0])

    def process_events(self, batch: EventBatch) -> None:
        """Sum the segments of the events of `batch`; no frame is made.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        check_events(batch, self._acquisition)
        self._add(batch, event_sums(batch, self._layout)[0])

    def merge(self, other: Self) -> None:
        """Take over the positions that `other` has seen."""
        self._overflowed |= other._overflowed
        self._seen.merge(other._seen)

    def results(self) -> Iterator[Result]:
        """Yield what is wanted, each an image of the scan, or a series without one.

        ``field`` (…shape, 2) float64, mrad, px or disk radii: the deflection of the
        beam in the scan's axes, row before column; ``field_colour`` (…shape, 3) uint8;
        ``idpc`` (…shape) float64, rad; ``ddpc`` (…shape) float64; ``segments``
        (…shape, n) counts, int64 or float64 of float frames; ``validity`` (…shape)
        uint8. Where no frame was seen, or one without counts, they are NaN and `mask`
        is False; ``meta["invalid"]`` counts the latter by reason.
        """
        reason = "" if len(self._seen) else "no frame with a position yet"
        if self._overflowed:
            reason = "pixels too large for exact sums of 64 bits"
        for name in self._params.of:
            if reason:
                yield invalid(name, reason, **self._seen.account())
            else:
                yield self._result(name)

    def snapshot(self) -> bytes:
        """Return the positions seen and the counts of their segments."""
        return pack({**self._seen.snapshot(), "overflowed": self._overflowed})

    def restore(self, state: bytes) -> None:
        """Take over what `snapshot` gave."""
        found = unpack(state)
        self._seen.restore(found)
        self._overflowed = found["overflowed"]

    def _show(self, params: Params) -> None:
        """Draw results as `params` wants them from now on."""
        response, measure = _response(self._ring, params, self._calibration)
        centre = self._centre if measure.units == "px" else (0.0, 0.0)
        images = FieldImages("dpc", self._acquisition, params, centre, measure)
        # Only now, as what cannot be has been refused above.
        self._response, self._rest, self._images = response, centre, images
        self._params = params

    def _add(self, batch: Batch | EventBatch, counts: Array) -> None:
        total = counts.sum(axis=1)
        full = saturated(batch, self._region, self._params.saturation)
        flag = np.select([~np.isfinite(total), total <= 0, full], [2, 1, 3], 0)
        self._seen.add(batch.index, flag.astype(np.uint8), counts=counts)

    def _result(self, name: Quantity) -> Result:
        if name == "validity":
            return self._seen.validity()
        counts = self._seen.images("counts")
        if name == "segments":
            each = np.moveaxis(counts, 0, -1)
            return self._seen.result(name, each, "counts", ("segment",))
        return self._images.result(
            name, _IMAGES[name], self._seen, lambda: self._positions(counts)
        )

    def _positions(self, counts: Array) -> FloatArray:
        """Return where the beam was, from ``counts (n, …shape)``: (…shape, 2)."""
        shift = self._response.shift(counts.astype(np.float64))
        positions: FloatArray = shift + np.array(self._rest)
        return positions


def _middle(shape: tuple[int, int]) -> Point:
    return (shape[0] - 1) / 2, (shape[1] - 1) / 2


@lru_cache(maxsize=16)
def _cut(ring: Ring) -> tuple[BoolArray, peaks.Region]:
    """Return the pixels of each segment, (n, height, width), and of all of them."""
    each = ring.detectors().values()
    masks = np.array([one.weights(ring.shape, ring.centre) for one in each], np.bool_)
    return masks, peaks.region_of(np.logical_or.reduce(masks))


def _response(
    ring: Ring, params: Dpc.Params, calibration: Calibration
) -> tuple[Response, Measure]:
    """Return how a shift follows from the segments, and what its numbers mean.

    Raises
    ------
    ConfigError
        If the edge of the disk lies in no segment, or its radius must be known.
    """
    known, radius = calibration.known, params.disk_radius_px
    angle, per_px = known.semi_angle_rad, known.detector_rad_per_px
    radii = None if radius is None else (radius, radius)
    if radii is None and angle is not None and per_px is not None:
        radii = angle / per_px[0], angle / per_px[1]
    aperture = calibration.aperture("dpc") if radii is None else None
    if radii is None and aperture is None:
        if ring.inner > 0:
            raise ConfigError(
                "dpc with inner_px needs the radius of the disk: set disk_radius_px, "
                "or semi_angle_rad and detector_rad_per_px in "
                "[acquisition.calibration]"
            )
        to_rad = None if angle is None else (angle, angle)
        measure = Measure("disk radii", to_rad, "semi_angle_rad")
        return of_ideal_disk(ring.segments, ring.start_deg), measure
    if per_px is None and angle is not None and radii is not None:
        per_px = angle / radii[0], angle / radii[1]
    image = b"" if aperture is None else aperture.tobytes()
    return _pixel_response(ring, radii, image), Measure(
        "px", per_px, "detector_rad_per_px"
    )


@lru_cache(maxsize=16)
def _pixel_response(ring: Ring, radii: Point | None, aperture: bytes) -> Response:
    """Return the response of pixels; `aperture` is float64, where `radii` is None."""
    masks = _cut(ring)[0]
    reach = ring.outer or math.inf
    disk = "as in aperture" if radii is None else "of {:g}, {:g} px".format(*radii)
    try:
        if radii is None:
            return of_aperture(masks, np.frombuffer(aperture).reshape(ring.shape))
        if not ring.inner < min(radii) <= max(radii) < reach:
            raise ValueError("a ring that the edge of the disk lies in is needed")
        return of_disk(masks, ring.centre, radii)
    except ValueError as error:
        raise ConfigError(
            f"dpc: {error}: inner_px = {ring.inner:g}, outer_px = {ring.outer}, disk "
            f"{disk}; choose inner_px below its radius and outer_px above"
        ) from error

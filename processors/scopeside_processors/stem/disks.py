"""Diffraction disks in every pattern: where they are, how bright, and how sure.

Without a lattice they are looked for everywhere, by correlation with a template; with
one, only where it has them. Either way each disk's place is then fitted to a fraction
of a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from scopeside import params
from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.errors import ConfigError
from scopeside.processor import Device, Order
from scopeside.result import Result, invalid
from scopeside.state import pack, unpack
from scopeside_processors.calibrated import Positive
from scopeside_processors.kernels import USUAL_PIXELS, lattices
from scopeside_processors.kernels import disks as kernels
from scopeside_processors.stem.calibration import Calibration
from scopeside_processors.stem.disk_filters import filters_of, window_side
from scopeside_processors.stem.frames import check_frames
from scopeside_processors.stem.indexing import INNER
from scopeside_processors.stem.lattice import orders_of
from scopeside_processors.stem.probes import radius_of, saturation_of
from scopeside_processors.stem.reference import Vectors, check_vectors
from scopeside_processors.stem.templates import (
    correlate,
    spectrum_of,
    spectrum_of_image,
)
from scopeside_processors.stem.values import FrameValues

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
Vector = tuple[float, float]
Quantity = Literal["peaks", "count", "validity"]

REASONS = ("no counts", "not a number", "saturated")
NO_COUNTS, NOT_A_NUMBER, SATURATED = 1, 2, 3
_CORRELATED = 0.5
"""How far a disk lies from the maximum of the correlation, standard deviation, pixels:
with few counts the maximum is the better guess."""
USUAL_EDGE = 0.6
"""Edge of a sharp disk as a camera sees it, pixels."""


class Disks:
    """Finds the diffraction disks of every pattern."""

    order: ClassVar[Order] = Order.ANY

    class Params(params.Params):
        """What a disk looks like, and where it is looked for."""

        of: Annotated[tuple[Quantity, ...], Field(min_length=1)] = ("peaks", "count")
        """Any of peaks, count and validity."""
        disk_radius_px: Positive | None = None
        """Radius of the disks, pixels; none: from the calibration (aperture, or
        semi_angle_rad and detector_rad_per_px)."""
        edge_px: Positive = USUAL_EDGE
        """Standard deviation of what blurs a disk's edge, pixels."""
        template: Literal["disk", "ring", "aperture"] = "disk"
        """What patterns are correlated with: disk; ring, the rim of it, for disks with
        a strong texture; aperture, the image in the calibration."""
        power: Annotated[float, Field(ge=0, le=1)] = 1.0
        """1: cross-correlation; 0: phase correlation; in between: hybrid."""
        lattice: Vectors | None = None
        """[[row, column], [row, column]], lattice vectors, pixels: disks are looked
        for only there, the nearest to the beam first; none: everywhere, the brightest
        first."""
        centre: Vector | None = None
        """[row, column] of the undiffracted beam, pixels, for lattice; none: from the
        calibration (centre_px, descan_px), else the middle of the frame."""
        max_peaks: Annotated[int, Field(ge=1, le=1024)] = 64
        """Room for disks in each frame; more are left out."""
        min_significance: Annotated[float, Field(ge=0)] = 5.0
        """A disk's amplitude is at least so many standard deviations of its noise."""
        min_score: Annotated[float, Field(ge=-1, le=1)] = 0.0
        """And it is at least so like the model; see the result peaks."""
        min_distance_px: Positive | None = None
        """From one disk to the next, pixels; none: 1.5 radii."""
        reach_px: Positive | None = None
        """How far a disk may be from where it is expected, pixels; none: half a radius,
        at least 2."""
        spread_px: Annotated[float, Field(gt=0)] | None = 0.5
        """With lattice: how far disks lie from the lattice that fits a frame best,
        standard deviation, pixels. The fewer counts a disk has, the nearer to the
        lattice it is placed; none: each disk stands alone."""
        saturation: Positive | None = None
        """Counts from which a pixel is saturated; none: the most its dtype holds."""
        counts_per_electron: Positive = 1.0
        """What the camera counts for one electron: says how noisy counts are."""

        @model_validator(mode="after")
        def _can_be(self) -> Self:
            check_vectors("lattice", self.lattice)
            return self

    @classmethod
    def prepare(cls, acquisition: Acquisition | None = None) -> None:
        """Load the kernels for an acquisition, or for what cameras usually deliver."""
        for dtype in USUAL_PIXELS if acquisition is None else [acquisition.dtype]:
            kernels.warm(dtype)
            lattices.warm(dtype)

    def __init__(
        self,
        acquisition: Acquisition,
        params: Params,
        device: Device = "cpu",  # noqa: ARG002 - there is no GPU twin
    ) -> None:
        self._acquisition = acquisition
        self._params = params
        self._calibration = Calibration.of(acquisition)
        self._radius = self._known_radius()
        spacing = math.inf
        if params.lattice is not None:
            spacing = float(np.linalg.norm(params.lattice, axis=1).min())
        if spacing < 2 * self._radius:
            raise ConfigError(
                f"disks: disks of radius {self._radius:.1f} px overlap in a lattice of "
                f"{spacing:.1f} px"
            )
        self._filters = filters_of(
            self._radius, params.edge_px, spacing, params.counts_per_electron
        )
        self._limit = saturation_of(params.saturation, acquisition.dtype)
        self._reach = params.reach_px or max(2.0, self._radius / 2)
        self._distance = params.min_distance_px or 1.5 * self._radius
        if params.lattice is None:
            self._spectrum = self._template()
        else:
            self._expected = self._expectation(np.array(params.lattice, np.float64))
        self._seen = FrameValues(
            acquisition,
            {"peaks": (4 * params.max_peaks, np.float32), "count": (1, np.int64)},
            REASONS,
        )

    def process(self, batch: Batch) -> None:
        """Find the disks in the frames of `batch`.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        check_frames(batch, self._acquisition)
        frames = batch.pixels
        if not len(frames):
            return
        with np.errstate(invalid="ignore", over="ignore"):
            total = frames.sum(axis=(1, 2), dtype=np.float64)
        spoilt = ~np.isfinite(total)
        if self._params.lattice is None:
            peaks, saturated = self._everywhere(frames, spoilt)
        else:
            peaks, saturated = self._on_lattice(batch)
        flag = np.where(saturated, SATURATED, 0).astype(np.uint8)
        flag[~(total > 0)] = NO_COUNTS
        flag[spoilt] = NOT_A_NUMBER
        peaks[flag > 0] = np.nan
        count = np.count_nonzero(~np.isnan(peaks[:, :, 0]), axis=1)
        rows = peaks.reshape(len(frames), -1)
        self._seen.add(batch.index, flag=flag, peaks=rows, count=count[:, None])

    def merge(self, other: Self) -> None:
        """Take over the positions that `other` has seen."""
        self._seen.merge(other._seen)

    def results(self) -> Iterator[Result]:
        """Yield what is wanted.

        ``peaks`` (rows, columns, max_peaks, 4) float32: row and column of each disk,
        pixels; counts above the background; score, the coefficient of correlation with
        the model, from -1 to 1. NaN where there are no more. ``count`` (rows, columns)
        int64. Without a scan they are series. Without a lattice the brightest come
        first; with one ``meta["orders"]`` says which disk is where.
        """
        for name in self._params.of:
            if not len(self._seen):
                reason = "no frame with a position yet"
                yield invalid(name, reason, **self._seen.account())
            elif name == "validity":
                yield self._seen.validity()
            elif name == "count":
                yield self._seen.result(name, self._seen.images("count")[0], "")
            else:
                data = np.moveaxis(self._seen.images("peaks"), 0, -1)
                data = data.reshape(*self._seen.shape, -1, 4)
                found = self._seen.result(name, data, "px", ("peak", "yxis"))
                yield replace(found, meta={**found.meta, **self._about()})

    def snapshot(self) -> bytes:
        """Return the disks found."""
        return pack(self._seen.snapshot())

    def restore(self, state: bytes) -> None:
        """Take over what `snapshot` gave."""
        self._seen.restore(unpack(state))

    def _about(self) -> dict[str, Any]:
        if self._params.lattice is None:
            return {}
        return {"orders": self._expected.orders.astype(int).tolist()}

    # -- looking ----------------------------------------------------------------

    def _everywhere(
        self, frames: Array, spoilt: npt.NDArray[np.bool_]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        of = self._params
        # Candidates to spare: some are noise, which the fit will tell.
        starts = np.full((len(frames), 2 * of.max_peaks, 2), np.nan)
        # Disks that are cut by the edge are found too, or their halves would be.
        margin = max(1, int(self._radius / 2))
        # One frame at a time: the bits of a transform depend on how many there are.
        for f in np.flatnonzero(~spoilt):
            seen = correlate(frames[f : f + 1], self._spectrum, of.power)[0]
            starts[f] = kernels.highest(seen, margin, self._distance, 2 * of.max_peaks)
        peaks, saturated = self._place(frames, starts, _CORRELATED)
        kernels.brightest(peaks, self._distance)
        return np.ascontiguousarray(peaks[:, : of.max_peaks]), saturated

    def _on_lattice(
        self, batch: Batch
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        of, frames = self._params, batch.pixels
        centres = self._centres(batch.index)
        found, _, flags = lattices.fit_lattices(
            frames, centres, self._expected, self._filters
        )
        # Too few counts for a lattice of its own: it is where it was expected.
        lost = flags != lattices.FOUND
        found[lost, :2], found[lost, 2] = self._expected.vectors, centres[lost]
        starts = np.full((len(frames), of.max_peaks, 2), np.nan)
        orders = self._expected.orders
        starts[:, : len(orders)] = orders @ found[:, :2] + found[:, 2:]
        return self._place(frames, starts, of.spread_px or math.inf)

    def _place(
        self, frames: Array, starts: FloatArray, spread: float
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        of = self._params
        peaks, saturated = kernels.locate(
            frames,
            starts,
            self._filters,
            self._limit,
            self._reach,
            of.min_significance,
            spread,
        )
        peaks[~(peaks[:, :, 3] >= of.min_score)] = np.nan
        return peaks, saturated

    # -- what is said -----------------------------------------------------------

    def _known_radius(self) -> float:
        found = radius_of(self._params.disk_radius_px, self._calibration, "disks")
        if found is None:
            raise ConfigError(
                "disks needs disk_radius_px: set it, or set aperture, or "
                "semi_angle_rad and detector_rad_per_px, in the table "
                "[acquisition.calibration]"
            )
        if window_side(found) > min(self._acquisition.frame_shape):
            raise ConfigError(
                f"disks: disks of radius {found:.1f} px do not fit into frames "
                f"{self._acquisition.frame_shape}"
            )
        return found

    def _template(self) -> Array:
        of, shape = self._params, self._acquisition.frame_shape
        if of.template != "aperture":
            return spectrum_of(of.template, self._radius, of.edge_px, shape)
        image = self._calibration.aperture("disks")
        if image is None:
            image = self._calibration.need("aperture", "disks")
        return spectrum_of_image(image)

    def _expectation(self, vectors: FloatArray) -> lattices.Expected:
        of, shape = self._params, self._acquisition.frame_shape
        centre = self._centres(np.zeros(1, np.int64))[0]
        margin = (self._filters.side - 1) / 2 + 0.5
        orders = orders_of(vectors, centre, shape, margin, most=of.max_peaks)
        if not len(orders):
            raise ConfigError(
                f"disks: no disk of the lattice around {centre.tolist()} lies whole "
                f"in frames {shape}"
            )
        reach = math.ceil(float(np.linalg.norm(vectors, axis=1).min()) / 2)
        inner = min(INNER, len(orders))
        return lattices.Expected(vectors, orders, inner, reach, 4, self._limit)

    def _centres(self, index: npt.NDArray[np.int64]) -> FloatArray:
        """Return where the beam should be in each frame, (n, 2) pixels."""
        if self._params.centre is not None:
            return np.tile(np.array(self._params.centre), (len(index), 1))
        scan = self._acquisition.scan
        if scan is None:
            return self._calibration.centres(np.zeros(len(index), np.int64), 1)
        places = np.maximum(scan.position_of(index), 0)
        rows, columns = scan.result_shape[-2:]
        return self._calibration.centres(places % (rows * columns), columns)

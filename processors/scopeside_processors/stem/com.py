"""The centre of mass of each frame, as an image of the scan, and what follows from it.

With a scan each quantity gives an image, else a series over the frames. What is kept
is sparse, so that a worker's share is small. What is made of the centres (`field`,
phase, charge) is drawn when it is asked for; see `stem.field`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.device.lanes import CardFrames, Lanes
from scopeside.device.twin import Finish
from scopeside.events import EventBatch
from scopeside.packed import AnyBatch, PackedBatch
from scopeside.processor import Device, Order
from scopeside.result import Result, invalid
from scopeside.state import pack, unpack
from scopeside_processors.kernels import USUAL_PIXELS, events
from scopeside_processors.kernels import com as kernels
from scopeside_processors.kernels.planes import takes
from scopeside_processors.kernels.virtual import sum_type
from scopeside_processors.stem import on_card, one_pass
from scopeside_processors.stem.calibration import Calibration
from scopeside_processors.stem.dead import Dead
from scopeside_processors.stem.detectors import (
    Centre,
    Detector,
    Point,
    Shape,
    centre_of,
)
from scopeside_processors.stem.faults import FAULTS, faults_of, saturated
from scopeside_processors.stem.field import (
    FieldImages,
    FieldParams,
    Image,
    Measure,
    refuse_change,
)
from scopeside_processors.stem.frames import (
    check_events,
    check_frames,
    check_packed,
    overflows,
)
from scopeside_processors.stem.region import held_by, region_of
from scopeside_processors.stem.values import FrameValues

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
Quantity = Literal[
    "com",
    "com_y",
    "com_x",
    "total",
    "validity",
    "field",
    "field_colour",
    "icom",
    "charge",
]

_IMAGES: dict[str, Image] = {
    "field": "field",
    "field_colour": "colour",
    "icom": "phase",
    "charge": "charge",
}


def centre_of_mass(
    frames: Array, region: kernels.Region | None = None
) -> tuple[FloatArray, Array]:
    """Return the mean position of the counts in each frame, and the counts.

    Parameters
    ----------
    frames : (n, height, width), counts, any real dtype; may be read-only
    region : the pixels that count, all of them if None

    Returns
    -------
    (n, 2) float64, pixels, and (n,) int64 (float64 of float frames), counts
        Row and column, measured from the centre of pixel (0, 0). NaN where a frame
        holds no counts: where they do not sum up to more than zero. Of integers both
        moments are exact before they are divided; floats do not depend on the batch.

    Notes
    -----
    Times the camera's angle per pixel this is the mean momentum transfer of the
    beam, hence the projected electric field of a thin sample [1]_.

    References
    ----------
    .. [1] K. Müller et al., Nature Communications 5, 5653 (2014),
       doi:10.1038/ncomms6653
    """
    if region is None:
        region = one_pass.everywhere((frames.shape[1], frames.shape[2]))
    total, moment = kernels.moments(frames, region)
    return _mean_position(total, moment), total


def event_centres(
    batch: EventBatch, region: kernels.Region
) -> tuple[FloatArray, Array]:
    """Return what `centre_of_mass` gives for the frames that `batch` would make.

    The same, bit for bit, as long as no pixel exceeds the frames' dtype; no frame is
    made.
    """
    held = None
    if region is not one_pass.everywhere(batch.frame_shape):
        held = held_by(region, batch.frame_shape)
    total, moment = events.moments(batch, held)
    return _mean_position(total, moment), total


def _mean_position(total: Array, moment: FloatArray) -> FloatArray:
    """Return moments divided by counts, NaN where there are none."""
    # NaN rather than zero marks an empty frame without a warning.
    counts = np.where(total > 0, total, np.nan)
    with np.errstate(invalid="ignore", over="ignore"):  # of infinite pixels
        com: FloatArray = moment / counts[:, None]
    return com


class CentreOfMass:
    """Maps the centre of mass over one scan."""

    order: ClassVar[Order] = Order.ANY
    fixed: ClassVar[tuple[str, ...]] = ("mask", "dead", "margin_px", "saturation")
    """They say what is measured."""
    devices: ClassVar[tuple[Device, ...]] = ("cpu", "gpu")

    class Params(FieldParams):
        """What it is measured from, which pixels count, and what is wanted."""

        of: Annotated[tuple[Quantity, ...], Field(min_length=1)] = (
            "com",
            "field",
            "icom",
        )
        """Any of com, com_y, com_x, total, validity, field, field_colour, icom and
        charge."""
        units: Literal["px", "mrad", "auto"] = "px"
        """Of com, com_y and com_x. px: positions on the camera; mrad: angles from the
        centre; auto: mrad where detector_rad_per_px is known, else px."""
        centre: Centre = None
        """[cy, cx] in pixels, that is subtracted; 'calibration' takes centre_px of the
        acquisition. none: com counts in px from the centre of pixel (0, 0); angles,
        and all that is made of the field, from centre_px, or the frame's middle."""
        mask: Detector | None = None
        """The pixels that count, such as { disk = [cy, cx, r] }; none: all of them."""
        dead: Dead = None
        """Pixels that do not count: a .npy file of the frame's shape, 1 or True where
        a pixel is dead, or [[y, x], …]."""
        margin_px: Annotated[float, Field(ge=0)] = 0.0
        """A centre of mass closer to the outermost pixels than this is invalid, since
        part of the beam may have left the camera; take the radius of the disk."""
        saturation: Annotated[float, Field(gt=0)] | None = None
        """Counts from which a pixel is saturated; a frame with one that counts is
        invalid. none: this is not looked at, which costs nothing."""

        @model_validator(mode="after")
        def _centre_is_known(self) -> Self:
            if self.centre == "find":
                raise ValueError("centre is [cy, cx] or 'calibration'; com finds it")
            if self.mask is not None and self.mask.lacks_centre and self.centre is None:
                raise ValueError(
                    "mask leaves its centre out: put cy, cx before its numbers, or set "
                    "centre to [cy, cx] or 'calibration'"
                )
            return self

    @classmethod
    def prepare(cls, acquisition: Acquisition | None = None) -> None:
        """Load the kernels for an acquisition, or for what cameras usually deliver."""
        for dtype in USUAL_PIXELS if acquisition is None else [acquisition.dtype]:
            kernels.warm(dtype)
            encoding = "frames" if acquisition is None else acquisition.encoding
            one_pass.warm(dtype, encoding)
            if acquisition is not None and acquisition.encoding == "events":
                events.warm(dtype)

    def __init__(
        self,
        acquisition: Acquisition,
        params: Params,
        device: Device = "cpu",
    ) -> None:
        self._acquisition = acquisition
        self._device = device
        centre = centre_of(params.centre, acquisition)
        shape = acquisition.frame_shape
        self._region = region_of(params.mask, shape, centre, params.dead)
        self._seen = FrameValues(
            acquisition,
            {"com": (2, np.float64), "total": (1, sum_type(acquisition.dtype))},
            FAULTS,
        )
        self._overflowed = False
        self._show(params)

    def change(self, params: Params) -> None:
        """Take other parameters from now on, for all that was seen.

        Raises
        ------
        ConfigError
            If they change what was measured: the pixels that count, and which frames
            are invalid.
        """
        refuse_change("com", self._params, params, self.fixed)
        if params.mask is not None and params.mask.lacks_centre:
            refuse_change("com", self._params, params, ("centre",))
        self._show(params)

    def process(self, batch: Batch) -> None:
        """Find the centres of the frames of `batch`.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        check_frames(batch, self._acquisition)
        self._overflowed |= overflows(batch.pixels)
        if self._region is one_pass.everywhere(self._acquisition.frame_shape):
            total, moment = one_pass.moments(batch)
            self._add(batch, _mean_position(total, moment), total)
        else:
            com, total = centre_of_mass(batch.pixels, self._region)
            self._add(batch, com, total)

    def process_packed(self, batch: PackedBatch) -> None:
        """Find the centres of packed frames, unpacked only where they have to be.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says, or no packed frames.
        """
        check_packed(batch, self._acquisition)
        whole = self._region is one_pass.everywhere(self._acquisition.frame_shape)
        looked_at = self._params.saturation is not None
        if not whole or looked_at or not takes(batch.frame_shape, batch.dtype):
            for _, frames in batch.portions():
                self.process(frames)
            return
        total, moment = one_pass.packed_moments(batch)
        self._add(batch, _mean_position(total, moment), total)

    def process_events(self, batch: EventBatch) -> None:
        """Find the centres of the events of `batch`; see `event_centres`.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        check_events(batch, self._acquisition)
        com, total = event_centres(batch, self._region)
        self._add(batch, com, total)

    @classmethod
    def prepare_card(cls, lanes: Lanes) -> None:
        """Compile the kernels of the GPU twin."""
        on_card.prepare_labels(lanes)

    def takes_card(self) -> bool:
        """Return whether a GPU can do it."""
        return self._device == "gpu" and on_card.takes(self._acquisition)

    def launch(self, frames: CardFrames) -> Finish:
        """Have a GPU find the moments; see `scopeside.device.twin.OnCard`."""
        check_frames(frames.batch, self._acquisition)
        found = on_card.moments(frames, self._region)

        def finish() -> None:
            total, moment = found()
            self._add(frames.batch, _mean_position(total, moment), total)

        return finish

    def merge(self, other: Self) -> None:
        """Take over the positions that `other` has seen."""
        self._overflowed |= other._overflowed
        self._seen.merge(other._seen)

    def results(self) -> Iterator[Result]:
        """Yield what is wanted, each an image of the scan, or a series without one.

        ``com`` (…shape, 2) float64, px or mrad, row before column, and its halves
        ``com_y`` and ``com_x``; ``total`` (…shape) counts, int64 or float64 of float
        frames; ``field`` (…shape, 2) float64, mrad or px: the deflection of the beam
        in the scan's axes; ``field_colour`` (…shape, 3) uint8; ``icom`` (…shape)
        float64, rad; ``charge`` (…shape) float64; ``validity`` (…shape) uint8.

        Where no frame was seen, or one without a centre, they are NaN and `mask` is
        False; ``meta["invalid"]`` counts the latter by reason.
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
        """Return the positions seen, their centres and counts."""
        return pack({**self._seen.snapshot(), "overflowed": self._overflowed})

    def restore(self, state: bytes) -> None:
        """Take over what `snapshot` gave."""
        found = unpack(state)
        self._seen.restore(found)
        self._overflowed = found["overflowed"]

    def _show(self, params: Params) -> None:
        """Draw results as `params` wants them from now on."""
        acquisition, known = self._acquisition, Calibration.of(self._acquisition).known
        to_rad = known.detector_rad_per_px
        if params.units == "mrad":
            to_rad = Calibration.of(acquisition).need("detector_rad_per_px", "com")
        middle = known.centre_px or _middle(acquisition.frame_shape)
        centre = centre_of(params.centre, acquisition)
        measure = Measure("px", to_rad, "detector_rad_per_px")
        rest = centre or middle
        self._images = FieldImages("com", acquisition, params, rest, measure)
        self._origin, self._scale, self._units = centre or (0.0, 0.0), np.ones(2), "px"
        if params.units != "px" and to_rad is not None:
            self._origin, self._scale = rest, 1e3 * np.array(to_rad)
            self._units = "mrad"
        self._params = params

    def _add(self, batch: AnyBatch, com: FloatArray, total: Array) -> None:
        shape, margin = self._acquisition.frame_shape, self._params.margin_px
        full = saturated(batch, self._region, self._params.saturation)
        flag = faults_of(com, total, full, shape, margin)
        self._seen.add(batch.index, flag, com=com, total=total[:, None])

    def _result(self, name: Quantity) -> Result:
        if name == "validity":
            return self._seen.validity()
        if name == "total":
            return self._counts()
        com = np.moveaxis(self._seen.images("com"), 0, -1)
        if name in _IMAGES:
            return self._images.result(name, _IMAGES[name], self._seen, lambda: com)
        com = (com - self._origin) * self._scale
        if name == "com":
            return self._seen.result(name, com, self._units, ("yx",))
        half = com[..., ("com_y", "com_x").index(name)]
        return self._seen.result(name, half, self._units)

    def _counts(self) -> Result:
        """Return ``total``, which a frame has whether or not it has a centre."""
        counts, mask = self._seen.images("total")[0], self._seen.mask
        found = self._seen.result("total", counts, "counts")
        mask = None if mask is None else mask.copy()
        return replace(found, data=counts.copy(), mask=mask)


def _middle(shape: Shape) -> Point:
    return (shape[0] - 1) / 2, (shape[1] - 1) / 2

"""The centre of mass of each frame, as an image of the scan.

With a scan each quantity gives an image, else a series over the frames. What is kept
is sparse, so that a worker's share is small.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from scopeside import params
from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.device.lanes import CardFrames, Lanes
from scopeside.device.twin import Finish
from scopeside.errors import ConfigError
from scopeside.processor import Device, Order
from scopeside.result import Result, invalid
from scopeside.state import pack, unpack
from scopeside_processors.kernels import USUAL_PIXELS
from scopeside_processors.kernels import com as kernels
from scopeside_processors.kernels.virtual import sum_type
from scopeside_processors.stem import on_card
from scopeside_processors.stem.detectors import (
    Centre,
    Detector,
    Point,
    Shape,
    centre_of,
)
from scopeside_processors.stem.frames import check_frames, overflows
from scopeside_processors.stem.layout import pixels_of, stamp_of
from scopeside_processors.stem.values import FrameValues

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
Quantity = Literal["com", "com_y", "com_x", "total"]


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
        region = _all_of((frames.shape[1], frames.shape[2]))
    total, moment = kernels.moments(frames, region)
    return _centres(total, moment), total


def _centres(total: Array, moment: FloatArray) -> FloatArray:
    """Return moments divided by counts, NaN where there are none."""
    # NaN rather than zero marks an empty frame without a warning.
    counts = np.where(total > 0, total, np.nan)
    with np.errstate(invalid="ignore", over="ignore"):  # of infinite pixels
        com: FloatArray = moment / counts[:, None]
    return com


class CentreOfMass:
    """Maps the centre of mass over one scan."""

    order: ClassVar[Order] = Order.ANY
    devices: ClassVar[tuple[Device, ...]] = ("cpu", "gpu")

    class Params(params.Params):
        """What it is measured from, which pixels count, and what is wanted."""

        of: Annotated[tuple[Quantity, ...], Field(min_length=1)] = ("com",)
        """Any of com, com_y, com_x and total."""
        centre: Centre = None
        """[cy, cx] in pixels that is subtracted; 'calibration' takes centre_px of the
        acquisition; none: positions count from the centre of pixel (0, 0)."""
        mask: Detector | None = None
        """The pixels that count, such as { disk = [cy, cx, r] }; none: all of them."""

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

    def __init__(
        self,
        acquisition: Acquisition,
        params: Params,
        device: Device = "cpu",
    ) -> None:
        self._acquisition = acquisition
        self._device = device
        self._wanted = params.of
        self._centre = centre_of(params.centre, acquisition)
        self._region = _region(params.mask, acquisition.frame_shape, self._centre)
        self._seen = FrameValues(
            acquisition,
            {"com": (2, np.float64), "total": (1, sum_type(acquisition.dtype))},
        )
        self._overflowed = False

    def process(self, batch: Batch) -> None:
        """Find the centres of the frames of `batch`.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        check_frames(batch, self._acquisition)
        self._overflowed |= overflows(batch.pixels)
        com, total = centre_of_mass(batch.pixels, self._region)
        self._seen.add(batch.index, com=com, total=total[:, None])

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
            com = _centres(total, moment)
            self._seen.add(frames.batch.index, com=com, total=total[:, None])

        return finish

    def merge(self, other: Self) -> None:
        """Take over the positions that `other` has seen."""
        self._overflowed |= other._overflowed
        self._seen.merge(other._seen)

    def results(self) -> Iterator[Result]:
        """Yield the wanted of ``com``, ``com_y``, ``com_x`` and ``total``.

        ``com`` is (rows, columns, 2) float64, pixels, row before column; ``com_y``
        and ``com_x`` (rows, columns) are its halves; ``total`` (rows, columns) is
        int64, or float64 of float frames, counts. Without a scan (frames, 2) and
        (frames,). Centres are NaN where a frame holds no counts, and where none was
        seen; there `mask` is False. ``meta["outside"]`` counts the frames without a
        position.
        """
        reason = "" if len(self._seen) else "no frame with a position yet"
        if self._overflowed:
            reason = "pixels too large for exact sums of 64 bits"
        for name in self._wanted:
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

    def _result(self, name: Quantity) -> Result:
        if name == "total":
            return self._seen.result(name, self._seen.images("total")[0], "counts")
        com = np.moveaxis(self._seen.images("com"), 0, -1)
        com = com - (self._centre or (0.0, 0.0))
        if name == "com":
            return self._seen.result(name, com, "px", ("yx",))
        return self._seen.result(name, com[..., ("com_y", "com_x").index(name)], "px")


def _region(
    mask: Detector | None, shape: Shape, centre: Point | None
) -> kernels.Region:
    """Return the pixels that count.

    Raises
    ------
    ConfigError
        If the mask holds no pixel of such frames, or its file is of no use.
    """
    if mask is None:
        return _all_of(shape)
    return _masked(mask, shape, centre, stamp_of("mask", mask))


@lru_cache(maxsize=16)
def _all_of(shape: Shape) -> kernels.Region:
    return kernels.region_of(np.ones(shape, np.bool_))


@lru_cache(maxsize=16)
def _masked(
    mask: Detector, shape: Shape, centre: Point | None, _file: tuple[int, int]
) -> kernels.Region:
    held = pixels_of("mask", mask, shape, centre)
    if held.dtype != np.bool_:
        raise ConfigError(
            f"mask.mask: {mask.mask} holds weights; for com a pixel counts or does "
            "not: 1 or 0"
        )
    return kernels.region_of(held)

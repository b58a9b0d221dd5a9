"""Virtual detectors: the sum of chosen pixels of each frame, as an image of the scan.

With a scan each detector gives an image, else a series over the frames. What is kept
is sparse (the positions seen and their sums), so that a worker's share is small.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from scopeside import params
from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.events import EventBatch
from scopeside.processor import Device, Order
from scopeside.result import Result, invalid
from scopeside.settings import Name
from scopeside.state import pack, unpack
from scopeside_processors.kernels import USUAL_PIXELS, events
from scopeside_processors.kernels import virtual as kernels
from scopeside_processors.stem.detectors import Centre, Detector, centre_of
from scopeside_processors.stem.follow import follow_of
from scopeside_processors.stem.frames import check_events, check_frames, overflows
from scopeside_processors.stem.inpainted import INPAINTED, Inpainted
from scopeside_processors.stem.layout import Layout, event_layout_of, layout_of
from scopeside_processors.stem.values import FrameValues

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]


def virtual_sums(
    frames: Array, layout: Layout, origin: IntArray | None = None
) -> tuple[Array, kernels.FloatArray]:
    """Return what each virtual detector counts in each frame.

    Parameters
    ----------
    frames : (n, height, width), counts, any real dtype; may be read-only
    layout : the detectors, as `layout_of` gives them
    origin : (n, 2), the pixel around which those that move lie; None: the centre of
        mass of each frame

    Returns
    -------
    (n, plain + moving) int64 (float64 of float frames) and (n, weighted) float64
        Counts. Integers are exact, modulo 2**64; floats do not depend on the batch.
    """
    counts = kernels.sum_runs(frames, layout.plain_runs)
    if layout.moving:
        centre = kernels.middle_of_counts(frames) if origin is None else origin
        moving = kernels.sum_runs(frames, layout.moving_runs, centre)
        counts = np.concatenate([counts, moving], axis=1)
    return counts, kernels.sum_weighted(frames, layout.weights)


def event_sums(
    batch: EventBatch, layout: Layout, origin: IntArray | None = None
) -> tuple[IntArray, kernels.FloatArray]:
    """Return what `virtual_sums` gives for the frames that `batch` would make.

    Integers are the same; with weights, the events of a frame are added in float64 in
    their order. No pixel is held to what the frames' dtype can hold.
    """
    cut = event_layout_of(layout, batch.frame_shape)
    counts = events.sum_labels(batch, cut.plain)
    if layout.moving:
        centre = events.middle_of_counts(batch) if origin is None else origin
        moving = events.sum_moving(batch, cut.moving, centre)
        counts = np.concatenate([counts, moving], axis=1)
    return counts, events.sum_weighted(batch, cut.weights)


class Virtual:
    """Sums the pixels of virtual detectors at each position of the scan."""

    order: ClassVar[Order] = Order.ANY

    class Params(params.Params):
        """The detectors, and the centre of those that leave it out."""

        detectors: Annotated[dict[Name, Detector], Field(min_length=1)]
        """By name: { bf = { disk = [cy, cx, r] }, adf = { annulus = … } }, pixels."""
        centre: Centre = None
        """[cy, cx] in pixels; 'calibration' takes centre_px of the acquisition, or
        descan_px, and follows it to the pixel; 'find' the pixel with the centre of mass
        of each frame, which follows descan, and the specimen's deflection."""
        inpaint: bool = False
        """Whether images are also given with their gaps filled in, to be looked at."""

        @model_validator(mode="after")
        def _centres_are_known(self) -> Self:
            for name, detector in self.detectors.items():
                if detector.lacks_centre and self.centre is None:
                    raise ValueError(
                        f"detectors.{name} leaves its centre out: put cy, cx before "
                        "its numbers, or set centre to [cy, cx], 'calibration' or "
                        "'find'"
                    )
            for name in self.detectors if self.inpaint else ():
                if name + INPAINTED in self.detectors:
                    raise ValueError(f"inpaint gives {name + INPAINTED} a second time")
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
        self._names = tuple(params.detectors)
        self._follow = follow_of(params.centre, acquisition)
        self._layout = layout_of(
            params.detectors,
            acquisition.frame_shape,
            centre_of(params.centre, acquisition) if self._follow is None else None,
        )
        self._inpaint = Inpainted() if params.inpaint and acquisition.scan else None
        plain = len(self._layout.plain) + len(self._layout.moving)
        self._seen = FrameValues(
            acquisition,
            {
                "counts": (plain, kernels.sum_type(acquisition.dtype)),
                "weighted": (len(self._layout.weighted), np.float64),
            },
        )
        self._overflowed = False

    def process(self, batch: Batch) -> None:
        """Sum the frames of `batch`.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        check_frames(batch, self._acquisition)
        self._overflowed |= overflows(batch.pixels)
        origin = None if self._follow is None else self._follow.pixels(batch.index)
        counts, weighted = virtual_sums(batch.pixels, self._layout, origin)
        self._seen.add(batch.index, counts=counts, weighted=weighted)

    def process_events(self, batch: EventBatch) -> None:
        """Sum the events of `batch`; see `event_sums`.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        check_events(batch, self._acquisition)
        origin = None if self._follow is None else self._follow.pixels(batch.index)
        counts, weighted = event_sums(batch, self._layout, origin)
        self._seen.add(batch.index, counts=counts, weighted=weighted)

    def merge(self, other: Self) -> None:
        """Take over the positions that `other` has seen."""
        self._overflowed |= other._overflowed
        self._seen.merge(other._seen)

    def results(self) -> Iterator[Result]:
        """Yield one image (series without a scan) for each detector, by its name.

        An image is (rows, columns), with one more axis in front if there are several
        scans, a series (frames,); counts, int64, or float64 where frames or weights
        are. Where no frame was seen, `mask` is False and the value 0, or NaN; also
        where detectors follow descan and the beam leaves the frame.
        ``meta["outside"]`` counts the frames without a position. If `inpaint` is set,
        each image is followed by ``<name>_inpainted``, see `inpainted.Inpainted`.
        """
        reason = "" if len(self._seen) else "no frame with a position yet"
        if self._overflowed:
            reason = "pixels too large for exact sums of 64 bits"
        if reason:
            for name in self._names:
                yield invalid(name, reason, **self._seen.account())
                if self._inpaint is not None:
                    yield invalid(name + INPAINTED, reason, **self._seen.account())
            return
        plain = self._layout.plain + self._layout.moving
        images = dict(zip(plain, self._seen.images("counts"), strict=True))
        weighted = self._seen.images("weighted")
        images |= zip(self._layout.weighted, weighted, strict=True)
        for name in self._names:
            image = self._seen.result(name, images[name], "counts")
            if self._follow is not None and name in self._layout.moving:
                image = self._follow.without_lost(image)
            yield image
            if self._inpaint is not None:
                yield self._inpaint.of(image)

    def snapshot(self) -> bytes:
        """Return the positions seen and their sums."""
        return pack({**self._seen.snapshot(), "overflowed": self._overflowed})

    def restore(self, state: bytes) -> None:
        """Take over what `snapshot` gave."""
        found = unpack(state)
        self._seen.restore(found)
        self._overflowed = found["overflowed"]

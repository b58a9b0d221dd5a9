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
from scopeside.device.lanes import CardFrames, Lanes
from scopeside.device.twin import Finish
from scopeside.errors import ConfigError
from scopeside.events import EventBatch
from scopeside.packed import PackedBatch
from scopeside.processor import Device, Order
from scopeside.result import Result, invalid
from scopeside.settings import Name
from scopeside.state import pack, unpack
from scopeside_processors.kernels import USUAL_PIXELS, events
from scopeside_processors.kernels import virtual as kernels
from scopeside_processors.kernels.planes import takes
from scopeside_processors.stem import on_card, one_pass
from scopeside_processors.stem.detectors import Centre, Detector, centre_of
from scopeside_processors.stem.follow import Planes, follow_of, without_lost
from scopeside_processors.stem.frames import (
    check_events,
    check_frames,
    check_packed,
    overflows,
)
from scopeside_processors.stem.inpainted import INPAINTED, Inpainted
from scopeside_processors.stem.layout import Layout, event_layout_of, layout_of
from scopeside_processors.stem.values import FrameValues

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]


def virtual_sums(
    frames: Array,
    layout: Layout,
    origin: IntArray | None = None,
    plain: Array | None = None,
) -> tuple[Array, kernels.FloatArray]:
    """Return what each virtual detector counts in each frame.

    Parameters
    ----------
    frames : (n, height, width), counts, any real dtype; may be read-only
    layout : the detectors, as `layout_of` gives them
    origin : (n, 2), the pixel around which those that move lie; None: the centre of
        mass of each frame
    plain : (n, plain), what those at rest count, if it is known

    Returns
    -------
    (n, plain + moving) int64 (float64 of float frames) and (n, weighted) float64
        Counts. Integers are exact, modulo 2**64; floats do not depend on the batch.
    """
    counts = kernels.sum_runs(frames, layout.plain_runs) if plain is None else plain
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
    devices: ClassVar[tuple[Device, ...]] = ("cpu", "gpu")

    class Params(params.Params):
        """The detectors, and the centre of those that leave it out."""

        detectors: Annotated[dict[Name, Detector], Field(min_length=1)]
        """By name: { bf = { disk = [cy, cx, r] }, adf = { annulus = … } }, pixels."""
        centre: Centre = None
        """[cy, cx] in pixels; 'calibration' takes centre_px of the acquisition, or
        descan_px, and follows it to the pixel; 'find' the pixel with the centre of mass
        of each frame, which follows descan, and the specimen's deflection."""
        descan: Planes | None = None
        """[[y at position (0, 0), per row, per column], [x …]] in pixels, in place of
        centre: detectors that leave theirs out follow the beam."""
        inpaint: bool = False
        """Whether images are also given with their gaps filled in, to be looked at."""

        @model_validator(mode="after")
        def _centres_are_known(self) -> Self:
            for name, detector in self.detectors.items():
                known = self.centre is not None or self.descan is not None
                if detector.lacks_centre and not known:
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
            encoding = "frames" if acquisition is None else acquisition.encoding
            one_pass.warm(dtype, encoding)
            if encoding == "events":
                events.warm(dtype)

    def __init__(
        self,
        acquisition: Acquisition,
        params: Params,
        device: Device = "cpu",
    ) -> None:
        self._acquisition = acquisition
        self._device = device
        self._use(params)
        self._seen = FrameValues(
            acquisition,
            {
                "counts": (len(self._plain), kernels.sum_type(acquisition.dtype)),
                "weighted": (len(self._weighted), np.float64),
                "lost": (1, np.bool_),
            },
        )
        self._overflowed = False

    def change(self, params: Params) -> None:
        """Move or reshape the detectors; frames that were seen keep their sums.

        Raises
        ------
        ConfigError
            If the names are others, or one gets weights or loses them.
        """
        before = self._params
        if set(params.detectors) != set(before.detectors):
            raise ConfigError(
                f"detectors: expected {', '.join(sorted(before.detectors))}; others "
                "can be had only between acquisitions"
            )
        weighted = self._weighted
        self._use(params)
        if self._weighted != weighted:
            self._use(before)
            raise ConfigError(
                "detectors: one with weights and one without can become each other "
                "only between acquisitions"
            )

    def process(self, batch: Batch) -> None:
        """Sum the frames of `batch`.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        check_frames(batch, self._acquisition)
        self._overflowed |= overflows(batch.pixels)
        origin, lost = self._origin(batch.index)
        plain = one_pass.sums(batch, self._layout.plain_runs)
        sums = virtual_sums(batch.pixels, self._layout, origin, plain)
        self._add(batch.index, sums, lost, self._columns)

    @classmethod
    def prepare_card(cls, lanes: Lanes) -> None:
        """Compile the kernels of the GPU twin."""
        on_card.prepare_labels(lanes)

    def takes_card(self) -> bool:
        """Return whether a GPU can sum these detectors: at rest, without weights.

        Where there are others as well, the CPU sums those meanwhile.
        """
        return (
            self._device == "gpu"
            and bool(self._layout.plain)
            and on_card.takes(self._acquisition)
        )

    def launch(self, frames: CardFrames) -> Finish:
        """Have a GPU sum the frames; see `scopeside.device.twin.OnCard`."""
        check_frames(frames.batch, self._acquisition)
        origin, lost = self._origin(frames.batch.index)
        found, columns = (
            on_card.virtual_sums(frames, self._layout, origin),
            self._columns,
        )

        def finish() -> None:
            self._add(frames.batch.index, found(), lost, columns)

        return finish

    def process_events(self, batch: EventBatch) -> None:
        """Sum the events of `batch`; see `event_sums`.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        check_events(batch, self._acquisition)
        origin, lost = self._origin(batch.index)
        sums = event_sums(batch, self._layout, origin)
        self._add(batch.index, sums, lost, self._columns)

    def process_packed(self, batch: PackedBatch) -> None:
        """Sum the packed frames of `batch`, unpacked only where they have to be.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says, or no packed frames.
        """
        check_packed(batch, self._acquisition)
        layout = self._layout
        at_rest = not (layout.moving or layout.weighted)
        if not (at_rest and takes(batch.frame_shape, batch.dtype)):
            for _, frames in batch.portions():
                self.process(frames)
            return
        counts = one_pass.packed_sums(batch, layout.plain_runs)
        _, lost = self._origin(batch.index)
        self._add(batch.index, (counts, np.empty((len(batch), 0))), lost, self._columns)

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
        images = dict(zip(self._plain, self._seen.images("counts"), strict=True))
        images |= zip(self._weighted, self._seen.images("weighted"), strict=True)
        lost = self._seen.images("lost")[0]
        for name in self._names:
            image = self._seen.result(name, images[name], "counts")
            if self._params.detectors[name].lacks_centre:
                image = without_lost(image, lost)
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

    def _use(self, params: Params) -> None:
        """Cut up the detectors that `params` say."""
        acquisition, centre = self._acquisition, params.centre
        follow = follow_of(centre, params.descan, acquisition)
        middle = centre_of(centre, acquisition) if follow is None else None
        layout = layout_of(params.detectors, acquisition.frame_shape, middle)
        self._params, self._follow, self._layout = params, follow, layout
        self._names = tuple(params.detectors)
        # By name, whatever their order in the table and whether they move: so columns
        # stay theirs.
        self._weighted = tuple(sorted(layout.weighted))
        summed = layout.plain + layout.moving
        self._plain = tuple(sorted(summed))
        self._columns = (
            [summed.index(name) for name in self._plain],
            [layout.weighted.index(name) for name in self._weighted],
        )
        painted = params.inpaint and acquisition.scan is not None
        self._inpaint = Inpainted() if painted else None

    def _origin(self, index: IntArray) -> tuple[IntArray | None, Array]:
        """Return the beam's pixel in each frame, and where it has left the frame."""
        if self._follow is None:
            return None, np.zeros(len(index), np.bool_)
        return self._follow.pixels(index)

    def _add(
        self,
        index: IntArray,
        sums: tuple[Array, Array],
        lost: Array,
        columns: tuple[list[int], list[int]],
    ) -> None:
        """Keep sums; `columns` put those of a layout in the order of the names."""
        counts, weighted = sums[0][:, columns[0]], sums[1][:, columns[1]]
        self._seen.add(index, counts=counts, weighted=weighted, lost=lost[:, None])

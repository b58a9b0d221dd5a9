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
from scopeside.packed import AnyBatch, PackedBatch
from scopeside.params import LocalPath
from scopeside.processor import Device, Order
from scopeside.result import Result, invalid
from scopeside.settings import Name
from scopeside.state import pack, unpack
from scopeside_processors.kernels import USUAL_PIXELS, com, events
from scopeside_processors.kernels import virtual as kernels
from scopeside_processors.kernels.planes import takes
from scopeside_processors.stem import on_card, one_pass
from scopeside_processors.stem.correction import correction_of
from scopeside_processors.stem.counts import event_sums, virtual_sums
from scopeside_processors.stem.dead import Dead
from scopeside_processors.stem.detectors import Centre, Detector, centre_of
from scopeside_processors.stem.faults import saturated
from scopeside_processors.stem.follow import Planes, follow_of, without_lost
from scopeside_processors.stem.frames import (
    check_events,
    check_frames,
    check_packed,
    overflows,
)
from scopeside_processors.stem.inpainted import INPAINTED, Inpainted
from scopeside_processors.stem.layout import layout_of
from scopeside_processors.stem.values import FrameValues

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]


_REASONS = ("saturated",)


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
        dead: Dead = None
        """Pixels that no detector holds: a .npy file of the frame's shape, 1 or True
        where a pixel is dead, or [[y, x], …]."""
        dark: LocalPath | None = None
        """A .npy file of the frame's shape: counts that are taken off each pixel."""
        gain: LocalPath | None = None
        """A .npy file of the frame's shape: the factor of each pixel, after `dark`."""
        saturation: Annotated[float, Field(gt=0)] | None = None
        """Counts from which a pixel is saturated; a frame with one that is not dead is
        invalid. none: this is not looked at, which costs nothing."""

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
            com.warm(dtype)
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
            _REASONS,
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
        self._add(batch, sums, lost, self._columns)

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
            self._add(frames.batch, found(), lost, columns)

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
        self._add(batch, sums, lost, self._columns)

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
        looked_at = self._params.saturation is not None
        if not at_rest or looked_at or not takes(batch.frame_shape, batch.dtype):
            for _, frames in batch.portions():
                self.process(frames)
            return
        counts = one_pass.packed_sums(batch, layout.plain_runs)
        _, lost = self._origin(batch.index)
        self._add(batch, (counts, np.empty((len(batch), 0))), lost, self._columns)

    def merge(self, other: Self) -> None:
        """Take over the positions that `other` has seen."""
        self._overflowed |= other._overflowed
        self._seen.merge(other._seen)

    def results(self) -> Iterator[Result]:
        """Yield one image (series without a scan) for each detector, by its name.

        An image is (rows, columns), with one more axis in front if there are several
        scans, a series (frames,); counts, int64, or float64 where frames or weights
        are. Where no frame was seen, `mask` is False and the value 0, or NaN; also
        where detectors follow descan and the beam leaves the frame. Where a pixel is
        saturated `mask` is False. ``meta["invalid"]`` counts them by reason.
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
        shape = acquisition.frame_shape
        correction = correction_of(params.dead, params.dark, params.gain, shape)
        layout = layout_of(params.detectors, shape, middle, correction)
        self._living = correction.dead.living
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
        batch: AnyBatch,
        sums: tuple[Array, Array],
        lost: Array,
        columns: tuple[list[int], list[int]],
    ) -> None:
        """Keep sums; `columns` put those of a layout in the order of the names."""
        counts, weighted = sums[0][:, columns[0]], sums[1][:, columns[1]]
        level = self._params.saturation
        flag = saturated(batch, self._living, level).astype(np.uint8)
        self._seen.add(
            batch.index, flag, counts=counts, weighted=weighted, lost=lost[:, None]
        )

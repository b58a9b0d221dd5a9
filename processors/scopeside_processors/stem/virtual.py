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
from scopeside.processor import Device, Order
from scopeside.result import Result, invalid
from scopeside.settings import Name
from scopeside.state import pack, unpack
from scopeside_processors.kernels import USUAL_PIXELS, events
from scopeside_processors.kernels import virtual as kernels
from scopeside_processors.stem import on_card
from scopeside_processors.stem.detectors import Centre, Detector, centre_of
from scopeside_processors.stem.frames import check_events, check_frames, overflows
from scopeside_processors.stem.layout import Layout, event_layout_of, layout_of
from scopeside_processors.stem.values import FrameValues

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]


def virtual_sums(frames: Array, layout: Layout) -> tuple[Array, kernels.FloatArray]:
    """Return what each virtual detector counts in each frame.

    Parameters
    ----------
    frames : (n, height, width), counts, any real dtype; may be read-only
    layout : the detectors, as `layout_of` gives them

    Returns
    -------
    (n, plain + moving) int64 (float64 of float frames) and (n, weighted) float64
        Counts. Integers are exact, modulo 2**64; floats do not depend on the batch.
    """
    counts = kernels.sum_runs(frames, layout.plain_runs)
    if layout.moving:
        centre = kernels.middle_of_counts(frames)
        moving = kernels.sum_runs(frames, layout.moving_runs, centre)
        counts = np.concatenate([counts, moving], axis=1)
    return counts, kernels.sum_weighted(frames, layout.weights)


def event_sums(
    batch: EventBatch, layout: Layout
) -> tuple[IntArray, kernels.FloatArray]:
    """Return what `virtual_sums` gives for the frames that `batch` would make.

    Integers are the same; with weights, the events of a frame are added in float64 in
    their order. No pixel is held to what the frames' dtype can hold.
    """
    cut = event_layout_of(layout, batch.frame_shape)
    counts = events.sum_labels(batch, cut.plain)
    if layout.moving:
        centre = events.middle_of_counts(batch)
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
        """[cy, cx] in pixels; 'calibration' takes centre_px of the acquisition;
        'find' the pixel with the centre of mass of each frame, which follows descan."""

        @model_validator(mode="after")
        def _centres_are_known(self) -> Self:
            for name, detector in self.detectors.items():
                if detector.lacks_centre and self.centre is None:
                    raise ValueError(
                        f"detectors.{name} leaves its centre out: put cy, cx before "
                        "its numbers, or set centre to [cy, cx], 'calibration' or "
                        "'find'"
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
        device: Device = "cpu",
    ) -> None:
        self._acquisition = acquisition
        self._device = device
        self._names = tuple(params.detectors)
        self._layout = self._layout_of(params)
        plain = len(self._layout.plain) + len(self._layout.moving)
        self._seen = FrameValues(
            acquisition,
            {
                "counts": (plain, kernels.sum_type(acquisition.dtype)),
                "weighted": (len(self._layout.weighted), np.float64),
            },
        )
        self._overflowed = False

    def _layout_of(self, params: Params) -> Layout:
        # By name, whatever their order in the table: so columns stay theirs.
        detectors = {name: params.detectors[name] for name in sorted(params.detectors)}
        centre = centre_of(params.centre, self._acquisition)
        return layout_of(detectors, self._acquisition.frame_shape, centre)

    def change(self, params: Params) -> None:
        """Move or reshape the detectors; frames that were seen keep their sums.

        Raises
        ------
        ConfigError
            If the names are others, or one becomes of another sort: at rest, weighted,
            or following the pattern.
        """
        if set(params.detectors) != set(self._names):
            raise ConfigError(
                f"detectors: expected {', '.join(sorted(self._names))}; others can be "
                "had only between acquisitions"
            )
        old, new = self._layout, self._layout_of(params)
        if (old.plain, old.moving, old.weighted) != (
            new.plain,
            new.moving,
            new.weighted,
        ):
            raise ConfigError(
                "detectors: one at rest, one with weights, and one that follows the "
                "pattern can become each other only between acquisitions"
            )
        self._names, self._layout = tuple(params.detectors), new

    def process(self, batch: Batch) -> None:
        """Sum the frames of `batch`.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        check_frames(batch, self._acquisition)
        self._overflowed |= overflows(batch.pixels)
        counts, weighted = virtual_sums(batch.pixels, self._layout)
        self._seen.add(batch.index, counts=counts, weighted=weighted)

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
        found = on_card.virtual_sums(frames, self._layout)

        def finish() -> None:
            counts, weighted = found()
            self._seen.add(frames.batch.index, counts=counts, weighted=weighted)

        return finish

    def process_events(self, batch: EventBatch) -> None:
        """Sum the events of `batch`; see `event_sums`.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        check_events(batch, self._acquisition)
        counts, weighted = event_sums(batch, self._layout)
        self._seen.add(batch.index, counts=counts, weighted=weighted)

    def merge(self, other: Self) -> None:
        """Take over the positions that `other` has seen."""
        self._overflowed |= other._overflowed
        self._seen.merge(other._seen)

    def results(self) -> Iterator[Result]:
        """Yield one image (series without a scan) for each detector, by its name.

        An image is (rows, columns), with one more axis in front if there are several
        scans, a series (frames,); counts, int64, or float64 where frames or weights
        are. Where no frame was seen, `mask` is False and the value 0, or NaN.
        ``meta["outside"]`` counts the frames without a position.
        """
        reason = "" if len(self._seen) else "no frame with a position yet"
        if self._overflowed:
            reason = "pixels too large for exact sums of 64 bits"
        if reason:
            for name in self._names:
                yield invalid(name, reason, **self._seen.account())
            return
        plain = self._layout.plain + self._layout.moving
        images = dict(zip(plain, self._seen.images("counts"), strict=True))
        weighted = self._seen.images("weighted")
        images |= zip(self._layout.weighted, weighted, strict=True)
        for name in self._names:
            yield self._seen.result(name, images[name], "counts")

    def snapshot(self) -> bytes:
        """Return the positions seen and their sums."""
        return pack({**self._seen.snapshot(), "overflowed": self._overflowed})

    def restore(self, state: bytes) -> None:
        """Take over what `snapshot` gave."""
        found = unpack(state)
        self._seen.restore(found)
        self._overflowed = found["overflowed"]

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
from scopeside_processors.stem.frames import check_events, check_frames, exceeds
from scopeside_processors.stem.layout import Layout, event_layout_of, layout_of

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]

LONGEST_SERIES = 1 << 27
"""A frame index beyond it is no frame of a movie whose length nobody has said."""


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


class Table:
    """Rows that came one after another; memory grows by doubling."""

    def __init__(self, columns: int, dtype: npt.DTypeLike) -> None:
        self._rows = np.empty((0, columns), dtype)
        self._used = 0

    def __len__(self) -> int:
        return self._used

    def append(self, rows: Array) -> None:
        """Add ``rows (n, columns)`` at the end."""
        used = self._used + len(rows)
        if used > len(self._rows):
            room = (max(used, 2 * len(self._rows)), self._rows.shape[1])
            grown = np.empty(room, self._rows.dtype)
            grown[: self._used] = self.rows
            self._rows = grown
        self._rows[self._used : used] = rows
        self._used = used

    @property
    def rows(self) -> Array:
        """All rows, (n, columns); a view."""
        return self._rows[: self._used]


class Virtual:
    """Sums the pixels of virtual detectors at each position of the scan."""

    order: ClassVar[Order] = Order.ANY

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
        device: Device = "cpu",  # noqa: ARG002 - there is no GPU twin yet
    ) -> None:
        self._acquisition = acquisition
        self._names = tuple(params.detectors)
        self._layout = layout_of(
            params.detectors,
            acquisition.frame_shape,
            centre_of(params.centre, acquisition),
        )
        plain = len(self._layout.plain) + len(self._layout.moving)
        self._positions = Table(1, np.int64)
        self._counts = Table(plain, kernels.sum_type(acquisition.dtype))
        self._weighted = Table(len(self._layout.weighted), np.float64)
        self._first, self._last = -1, -1
        self._outside = 0
        self._overflowed = False

    def process(self, batch: Batch) -> None:
        """Sum the frames of `batch`.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        check_frames(batch, self._acquisition)
        position = self._position_of(batch.index)
        if not self._counts_outside(position):
            return
        height, width = self._acquisition.frame_shape
        largest = (2**63 - 1) // (height * width * max(height, width))
        self._overflowed |= exceeds(batch.pixels, largest)
        sums = virtual_sums(batch.pixels, self._layout)
        self._take_inside(batch.index, position, *sums)

    def process_events(self, batch: EventBatch) -> None:
        """Sum the events of `batch`; see `event_sums`.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        check_events(batch, self._acquisition)
        position = self._position_of(batch.index)
        if self._counts_outside(position):
            sums = event_sums(batch, self._layout)
            self._take_inside(batch.index, position, *sums)

    def merge(self, other: Self) -> None:
        """Take over the positions that `other` has seen."""
        self._outside += other._outside
        self._overflowed |= other._overflowed
        if len(other._positions):
            self._take(
                other._positions.rows[:, 0], other._counts.rows, other._weighted.rows
            )
            self._stands_on(other._first, other._last)

    def results(self) -> Iterator[Result]:
        """Yield one image (series without a scan) for each detector, by its name.

        An image is (rows, columns), a series (frames,); counts, int64, or float64
        where frames or weights are. Where no frame was seen, `mask` is False and the
        value 0, or NaN. ``meta["outside"]`` counts the frames without a position.
        """
        reason = ""
        if not len(self._positions):
            reason = "no frame with a position yet"
        if self._overflowed:
            reason = "pixels too large for exact sums of 64 bits"
        if reason:
            for name in self._names:
                yield invalid(name, reason, **self._account())
            return
        plain = self._layout.plain + self._layout.moving
        columns = dict(zip(plain, self._counts.rows.T, strict=True))
        columns |= zip(self._layout.weighted, self._weighted.rows.T, strict=True)
        for name in self._names:
            yield self._result(name, columns[name])

    def snapshot(self) -> bytes:
        """Return the positions seen and their sums."""
        tables = {
            "positions": self._positions.rows,
            "counts": self._counts.rows,
            "weighted": self._weighted.rows,
        }
        return pack(
            {
                # Those without plain, or without weighted detectors have an empty one.
                "tables": {name: rows for name, rows in tables.items() if rows.size},
                "frames": [self._first, self._last, self._outside],
                "overflowed": self._overflowed,
            }
        )

    def restore(self, state: bytes) -> None:
        """Take over what `snapshot` gave."""
        found = unpack(state)
        if tables := found["tables"]:
            positions = tables["positions"][:, 0]
            none = np.empty((len(positions), 0))
            self._take(
                positions, tables.get("counts", none), tables.get("weighted", none)
            )
        self._first, self._last, self._outside = found["frames"]
        self._overflowed = found["overflowed"]

    def _position_of(self, index: IntArray) -> IntArray:
        """Return the place of each frame in the flat result, -1 where none."""
        if self._acquisition.scan is not None:
            return self._acquisition.scan.position_of(index)
        frames = self._acquisition.frames
        length = LONGEST_SERIES if frames is None else frames
        return np.where((index < 0) | (index >= length), -1, index)

    def _counts_outside(self, position: IntArray) -> bool:
        """Count the frames without a position; return whether any has one."""
        outside = int(np.count_nonzero(position < 0))
        self._outside += outside
        return outside < len(position)

    def _take_inside(
        self, index: IntArray, position: IntArray, counts: Array, weighted: Array
    ) -> None:
        inside = position >= 0
        self._take(position[inside], counts[inside], weighted[inside])
        self._stands_on(index[inside].min(), index[inside].max())

    def _take(self, positions: IntArray, counts: Array, weighted: Array) -> None:
        self._positions.append(positions[:, None])
        self._counts.append(counts)
        self._weighted.append(weighted)

    def _stands_on(self, first: int, last: int) -> None:
        self._first = int(first) if self._first < 0 else min(self._first, int(first))
        self._last = max(self._last, int(last))

    def _account(self) -> dict[str, Any]:
        scan = self._acquisition.scan
        return {
            "frame": self._last,
            "first": self._first,
            "used": len(self._positions),
            "expected": self._acquisition.frames if scan is None else scan.positions,
            "meta": {"outside": self._outside},
        }

    def _result(self, name: str, values: Array) -> Result:
        scan = self._acquisition.scan
        shape: tuple[int, ...] = (self._acquisition.frames or self._last + 1,)
        if scan is not None:
            shape = scan.shape
        positions = self._positions.rows[:, 0]
        seen = np.zeros(shape, np.bool_)
        seen.reshape(-1)[positions] = True
        data = np.full(shape, np.nan if values.dtype.kind == "f" else 0, values.dtype)
        data.reshape(-1)[positions] = values
        return Result(
            name,
            data,
            "series" if scan is None else "image",
            mask=None if seen.all() else seen,
            units="counts",
            axes=("frame",) if scan is None else ("scan_y", "scan_x"),
            **self._account(),
        )

"""One series of images on its way into the engine."""

# ruff: noqa: PLR0917 - a kernel takes flat arrays by position
from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.detector import EndState, Sink, Slot
from scopeside.ledger import FrameRanges
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.dectris.decode import Decoder
from scopeside_adapters.dectris.encoding import dtype_of
from scopeside_adapters.dectris.events import Facts
from scopeside_adapters.dectris.images import (
    HEIGHT,
    ITEM,
    NUMBER,
    START_NS,
    WIDTH,
    Rows,
    new_rows,
)
from scopeside_adapters.dectris.native import compiled
from scopeside_adapters.dectris.packing import Packer
from scopeside_adapters.dectris.parcel import Array

REORDERED = 4096
"""A hole in the numbers is a gap once images so far ahead of it have come."""
_MOST_NUMBER = 1 << 48
"""Images a series has at most (firmware 2022.1.2)."""


@compiled
def _is_usual(
    rows: Array, height: int, width: int, item: int, first: int, expected: int
) -> bool:
    """Say whether all images have that form and follow each other from `first` on."""
    for k in range(len(rows)):
        row = rows[k]
        if row[HEIGHT] != height or row[WIDTH] != width or row[ITEM] != item:
            return False
        if row[NUMBER] != first + k:
            return False
    return expected < 0 or first + len(rows) <= expected


@compiled
def _stamp(
    rows: Array, index: Array, stamps: Array, epoch_ns: int, now_ns: int
) -> None:
    """Write the numbers and times of images; those without a time have it `now`."""
    for k in range(len(rows)):
        number, start = rows[k, NUMBER], rows[k, START_NS]
        index[k] = number
        said = start > 0 or (start == 0 and number == 0)
        stamps[k] = epoch_ns + start if said else now_ns


class Series:
    """A series that has begun; its acquisition is opened when its frames are known.

    Attributes
    ----------
    number
        The detector's number of the series.
    heard
        When something of it came last, by the monotonic clock, s.
    """

    def __init__(
        self,
        number: int,
        facts: Facts,
        detector: str,
        began_ns: int | None,
        *,
        packed: bool = False,
    ) -> None:
        self.number = number
        self.facts = facts
        self.heard = time.monotonic()
        self.is_open = False
        self._detector = detector
        self._began_ns = began_ns
        self._packed = packed
        self._epoch_ns: int | None = None
        self._form = (0, 0, 0)
        self._dtype: np.dtype[Any] = np.dtype(np.uint16)
        self._received = FrameRanges()
        self._settled = 0
        self._next = 0

    @property
    def expected(self) -> int | None:
        """How many images it will have, as far as the detector tells."""
        return self.facts.expected

    @property
    def received(self) -> FrameRanges:
        """The images that have come and those that were declared missing."""
        return self._received

    @property
    def is_whole(self) -> bool:
        """Whether every image has come that could be expected."""
        last = self.expected or self._received.highest + 1
        return last > 0 and self._received.covers(0, last - 1)

    # -- opening ---------------------------------------------------------------------

    def open(self, sink: Sink, settings: AcquisitionSettings) -> bool:
        """Open the acquisition if the form of its frames is known; say whether."""
        facts = self.facts
        if self.is_open or facts.frame_shape is None or facts.dtype is None:
            return self.is_open
        scan = settings.scan_of()
        sink.start(
            Acquisition(
                f"{sink.new_id()[:48]}-s{self.number % 10**12}",
                facts.frame_shape,
                facts.dtype,
                kind="movie" if scan is None else "scan4d",
                frames=facts.expected,
                scan=scan,
                calibration=facts.calibration,
                detector=self._detector,
                encoding="packed" if self._packed else "frames",
                started_ns=self._began_ns,
                metadata={
                    **facts.metadata,
                    "series": self.number,
                    # Masked and saturated pixels read this; nothing is done about it.
                    "masked_value": int(np.iinfo(facts.dtype).max),
                },
            )
        )
        height, width = facts.frame_shape
        self._form = (height, width, facts.dtype.itemsize)
        self._dtype = facts.dtype
        self.is_open = True
        return True

    # -- images ------------------------------------------------------------------------

    def take(self, sink: Sink, decoder: Decoder, data: Array, rows: Rows) -> int:
        """Deliver the images of `rows`; return how many a slot can hold."""
        height, width, item = self._form
        first = int(rows[0, NUMBER])
        expected = -1 if self.expected is None else self.expected
        if not _is_usual(rows, height, width, item, first, expected):
            rows = self._sorted(self._without_strangers(sink, rows))
        capacity = 0
        while len(rows):
            with sink.slot() as slot:
                capacity = slot.capacity
                if self._packed:
                    rows = self._fill_packed(sink, slot, decoder, data, rows)
                    continue
                portion, rows = rows[:capacity], rows[capacity:]
                self._fill(sink, slot, decoder, data, portion)
        self._settle(sink)
        return capacity

    def _fill(
        self, sink: Sink, slot: Slot, decoder: Decoder, data: Array, rows: Rows
    ) -> None:
        n = len(rows)
        whole = decoder.decode(data, rows, slot.pixels[:n])
        if not whole.all():
            kept = np.flatnonzero(whole)
            slot.pixels[: len(kept)] = slot.pixels[kept]
        self._commit(sink, slot, rows, whole)

    def _fill_packed(
        self, sink: Sink, slot: Slot, decoder: Decoder, data: Array, rows: Rows
    ) -> Rows:
        """Put as many images into the slot as fit; return the others."""
        height, width, _ = self._form
        packer = Packer((height, width), self._dtype, decoder)
        n = packer.fitting(slot, rows)
        if n == 0:
            self._refuse(sink, rows[:1], "oversized", "larger packed than as it is")
            return rows[1:]
        whole, words = packer.fill(slot, data, rows[:n])
        self._commit(sink, slot, rows[:n], whole, words)
        return rows[n:]

    def _commit(
        self,
        sink: Sink,
        slot: Slot,
        rows: Rows,
        whole: npt.NDArray[np.bool_],
        words: int = 0,
    ) -> None:
        """Hand on the images that are whole; their pixels are in the slot."""
        now_ns = time.time_ns()
        if self._epoch_ns is None:
            # The detector's clock is good for intervals; nobody has set its date.
            self._epoch_ns = now_ns - max(int(rows[0, START_NS]), 0)
        if not whole.all():
            self._refuse(
                sink, rows[~whole], "undecodable", "pixels cannot be decompressed"
            )
            rows = rows[np.flatnonzero(whole)]
        if len(rows):
            _stamp(rows, slot.index, slot.timestamp_ns, self._epoch_ns, now_ns)
            slot.commit(len(rows), words=words)
            self._note(rows)

    def _note(self, rows: Rows) -> None:
        """Take the images of `rows` as received; they are in order."""
        first, last = int(rows[0, NUMBER]), int(rows[-1, NUMBER])
        if last - first == len(rows) - 1:
            self._received.add(first, last)
            return
        numbers = rows[:, NUMBER]
        edges = np.flatnonzero(np.diff(numbers) != 1) + 1
        for run in np.split(numbers, edges):
            self._received.add(int(run[0]), int(run[-1]))

    def _sorted(self, rows: Rows) -> Rows:
        numbers = rows[:, NUMBER]
        if len(rows) < 2 or (np.diff(numbers) > 0).all():
            return rows
        return rows[np.argsort(numbers, kind="stable")]

    def _without_strangers(self, sink: Sink, rows: Rows) -> Rows:
        """Refuse what is no image of this series; return the rest."""
        height, width, item = self._form
        shape = (rows[:, HEIGHT] == height) & (rows[:, WIDTH] == width)
        dtype = np.abs(rows[:, ITEM]) == item
        limit = _MOST_NUMBER if self.expected is None else self.expected
        inside = rows[:, NUMBER] < limit
        for good, cause, problem in (
            (shape, "wrong_shape", f"not {height}×{width} pixels, as the series has"),
            (dtype, "wrong_dtype", f"not {8 * item} bits a pixel, as the series has"),
            (inside, "beyond_expected", f"a series of {limit} images has no such"),
        ):
            if not good.all():
                self._refuse(sink, rows[~good], cause, problem)
        good = shape & dtype & inside
        kept: Rows = rows[good]
        return kept

    def _refuse(self, sink: Sink, rows: Rows, cause: str, problem: str) -> None:
        """Count images that are none, and say that they will not come."""
        first = rows[0]
        sink.reject(
            len(rows),
            cause,
            f"{self._detector}: image {first[NUMBER]} of series {self.number} "
            f"({first[HEIGHT]}×{first[WIDTH]}, {8 * abs(int(first[ITEM]))} bits): "
            f"{problem}",
        )
        limit = self.expected or self._received.highest + REORDERED
        for number in rows[:, NUMBER].tolist():
            if number < limit and not self._received.overlaps(number, number):
                sink.gap(number, number, cause)
                self._received.add(number, number)

    def _settle(self, sink: Sink) -> None:
        """Declare holes that are too old to be filled; this bounds the memory."""
        until = self._received.highest - REORDERED
        if until > self._settled:
            self._declare(sink, until, "missing")
            self._settled = until

    def _declare(self, sink: Sink, last: int, cause: str) -> int:
        """Declare the holes up to `last`; return how many images they are."""
        holes = list(self._received.holes(self._settled, last))
        for first, end in holes:
            sink.gap(first, end, cause)
            self._received.add(first, end)
        return sum(end - first + 1 for first, end in holes)

    # -- ending ------------------------------------------------------------------------

    def finish(
        self,
        sink: Sink,
        settings: AcquisitionSettings,
        dropped: int | None,
        trouble: str = "",
    ) -> None:
        """End the acquisition and declare what is missing.

        Parameters
        ----------
        dropped
            How many images the detector says that it dropped; None if it says nothing.
        trouble
            What kept the detector from ending the series itself; empty: it did.
        """
        if not self.open(sink, settings):
            sink.note(
                f"{self._detector}: series {self.number} ended without an image"
                + (f" ({trouble})" if trouble else "")
            )
            return
        whole, came = self.is_whole, self._received.highest + 1
        cause = "dropped_by_detector" if dropped else "missing"
        short = self.expected is not None and came < self.expected
        state: EndState = "failed" if trouble and not whole else "complete"
        reasons = [trouble] if trouble and not whole else []
        total = self.expected or came
        if short and not trouble and not dropped:
            # Nothing was lost: somebody has aborted it.
            state, total = "stopped", came
            reasons.append(
                f"the detector ended series {self.number} after {came} of "
                f"{self.expected} images"
            )
        if dropped and not whole:
            reasons.append(f"the detector dropped {dropped} images")
        self._declare(sink, total - 1, cause)
        sink.end(state, "; ".join(reasons), total=total)


def facts_of_image(facts: Facts, row: Rows) -> Facts:
    """Return `facts` with the form of an image where the header told none."""
    known: dict[str, Any] = {name: getattr(facts, name) for name in Facts.__slots__}
    if facts.frame_shape is None:
        known["frame_shape"] = (int(row[HEIGHT]), int(row[WIDTH]))
    if facts.dtype is None:
        known["dtype"] = dtype_of(int(row[ITEM]))
    return Facts(**known)


def load() -> None:
    """Compile the loops, or find them compiled."""
    rows, numbers = new_rows(1), np.zeros(1, np.int64)
    _is_usual(rows, 0, 0, 0, 0, -1)
    _stamp(rows, numbers, numbers.copy(), 0, 0)

"""Counts of the rings of each frame, with the reason where there are none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.events import EventBatch
from scopeside_processors.kernels import events as event_kernels
from scopeside_processors.kernels import radial as kernels
from scopeside_processors.kernels.virtual import sum_type
from scopeside_processors.stem.frames import check_events, check_frames
from scopeside_processors.stem.ring_bins import RingMaps, RingParams, RingSet

Array = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
FlagArray = npt.NDArray[np.uint8]

REASONS = (
    "no counts",
    "a pixel is no number",
    "saturated",
    "the centre is off the detector",
    "pixels too large for exact sums of 64 bits",
)
NO_COUNTS, NO_NUMBER, SATURATED, OFF, TOO_LARGE = range(1, len(REASONS) + 1)


@dataclass(frozen=True, slots=True, eq=False)
class RingCounts:
    """What the rings of frames hold.

    Attributes
    ----------
    place
        (n,) int64, flat position of each frame; -1: none.
    sums, squares
        (n, bins) int64, or float64 of floats: counts, and squared counts or (n, 0).
    pixels
        (n, bins) int64: how many pixels each ring has; if they are split, parts.
    flag
        (n,) uint8: 0, or the number of the reason in `REASONS`, from 1.
    """

    place: IntArray
    sums: Array
    squares: Array
    pixels: IntArray
    flag: FlagArray

    @property
    def known(self) -> BoolArray:
        """Frames that count where frames are added up: without counts, too."""
        return (self.place >= 0) & (self.flag <= NO_COUNTS)

    def means(self, of: Array) -> Array:
        """Return `of`, sums or squares, per pixel: (n, bins) float64.

        NaN where a ring has no pixel.
        """
        found: Array = of / np.where(self.pixels > 0, self.pixels, np.nan)
        return found


class RingCounter:
    """Counts the rings of the frames of one acquisition.

    Raises
    ------
    ConfigError
        If there cannot be such rings; the message names the key.
    """

    def __init__(
        self, params: RingParams, acquisition: Acquisition, who: str, *, squares: bool
    ) -> None:
        self._acquisition = acquisition
        self._squares = squares
        self._most = params.saturated_at
        self._maps = RingMaps(params, acquisition, who)
        self._labels: list[event_kernels.Labels] = []

    @property
    def maps(self) -> RingMaps:
        """The rings."""
        return self._maps

    def count(self, batch: Batch) -> RingCounts:
        """Return what the rings of the frames of `batch` hold.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        check_frames(batch, self._acquisition)
        frames, place = batch.pixels, self._place_of(batch.index)
        flag = np.zeros(len(place), np.uint8)
        if not self._maps.moves:
            rings = self._maps.fixed
            sums, squares = self._sums(frames, rings, np.arange(len(frames)))
            pixels = np.broadcast_to(rings.pixels, sums.shape)
        else:
            sums, squares, pixels = self._moving(frames, place, flag)
        self._flag(frames, sums, flag)
        return RingCounts(place, sums, squares, pixels, flag)

    def count_events(self, batch: EventBatch) -> RingCounts:
        """Return what `count` gives for the frames that `batch` would make.

        Squares, and pixels that may be saturated, need the frames: they are made, few
        at a time. So are those of a centre that moves.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        check_events(batch, self._acquisition)
        if self._squares or self._most is not None or self._maps.moves:
            parts = [self.count(frames) for _, frames in batch.portions()]
            if parts:
                return _joined(parts)
        if not self._labels:
            self._labels = self._event_labels()
        sums = event_kernels.sum_labels(batch, self._labels[0])
        for labels in self._labels[1:]:
            sums += event_kernels.sum_labels(batch, labels)
        flag = np.where(sums.sum(axis=1) > 0, 0, NO_COUNTS).astype(np.uint8)
        pixels = np.broadcast_to(self._maps.fixed.pixels, sums.shape)
        place = self._place_of(batch.index)
        return RingCounts(place, sums, sums[:, :0], pixels, flag)

    def _event_labels(self) -> list[event_kernels.Labels]:
        bins = self._maps.axis.bins
        kind = np.uint8 if bins < 255 else np.uint32
        ring = np.arange(bins)
        pairs = np.stack([ring + 1, ring], axis=1)
        return [
            event_kernels.Labels((label + 1).astype(kind), pairs, bins + 1, bins)
            for label in self._maps.labels(self._maps.middle)
        ]

    def _moving(
        self, frames: Array, place: IntArray, flag: FlagArray
    ) -> tuple[Array, Array, IntArray]:
        """Count frames around their own centres; flag those where it is off."""
        shape = (len(frames), self._maps.axis.bins)
        kind = sum_type(frames.dtype)
        sums, pixels = np.zeros(shape, kind), np.zeros(shape, np.int64)
        squares = np.zeros((shape[0], shape[1] if self._squares else 0), kind)
        centres = self._maps.centres(np.maximum(place, 0))
        flag[self._maps.off(centres)] = OFF
        few, which = np.unique(centres, axis=0, return_inverse=True)
        for number, (y, x) in enumerate(few.tolist()):
            here = np.flatnonzero((which.reshape(-1) == number) & (flag == 0))
            if len(here):
                rings = self._maps.of((y, x))
                sums[here], squares[here] = self._sums(frames, rings, here)
                pixels[here] = rings.pixels
        return sums, squares, pixels

    def _sums(
        self, frames: Array, rings: RingSet, which: IntArray
    ) -> tuple[Array, Array]:
        first, *rest = rings.parts
        sums, squares = kernels.ring_sums(frames, first, which, squares=self._squares)
        for part in rest:
            more = kernels.ring_sums(frames, part, which, squares=self._squares)
            sums += more[0]
            squares += more[1]
        return sums, squares

    def _flag(self, frames: Array, sums: Array, flag: FlagArray) -> None:
        """Flag the frames that have no profile, in place."""
        with np.errstate(invalid="ignore", over="ignore"):
            total = sums.sum(axis=1)
        fine = flag == 0
        if frames.dtype.kind == "f":
            flag[fine & ~np.isfinite(total)] = NO_NUMBER
        else:
            flag[fine & self._too_large(frames)] = TOO_LARGE
        if self._most is not None and len(frames):
            held = np.where(self._maps.held, frames, np.zeros((), frames.dtype))
            flag[(flag == 0) & (held.max(axis=(1, 2)) >= self._most)] = SATURATED
        flag[(flag == 0) & ~(total > 0)] = NO_COUNTS

    def _too_large(self, frames: Array) -> BoolArray:
        """Return which frames, of integers, may not be summed in 64 bits."""
        most = (2**63 - 1) // (self._maps.held.size * self._maps.split**2)
        limit = math.isqrt(most) if self._squares else most
        if int(np.iinfo(frames.dtype).max) <= limit or not len(frames):
            return np.zeros(len(frames), np.bool_)
        large: BoolArray = frames.max(axis=(1, 2)) > limit
        if frames.dtype.kind == "i":
            large |= frames.min(axis=(1, 2)) < -limit
        return large

    def _place_of(self, index: IntArray) -> IntArray:
        scan = self._acquisition.scan
        return index if scan is None else scan.position_of(index)


def _joined(parts: list[RingCounts]) -> RingCounts:
    return RingCounts(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("place", "sums", "squares", "pixels", "flag")
        )
    )


def warm(acquisition: Acquisition) -> None:
    """Compile (or load from the cache) what frames of an acquisition need."""
    kernels.warm(acquisition.dtype)
    if acquisition.encoding == "events":
        event_kernels.warm(acquisition.dtype)

"""Says of every frame of a movie whether it can be used, and if not, why.

All in-situ processors ask here, so that they agree on what a bad frame is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.errors import ShapeError
from scopeside_processors.insitu.camera import Camera
from scopeside_processors.insitu.clock import Clock
from scopeside_processors.insitu.level import Level
from scopeside_processors.kernels import USUAL_PIXELS
from scopeside_processors.kernels.inspect import Inspection, inspect
from scopeside_processors.kernels.inspect import warm as warm_inspect

Array = npt.NDArray[Any]

BLANK = "no counts"
NOT_A_NUMBER = "not a number"
SATURATED = "saturated"
REPEATED = "the same picture as before"

SATURATED_SHARE = 0.05
"""A frame with more saturated pixels than this share cannot be used."""
_INSPECTED = "inspected"
_REMEMBERED = 4
"""Pictures that a stuttering video may show again."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What is to be known of a frame before it is used.

    Attributes
    ----------
    usable, reason
        Whether it can be used; why not.
    missing
        Frames between the one before and this one that were never seen.
    mean
        Counts per pixel above the camera's offset; NaN if no pixel is a number.
    saturated
        Share of its pixels that are saturated.
    exposure_ratio
        How many times brighter the movie has become with this frame, for good: what
        was learnt in counts is to be multiplied by it. 1 if nothing has changed.
    unsettled
        Whether its brightness is unlike that of the frames before. Does it stay, the
        next frame has the `exposure_ratio`; else it was a flash.
    recovered
        Whether it is the first that can be used after blank ones.
    elapsed_s
        Seconds since the frame before; NaN if unknown.
    paused
        Whether the movie paused in between.
    note
        What is odd about it without making it useless, in words.
    """

    usable: bool
    reason: str
    missing: int
    mean: float
    saturated: float = 0.0
    exposure_ratio: float = 1.0
    unsettled: bool = False
    recovered: bool = False
    elapsed_s: float = math.nan
    paused: bool = False
    note: str = ""

    @property
    def blank(self) -> bool:
        """Whether the beam was off."""
        return self.reason == BLANK

    @property
    def repeated(self) -> bool:
        """Whether it shows, bit for bit, one of the last pictures again."""
        return self.reason == REPEATED

    @property
    def exposure_changed(self) -> bool:
        """Whether the movie is brighter or darker from this frame on."""
        return self.exposure_ratio != 1.0


class Incoming:
    """Looks at frames one after another, in order of arrival.

    Parameters
    ----------
    acquisition
        Whose calibration may say ``offset_counts``, ``counts_per_electron``,
        ``saturated_at`` and ``frame_time_s``.

    Raises
    ------
    ConfigError
        If one of these cannot be.
    """

    def __init__(self, acquisition: Acquisition) -> None:
        self.camera = Camera.of(acquisition)
        known = self.camera.known
        self._shape = acquisition.frame_shape
        self._full = math.inf
        if known.saturated_at is not None:
            self._full = known.saturated_at
        elif acquisition.dtype.kind != "f":
            self._full = float(np.iinfo(acquisition.dtype).max)
        self._level = Level(known.offset_counts, self.camera.gain)
        self._clock = Clock(self.camera.frame_time_s)
        self._last_index = -1
        self._epoch = 0
        self._blanked = False
        self._pictures: list[int] = []

    @staticmethod
    def prepare(acquisition: Acquisition | None = None) -> None:
        """Load the kernel for an acquisition, or for what cameras usually deliver."""
        for dtype in USUAL_PIXELS if acquisition is None else [acquisition.dtype]:
            warm_inspect(dtype)

    def look(
        self, frame: Array, index: int, timestamp_ns: int = 0, epoch: int = 0
    ) -> Condition:
        """Return what is to be known of `frame` (height, width).

        Raises
        ------
        ShapeError
            If it has not the acquisition's shape.
        """
        if frame.shape != self._shape:
            raise ShapeError(f"frames are {self._shape}; one is {frame.shape}")
        seen = inspect(frame, self._cap(frame), self._full)
        return self._take(frame, seen, index, timestamp_ns, epoch)

    def of_batch(self, batch: Batch) -> tuple[Condition, ...]:
        """Return what is to be known of each frame of a batch.

        The pixels are read once for all processors of a chain, as long as no one
        replaces the frames.

        Raises
        ------
        ShapeError
            If they have not the acquisition's shape.
        """
        if batch.pixels.shape[1:] != self._shape:
            raise ShapeError(
                f"frames are {self._shape}; some are {batch.pixels.shape[1:]}"
            )
        known: dict[tuple[int, float, float], Inspection]
        known = batch.shared.setdefault(_INSPECTED, {})
        found = []
        for k, frame in enumerate(batch.pixels):
            key = k, self._cap(frame), self._full
            seen = known.get(key)
            if seen is None:
                seen = known[key] = inspect(frame, *key[1:])
            at_ns = int(batch.timestamp_ns[k])
            about = self._take(frame, seen, int(batch.index[k]), at_ns, batch.epoch)
            found.append(about)
        return tuple(found)

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        return {
            "level": self._level.state(),
            "clock": self._clock.state(),
            "index": self._last_index,
            "epoch": self._epoch,
            "blanked": self._blanked,
            "pictures": list(self._pictures),
        }

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._level.take_over(state["level"])
        self._clock.take_over(state["clock"])
        self._last_index = state["index"]
        self._epoch = state["epoch"]
        self._blanked = state["blanked"]
        self._pictures = list(state["pictures"])

    def _take(
        self, frame: Array, seen: Inspection, index: int, timestamp_ns: int, epoch: int
    ) -> Condition:
        """Return what follows from one look at a frame."""
        missing = self._missing(int(index), int(epoch))
        step = self._clock.step(int(timestamp_ns), missing)
        about: dict[str, Any] = {
            "missing": missing,
            "mean": self._counts(seen.total, frame.size - seen.broken),
            "saturated": seen.full / frame.size,
            "elapsed_s": step.elapsed_s,
            "paused": step.paused,
            "note": step.note,
        }
        level = self._counts(seen.capped, frame.size)
        reason, ratio = self._fault(seen, level, frame.size)
        if reason:
            self._blanked = reason == BLANK or self._blanked
            return Condition(False, reason, **about)
        recovered, self._blanked = self._blanked, False
        self._pictures = [*self._pictures[1 - _REMEMBERED :], seen.fingerprint]
        verdict = self._level.follow(level, seen.roughness)
        return Condition(
            True,
            "",
            exposure_ratio=ratio * verdict.ratio,
            unsettled=verdict.unsettled,
            recovered=recovered,
            **about,
        )

    def _missing(self, index: int, epoch: int) -> int:
        """Return how many frames were never seen before this one."""
        restarted = epoch != self._epoch and index <= self._last_index
        missing = 0 if restarted else max(0, index - self._last_index - 1)
        self._last_index = index if restarted else max(index, self._last_index)
        self._epoch = epoch
        return missing

    def _counts(self, total: float, pixels: int) -> float:
        return total / pixels - self.camera.offset if pixels else math.nan

    def _cap(self, frame: Array) -> float:
        """Return counts that only hot pixels exceed; of a first frame by its middle."""
        cap = self._level.cap
        if cap is None:
            few = frame[:: 1 + len(frame) // 64, :: 1 + frame.shape[1] // 64]
            finite = few[np.isfinite(few)]
            middle = float(np.median(finite)) if finite.size else 0.0
            cap = max(16 * (middle - self.camera.offset), 8 * self.camera.gain)
        return cap + self.camera.offset

    def _fault(self, seen: Inspection, level: float, size: int) -> tuple[str, float]:
        """Return why a frame cannot be used, and how the movie's level has changed."""
        if seen.broken:
            return NOT_A_NUMBER, 1.0
        verdict = self._level.judge(level, seen.roughness)
        if verdict.blank:
            return BLANK, 1.0
        if seen.full > SATURATED_SHARE * size:
            return SATURATED, 1.0
        if seen.fingerprint in self._pictures:
            return REPEATED, 1.0
        return "", verdict.ratio

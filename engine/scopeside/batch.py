"""Frames that travel together."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from scopeside.errors import ShapeError

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive-in-arrival frames in one contiguous array.

    Attributes
    ----------
    pixels
        (n, height, width), counts. In a live chain it is a read-only view of
        shared memory: copy what must outlive `Processor.process`.
    index
        (n,) int64, the detector's own count of the frame, from 0.
    timestamp_ns
        (n,) int64, nanoseconds since 1970 UTC.
    epoch
        How often the adapter has been started before this batch.
    shared
        What one processor of a chain has found in passing and another may want, by
        name. It is never needed: who does not find it there works it out.
    """

    pixels: Array
    index: IntArray
    timestamp_ns: IntArray
    epoch: int = 0
    shared: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3:
            raise ShapeError(f"frames are (n, height, width), not {self.pixels.shape}")
        n = len(self.pixels)
        if self.index.shape != (n,) or self.timestamp_ns.shape != (n,):
            raise ShapeError(
                f"{n} frames need as many indices and time stamps, "
                f"not {self.index.shape} and {self.timestamp_ns.shape}"
            )

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def contiguous(self) -> bool:
        """Whether the indices follow each other without a hole."""
        n = len(self)
        return n == 0 or bool(
            self.index[-1] - self.index[0] == n - 1 and np.all(np.diff(self.index) == 1)
        )

    def with_pixels(self, pixels: Array) -> Self:
        """Return the same frames with other contents, as a filter does."""
        return replace(self, pixels=pixels, shared={})

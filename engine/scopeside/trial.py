"""A processor under test, and what it is fed: frames, or the events they come as."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.events import MAX_VALUE, EventBatch, Words, pack_events
from scopeside.packed import AnyBatch, pack_frames
from scopeside.processor import Processor, take_of

Array = npt.NDArray[Any]

_FRAME_NS = 1_000_000
_PLACE = np.uint64(40)


@dataclass(frozen=True, slots=True)
class Case:
    """A processor, and the frames on which it is tested.

    `words` are all events of the frames; None where they come as pixels, or packed, as
    the acquisition says.
    `changed` are other parameters that it can change to.
    """

    cls: type[Processor]
    acquisition: Acquisition
    params: BaseModel
    frames: Array
    words: Words | None = None
    changed: BaseModel | None = None

    def new(self, params: BaseModel | None = None) -> Processor:
        """Return a fresh processor, with other parameters if there are some."""
        return self.cls(self.acquisition, params or self.params)

    def batch(self, first: int, stop: int, *, locked: bool = True) -> AnyBatch:
        """Return frames `first` to `stop`, read-only as in a live chain."""
        pixels = self.frames[first:stop].copy()
        pixels.flags.writeable = not locked
        index = np.arange(first, first + len(pixels))
        if self.acquisition.encoding == "packed":
            packed = pack_frames(pixels, index, index * _FRAME_NS)
            packed.words.flags.writeable = not locked
            return packed
        if self.words is None:
            return Batch(pixels, index, index * _FRAME_NS)
        place = self.words >> _PLACE
        words = self.words[(place >= first) & (place < first + len(pixels))]
        words -= np.uint64(first) << _PLACE
        words.flags.writeable = not locked
        about = self.acquisition
        return EventBatch(
            words, index, index * _FRAME_NS, about.frame_shape, about.dtype
        )

    def as_events(self) -> Case | None:
        """Return the case with events for frames, None where that cannot be.

        They are in disorder, and a pixel with more than one count has two of them.
        """
        takes = hasattr(self.cls, "process_events")
        if not takes or self.frames.dtype.kind not in "iu":
            return None
        if self.frames.min() < 0 or self.frames.max() > 2 * MAX_VALUE:
            return None
        flat = self.frames.reshape(len(self.frames), -1).astype(np.int64)
        parts = []
        for counts in (flat // 2, flat - flat // 2):
            place, address = np.nonzero(counts)
            parts.append(pack_events(place, counts[place, address], address))
        words = np.random.default_rng(0).permutation(np.concatenate(parts))
        about = replace(self.acquisition, encoding="events")
        return replace(self, acquisition=about, words=words)

    def as_packed(self) -> Case | None:
        """Return the case with packed frames, None where that cannot be."""
        takes = hasattr(self.cls, "process_packed")
        if not takes or self.frames.dtype.kind not in "iu":
            return None
        if self.frames.dtype.itemsize > 4:
            return None
        return replace(self, acquisition=replace(self.acquisition, encoding="packed"))

    def cut(self, size: int) -> list[AnyBatch]:
        """Return all frames in batches of `size`."""
        n = len(self.frames)
        return [self.batch(i, min(i + size, n)) for i in range(0, n, size)]


def feed(processor: Processor, batch: AnyBatch) -> None:
    """Have a processor take in a batch, as a chain does."""
    if isinstance(batch, Batch):
        processor.process(batch)
        return
    take = take_of(processor, batch)
    assert take is not None  # a case is of what its processor takes
    take(batch)

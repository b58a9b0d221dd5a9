"""What the formats of compressed chunks have in common: HDF5 and Zarr."""

from __future__ import annotations

import zlib
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from scopeside.batch import Array
from scopeside.export.exporter import FrameExporter, Source
from scopeside.export.frames import RunFrames
from scopeside.params import Params

CHUNK_BYTES = 1 << 20
LEVEL = 1
"""Of deflate: higher ones take three times as long for a tenth less."""
_SAMPLES = 8


class ChunkParams(Params):
    """How the pixels of a file of chunks are stored."""

    chunk: int | None = Field(None, ge=1, le=1 << 20)
    """Frames in a chunk; absent: as many as fit 1 MiB, or one."""
    compression: Literal["gzip", "none"] = "gzip"
    """gzip (level 1, bytes shuffled): smaller, slower to write and read; or none."""


class ChunkedExporter(FrameExporter):
    """A format of frames in chunks."""

    Params: ClassVar[type[ChunkParams]] = ChunkParams

    def __init__(self, params: ChunkParams) -> None:
        self._params = params

    def size(self, source: Source) -> int:
        """Return the size of all pixels, as far as a few frames can tell it."""
        frames, size = source.pixels, super().size(source)
        if self._params.compression == "none":
            return size
        return size - frames.nbytes + compressed_bytes(frames)


def frames_in_chunk(frames: RunFrames, params: ChunkParams) -> int:
    """Return how many frames of one row of the navigation a chunk has."""
    asked = params.chunk or CHUNK_BYTES // frames.acquisition.frame_bytes
    return max(1, min(asked, frames.places.shape[-1]))


def compressed_bytes(frames: RunFrames) -> int:
    """Return the size of all frames if each were as large as the largest of a few."""
    there = np.flatnonzero(frames.present)
    few = np.unique(np.linspace(0, len(there) - 1, _SAMPLES).astype(np.int64))
    frame = np.empty((1, *frames.acquisition.frame_shape), frames.dtype)
    largest = 0
    for place in there[few] if len(there) else ():
        frames.read(int(place), frame)
        largest = max(largest, len(zlib.compress(shuffled(frame).data, LEVEL)))
    return min(frames.nbytes, largest * len(frames.places))


def shuffled(values: Array) -> Array:
    """Return the bytes of numbers, all first ones first, (itemsize, n) uint8."""
    flat = np.ascontiguousarray(values).reshape(-1)
    return np.ascontiguousarray(flat.view(np.uint8).reshape(-1, flat.itemsize).T)

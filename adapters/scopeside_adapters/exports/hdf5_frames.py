"""Frames into an HDF5 data set, chunk by chunk."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from scopeside.export.exporter import Progress
from scopeside.export.frames import RunFrames
from scopeside.params import Params

CHUNK_BYTES = 1 << 20


class ChunkParams(Params):
    """How the pixels of a file of chunks are stored."""

    chunk: int | None = Field(None, ge=1, le=1 << 20)
    """Frames in a chunk; absent: as many as fit 1 MiB, or one."""
    compression: Literal["gzip", "none"] = "gzip"
    """gzip (level 1, bytes shuffled): smaller, slower to write and read; or none."""


def frames_in_chunk(frames: RunFrames, params: ChunkParams) -> int:
    """Return how many frames of one row of the navigation a chunk has."""
    asked = params.chunk or CHUNK_BYTES // frames.acquisition.frame_bytes
    return max(1, min(asked, frames.places.shape[-1]))


def write_frames(
    group: Any,
    name: str,
    frames: RunFrames,
    params: ChunkParams,
    progress: Progress,
) -> Any:
    """Write all frames as the data set `name` and return it.

    It is written in its own order, each chunk once, so that no more than one chunk is
    in memory whatever the pattern of the scan.
    """
    n = frames_in_chunk(frames, params)
    navigation = frames.places.shape
    compressed = params.compression == "gzip"
    dataset = group.create_dataset(
        name,
        frames.shape,
        frames.dtype,
        chunks=(*(1,) * (len(navigation) - 1), n, *frames.acquisition.frame_shape),
        compression="gzip" if compressed else None,
        compression_opts=1 if compressed else None,
        shuffle=compressed,
        fillvalue=frames.fill,
    )
    total = len(frames.places)
    for first, pixels in frames.blocks(n):
        *row, column = (int(k) for k in np.unravel_index(first, navigation))
        dataset[(*row, slice(column, column + len(pixels)))] = pixels
        progress(first + len(pixels), total)
    return dataset

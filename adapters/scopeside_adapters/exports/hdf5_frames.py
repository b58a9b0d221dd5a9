"""Frames into an HDF5 data set, chunk by chunk."""

from __future__ import annotations

from typing import Any

import numpy as np

from scopeside.export.exporter import Progress
from scopeside.export.frames import RunFrames
from scopeside_adapters.exports.chunked import LEVEL, ChunkParams, frames_in_chunk


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
        compression_opts=LEVEL if compressed else None,
        shuffle=compressed,
        fillvalue=frames.fill,
    )
    total = len(frames.places)
    for first, pixels in frames.blocks(n):
        *row, column = (int(k) for k in np.unravel_index(first, navigation))
        dataset[(*row, slice(column, column + len(pixels)))] = pixels
        progress(first + len(pixels), total)
    return dataset

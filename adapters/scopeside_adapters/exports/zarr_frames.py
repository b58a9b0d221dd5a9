"""Frames into an array of a Zarr folder, chunk by chunk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from scopeside.export.exporter import Progress
from scopeside.export.frames import RunFrames
from scopeside_adapters.exports.chunked import ChunkParams, frames_in_chunk
from scopeside_adapters.exports.zarr_folder import ZarrFolder


def write_frames(
    folder: ZarrFolder,
    name: str,
    frames: RunFrames,
    params: ChunkParams,
    progress: Progress,
    *,
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Write all frames as the array `name`; one chunk is in memory at a time."""
    n = frames_in_chunk(frames, params)
    navigation = frames.places.shape
    array = folder.array(
        name,
        frames.shape,
        frames.dtype,
        (*(1,) * (len(navigation) - 1), n, *frames.acquisition.frame_shape),
        attributes,
        compressed=params.compression != "none",
    )
    total = len(frames.places)
    for first, pixels in frames.blocks(n):
        *row, column = (int(k) for k in np.unravel_index(first, navigation))
        chunk = pixels.reshape(*(1,) * len(row), *pixels.shape)
        array.write((*row, column // n, 0, 0), chunk)
        progress(first + len(pixels), total)

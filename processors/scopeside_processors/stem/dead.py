"""Pixels that are left out: dead, hot, or of no use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from scopeside.errors import ConfigError
from scopeside.events import EventBatch
from scopeside.params import LocalPath
from scopeside_processors.kernels import com
from scopeside_processors.kernels.com import Region
from scopeside_processors.stem.detectors import Shape, load_mask
from scopeside_processors.stem.one_pass import everywhere

Array = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
Index = Annotated[int, Field(ge=0)]
Dead = LocalPath | tuple[tuple[Index, Index], ...] | None
"""A .npy file of the frame's shape, True or 1 where a pixel is dead; or [[y, x], …]."""
Stamp = tuple[int, int]

_GROUP_BYTES = 1 << 19
"""Frames taken at a time: they stay in a second-level cache."""


@dataclass(frozen=True, slots=True, eq=False)
class DeadPixels:
    """The dead pixels of frames of one shape.

    Attributes
    ----------
    held
        (height, width) bool, True where a pixel is dead; read-only.
    flat
        (dead,) int64: the same as flat pixels.
    living
        The pixels that are not dead; `one_pass.everywhere` if none is.
    """

    held: BoolArray
    flat: IntArray
    living: Region

    def __len__(self) -> int:
        return len(self.flat)


def dead_of(dead: Dead, shape: Shape) -> DeadPixels:
    """Return which pixels of frames of ``shape (height, width)`` are dead.

    The same object for the same file, as long as that does not change.

    Raises
    ------
    ConfigError
        If the file is of no use, a pixel lies off the frame, or none is left.
    """
    stamp = stamp_of_file("dead", dead if isinstance(dead, Path) else None)
    return _dead(dead, shape, stamp)


def stamp_of_file(key: str, path: Path | None) -> Stamp:
    """Return what tells whether a file has changed; (0, 0) without one.

    Raises
    ------
    ConfigError
        If the file is not there; `key` is where the pipeline file has it.
    """
    if path is None:
        return 0, 0
    try:
        status = path.stat()
    except OSError as error:
        raise ConfigError(f"{key}: {error}") from error
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=16)
def _dead(dead: Dead, shape: Shape, _file: Stamp) -> DeadPixels:
    held = np.zeros(shape, np.bool_)
    if isinstance(dead, Path):
        held = _from_file(dead, shape)
    else:
        for y, x in dead or ():
            if y >= shape[0] or x >= shape[1]:
                raise ConfigError(
                    f"dead: [{y}, {x}] lies off a frame of {shape[0]} rows and "
                    f"{shape[1]} columns"
                )
            held[y, x] = True
    if held.all():
        raise ConfigError("dead: no pixel left, all of them are dead")
    held.flags.writeable = False
    living = com.region_of(~held) if held.any() else everywhere(shape)
    return DeadPixels(held, np.flatnonzero(held), living)


def _from_file(path: Path, shape: Shape) -> BoolArray:
    try:
        found = load_mask(path, shape)
    except ConfigError as error:
        raise ConfigError(f"dead: {error}") from error
    if found.dtype != np.bool_:
        raise ConfigError(f"dead: {path} holds other values than 0 and 1")
    return found.astype(np.bool_)


def without(frames: Array, dead: IntArray) -> Iterator[tuple[slice, Array]]:
    """Yield a few frames at a time, 0 where a pixel is dead.

    Parameters
    ----------
    frames : (n, height, width)
    dead : flat pixels

    Yields
    ------
    slice and (few, height, width)
        Which frames, and the frames: good until the next are asked for.
    """
    few = max(1, _GROUP_BYTES // max(1, frames[:1].nbytes))
    room = np.empty((min(few, len(frames)), *frames.shape[1:]), frames.dtype)
    for first in range(0, len(frames), few):
        part = slice(first, min(first + few, len(frames)))
        some = room[: part.stop - first]
        some[...] = frames[part]
        some.reshape(len(some), -1)[:, dead] = 0
        yield part, some


def without_events(batch: EventBatch, dead: IntArray) -> EventBatch:
    """Return a batch without the events in the flat pixels `dead`."""
    kept = np.ones(batch.frame_shape[0] * batch.frame_shape[1], np.bool_)
    kept[dead] = False
    # Those off the frame stay: nobody counts them.
    address = batch.address
    inside = np.minimum(address, kept.size - 1)
    return batch.with_words(batch.words[kept[inside] | (address >= kept.size)])

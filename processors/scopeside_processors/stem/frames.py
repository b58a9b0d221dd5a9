"""What a processor asks of frames before it counts them."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.errors import ShapeError
from scopeside.events import EventBatch
from scopeside.packed import PackedBatch, SparseBatch


def check_frames(batch: Batch, acquisition: Acquisition) -> None:
    """Refuse frames that are not as the acquisition says.

    Raises
    ------
    ShapeError
        If their shape or dtype differs.
    """
    found = (batch.pixels.shape[1:], batch.pixels.dtype.newbyteorder("<"))
    said = (acquisition.frame_shape, acquisition.dtype)
    if found != said:
        raise ShapeError(
            f"frames are {found[0]} {found[1]}; the acquisition has {said[0]} {said[1]}"
        )


def check_events(batch: EventBatch, acquisition: Acquisition) -> None:
    """Refuse events of frames that are not as the acquisition says.

    Raises
    ------
    ShapeError
        If their shape or dtype differs.
    """
    _check_sparse(batch, acquisition, "events")


def check_packed(batch: PackedBatch, acquisition: Acquisition) -> None:
    """Refuse packed frames that are not as the acquisition says.

    Raises
    ------
    ShapeError
        If their shape or dtype differs.
    """
    _check_sparse(batch, acquisition, "packed frames")


def _check_sparse(batch: SparseBatch, acquisition: Acquisition, what: str) -> None:
    found = (tuple(batch.frame_shape), batch.dtype.newbyteorder("<"))
    said = (acquisition.frame_shape, acquisition.dtype)
    if found != said:
        raise ShapeError(
            f"{what} are of frames {found[0]} {found[1]}; the acquisition has "
            f"{said[0]} {said[1]}"
        )


def exceeds(frames: npt.NDArray[Any], largest: int) -> bool:
    """Return whether a pixel of 8 bytes, an integer, lies beyond ±`largest`."""
    if frames.dtype.kind == "f" or frames.dtype.itemsize < 8 or not frames.size:
        return False
    return int(frames.max()) > largest or int(frames.min()) < -largest


def overflows(frames: npt.NDArray[Any]) -> bool:
    """Return whether sums or first moments of frames may not fit into 64 bits.

    `frames` is (n, height, width); only pixels of 8 bytes can be so large.
    """
    _, height, width = frames.shape
    return exceeds(frames, (2**63 - 1) // (height * width * max(height, width)))

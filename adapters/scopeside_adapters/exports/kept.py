"""What is kept for each frame beside its pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.export.frames import RunFrames


def kept_of(frames: RunFrames) -> dict[str, npt.NDArray[Any]]:
    """Return arrays over the navigation shape; final when all frames have been read.

    ``index`` (the detector's count) and ``timestamp_ns`` (since 1970 UTC), -1 where
    the frame is absent; ``present``, 1 or 0; ``position`` (…, 2 or 3): row and column,
    or scan, row and column, of a list of positions.
    """
    shape = frames.places.shape
    found: dict[str, npt.NDArray[Any]] = {
        "index": frames.index.reshape(shape),
        "timestamp_ns": frames.times_ns.reshape(shape),
        "present": frames.present.astype(np.uint8).reshape(shape),
    }
    positions = frames.places.positions
    if positions is not None:
        found["position"] = positions.reshape(*shape, -1)
    return found

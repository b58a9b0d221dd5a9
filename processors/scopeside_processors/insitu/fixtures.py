"""Parts of a frame that stay where they are on the detector, as a user has named them.

A scale bar burnt into a video, a beam stop, the rim of an aperture: their sharp edges
would hold the content back.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Rectangle = tuple[int, int, int, int]
"""[y0, x0, y1, x1], px, half open; what lies outside the frame is left out."""


def covered(frame: Array, parts: tuple[Rectangle, ...]) -> Array:
    """Return a frame float32 with `parts` at the mean of all else.

    Parameters
    ----------
    frame : (height, width) counts; not changed
    """
    found = frame.astype(np.float32)
    open_ = np.ones(frame.shape, np.bool_)
    for y0, x0, y1, x1 in parts:
        open_[y0:y1, x0:x1] = False
    if open_.any():
        found[~open_] = found[open_].mean(dtype=np.float64)
    return found


def cut_out(contrast: Array, parts: tuple[Rectangle, ...], size: int) -> None:
    """Set `parts` of a contrast to 0; its pixels are bins of `size` px."""
    for y0, x0, y1, x1 in parts:
        rows = slice(y0 // size, -(-y1 // size))
        contrast[rows, x0 // size : -(-x1 // size)] = 0

"""A vector field in colour: the hue is its direction, the brightness its length."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

FULL_SHARE = 99.0
"""Without a scale, so many per cent of the vectors stay below full brightness."""


def full_length(field: FloatArray) -> float:
    """Return the length of ``field (…, 2)`` that `FULL_SHARE` per cent stay below.

    NaN is left out; 0 if nothing else is there.
    """
    length = np.hypot(field[..., 0], field[..., 1])
    length = length[np.isfinite(length)]
    return float(np.percentile(length, FULL_SHARE)) if length.size else 0.0


def wheel(field: FloatArray, full: float) -> npt.NDArray[np.uint8]:
    """Return the colours of a vector field.

    Parameters
    ----------
    field : (…, 2), y before x; NaN is black
    full : the length that is fully bright; what is longer is no brighter

    Returns
    -------
    (…, 3) uint8, red, green and blue
        Hue is the angle from x (right) towards y (down): red, yellow (60°), green,
        cyan (180°), blue, magenta. Saturation is full, value the length over `full`.
    """
    y, x = field[..., 0], field[..., 1]
    length = np.hypot(y, x)
    value = np.clip(length / full, 0, 1) if full > 0 else np.zeros_like(length)
    value = np.where(np.isfinite(length), value, 0.0)
    sixth = np.where(np.isfinite(length), np.degrees(np.arctan2(y, x)) / 60, 0.0)
    place = (np.array([5, 3, 1]) + sixth[..., None]) % 6
    share = 1 - np.clip(np.minimum(place, 4 - place), 0, 1)
    rgb: npt.NDArray[np.uint8] = np.rint(255 * value[..., None] * share).astype("u1")
    return rgb

"""What is known of the convergence disk, and of the pixels that count it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from scopeside_processors.stem.calibration import Calibration


def radius_of(said: float | None, calibration: Calibration, who: str) -> float | None:
    """Return the disk's radius, pixels; None if nobody has said anything.

    It is what was said; else that of a disk with the area of the aperture where it
    passes more than half; else the convergence angle, in pixels.
    """
    if said is not None:
        return said
    image = calibration.aperture(who)
    if image is not None:
        return math.sqrt(float((image > image.max() / 2).sum()) / math.pi)
    known = calibration.known
    if known.semi_angle_rad is None or known.detector_rad_per_px is None:
        return None
    per_px = math.sqrt(known.detector_rad_per_px[0] * known.detector_rad_per_px[1])
    return known.semi_angle_rad / per_px


def saturation_of(said: float | None, dtype: np.dtype[Any]) -> float:
    """Return the counts from which a pixel is saturated; not said: the most it holds.

    Floats have no such number.
    """
    if said is not None:
        return said
    return math.inf if dtype.kind == "f" else float(np.iinfo(dtype).max)

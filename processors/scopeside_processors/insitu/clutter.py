"""How many maxima blurred noise has: what detections are when they are no particles.

White noise blurred by a Gaussian of standard deviation s and made of variance 1 has
maxima above u at a density u exp(-u²/2) / (2 s² (2π)^1.5), for u above 1 (Adler and
Taylor, Random Fields and Geometry, 2007, doi:10.1007/978-0-387-48116-6).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def maxima_of_noise(height: FloatArray, correlation: float) -> FloatArray:
    """Return how many maxima of a height blurred noise has, per px² and unit of height.

    Parameters
    ----------
    height : (n,) in standard deviations; below 1.5 and above 30 as there
    correlation : s, px
    """
    height = np.clip(height, 1.5, 30.0)
    found: FloatArray = (height**2 - 1) * np.exp(-0.5 * height**2)
    return found / _area(correlation)


def maxima_above(height: float, correlation: float) -> float:
    """Return how many maxima above a height blurred noise has, per px²."""
    return height * math.exp(-0.5 * height**2) / _area(correlation)


def _area(correlation: float) -> float:
    return 2 * correlation**2 * math.pow(2 * math.pi, 1.5)

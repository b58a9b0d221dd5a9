"""Distances between the planes of the crystals that cameras are calibrated with."""

from __future__ import annotations

import itertools
import math
from typing import Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Crystal = Literal["Ag", "Al", "Au", "Pt"]

LATTICE_M: dict[Crystal, float] = {
    "Ag": 4.0862e-10,
    "Al": 4.0495e-10,
    "Au": 4.0780e-10,
    "Pt": 3.9240e-10,
}
"""Edge of the cubic cell, face-centred, at room temperature."""
_LARGEST = 6


def spacings_m(crystal: Crystal, rings: int = 8) -> tuple[float, ...]:
    """Return the distances of the first planes that diffract, metres, falling.

    Of a face-centred cubic crystal those are all even or all odd: 111, 200, 220 …
    """
    indices = itertools.combinations_with_replacement(range(_LARGEST), 3)
    squares = {
        h * h + k * k + m * m
        for h, k, m in indices
        if h % 2 == k % 2 == m % 2 and (h, k, m) != (0, 0, 0)
    }
    return tuple(LATTICE_M[crystal] / math.sqrt(n) for n in sorted(squares)[:rings])


def scattering_angles(spacings: tuple[float, ...], wavelength_m: float) -> FloatArray:
    """Return the angles 2 θ = 2 asin(λ / 2 d) of rings, rad (Bragg's law)."""
    angles: FloatArray = 2 * np.arcsin(wavelength_m / (2 * np.array(spacings)))
    return angles

"""Ellipses on the camera: what a round disk or ring becomes.

The *elliptical radius* of a pixel is that of the circle of equal area that its ellipse
would be. It is what a distorted pattern depends on in place of the distance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

_LONGEST = 5.0
"""ln of a ratio of axes beyond which an ellipse is not stretched further."""


@dataclass(frozen=True, slots=True)
class Ellipse:
    """Where a pattern lies, and how it is stretched.

    Attributes
    ----------
    centre
        (row, column), pixels.
    stretch
        ln(ratio of the long to the short axis) · (cos 2β, sin 2β), where β is the
        angle of the long axis against the columns' direction (x) towards rows (y).
        It is (0, 0) for a circle, without a jump in β.
    """

    centre: tuple[float, float]
    stretch: tuple[float, float] = (0.0, 0.0)

    @property
    def ratio(self) -> float:
        """Long axis divided by the short one, ≥ 1."""
        return math.exp(math.hypot(*self.stretch))

    @property
    def angle_rad(self) -> float:
        """Angle β of the long axis, rad, in (-π/2, π/2]."""
        return 0.5 * math.atan2(self.stretch[1], self.stretch[0])


def radii(
    ellipse: Ellipse, row: FloatArray, column: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the elliptical radius of pixels, and what it depends on.

    Parameters
    ----------
    row, column : (m,), pixels

    Returns
    -------
    (m,) and (m, 4) float64, pixels
        ρ = √(u²/s + w² s), where u and w are the distances along the long and the
        short axis and s is their ratio; and its derivatives by the row and the
        column of the centre and by both components of `stretch` (of these the part
        that is of first order in the stretch is left out, which a fit does not mind).
    """
    y, x = row - ellipse.centre[0], column - ellipse.centre[1]
    whole = math.hypot(*ellipse.stretch)
    size = min(whole, _LONGEST)
    grown = math.sinh(size) / whole if whole > 1e-9 else 1.0
    cosine, sine = (grown * part for part in ellipse.stretch)
    # r² cos 2φ = x² - y², r² sin 2φ = 2 x y.
    square, double, twisted = y * y + x * x, x * x - y * y, 2 * x * y
    squared = math.cosh(size) * square - cosine * double - sine * twisted
    rho = np.sqrt(np.maximum(squared, 0))
    safe = np.maximum(rho, 1e-9)
    by_y = -(math.cosh(size) * y + cosine * y - sine * x) / safe
    by_x = -(math.cosh(size) * x - cosine * x - sine * y) / safe
    by = [by_y, by_x, -grown * double / (2 * safe), -grown * twisted / (2 * safe)]
    return rho, np.stack(by, axis=1)

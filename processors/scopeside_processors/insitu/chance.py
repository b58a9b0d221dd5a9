"""What noise alone would make: how high, and how large, its excursions are.

For a Gaussian field, smooth over a width w (white noise behind a Gaussian of that
deviation), the number of regions above a height u is, for high u, the expected Euler
characteristic [1]_; their sizes are exponentially distributed about their mean [2]_.

References
----------
.. [1] R. J. Adler, The Geometry of Random Fields (Wiley, 1981), chapter 6
.. [2] K. J. Friston et al., Human Brain Mapping 1, 210 (1994),
   doi:10.1002/hbm.460010306
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_HIGHEST = 12.0
"""Heights are looked for between 1 and so many standard deviations."""


@dataclass(frozen=True, slots=True)
class Noise:
    """A Gaussian field.

    Attributes
    ----------
    sigma
        Its standard deviation.
    width
        Deviation of the Gaussian that would make it of white noise, px.
    """

    sigma: float
    width: float


def regions_above(noise: Noise, size: float, height: Any) -> Any:
    """Return how many regions of `size` px of noise rise above ``height`` σ, 1 and up.

    Where the noise is as fine as pixels there are no more than pixels above it.
    """
    height = np.maximum(height, 1.0)
    smooth = height * np.exp(-(height**2) / 2) / (2 * math.pi) ** 1.5
    return size * np.minimum(smooth / (2 * noise.width**2), ndtr(-height))


def height_for(noise: Noise, size: float, false: float) -> float:
    """Return the height, σ, above which `size` px of noise have `false` regions."""
    low, high = 1.0, _HIGHEST
    for _ in range(30):
        middle = (low + high) / 2
        if regions_above(noise, size, middle) > false:
            low = middle
        else:
            high = middle
    return high


def spurious(
    noise: Noise,
    size: float,
    level: float,
    *,
    area: FloatArray,
    most: FloatArray,
    false: float,
) -> BoolArray:
    """Return which regions above a level may be noise.

    Parameters
    ----------
    size : of the field, px
    level : that the regions are above, in units of the field
    area, most : (n,) px, and the highest value of each
    false : how many regions of noise may be taken for more, in a field

    Returns
    -------
    (n,) bool
        Those that are neither so high nor so large that there would be less than half
        of `false` of them.
    """
    sigma = max(noise.sigma, 1e-30)
    by_height = regions_above(noise, size, most / sigma)
    number = float(regions_above(noise, size, level / sigma))
    pixels = size * float(ndtr(-max(level / sigma, 1.0)))
    by_area = number * np.exp(-area * number / max(pixels, 1e-30))
    both: BoolArray = (by_height > false / 2) & (by_area > false / 2)
    return both

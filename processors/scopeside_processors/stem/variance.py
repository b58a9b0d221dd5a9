"""The variance of each pixel over the frames, from sums that do not depend on order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from scopeside_processors.kernels import sum as kernels

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
Pair = tuple[FloatArray, FloatArray]
"""A number of about 106 bits: its rounded value, and what that leaves out."""

LARGEST = 1 << 20
"""Squares of pixels of 4 bytes or more beyond ±2**20 could overflow the sum of `MOST`
frames; those of smaller ones cannot."""
MOST = 1 << 23
_SPLIT = 134217729.0
"""2**27 + 1: halves the bits of a float64 (T. J. Dekker)."""


class Squares:
    """The sum of the squares of each pixel.

    Parameters
    ----------
    shape : (height, width)
    dtype : of the frames
    """

    def __init__(self, shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
        self._wide = dtype.kind != "f" and dtype.itemsize >= 4
        self._float = dtype.kind == "f"
        self._sum: Array = np.zeros(shape, np.float64 if self._float else np.int64)
        self._rest = np.zeros(shape if self._float else (0, 0))
        self._bits = 0

    def add(self, frames: Array) -> None:
        """Add the squares of ``frames (n, height, width)``."""
        if self._float:
            kernels.add_squares_of_floats(frames, self._sum, self._rest)
        else:
            self._bits |= kernels.add_squares_of_integers(frames, self._sum)

    def merge(self, other: Self) -> None:
        """Add the squares that `other` has summed."""
        if self._float:
            kernels.merge_floats(self._sum, self._rest, other._sum, other._rest)
        else:
            self._sum += other._sum
        self._bits |= other._bits

    def overflows(self, frames: int) -> bool:
        """Return whether the squares of so many frames may not fit into 64 bits."""
        return self._wide and (self._bits >= LARGEST or frames > MOST)

    def variance(self, total: Array, rest: Array, frames: int) -> FloatArray:
        """Return the variance, (height, width), counts².

        Parameters
        ----------
        total, rest : the sum of each pixel, and what its rounding left out (of floats)
        frames : how many it stands on, 1 or more
        """
        if self._float:
            return variance_of_floats((total, rest), (self._sum, self._rest), frames)
        return variance_of_integers(total, self._sum, frames)

    def snapshot(self) -> dict[str, Any]:
        """Return the sums, for `scopeside.state.pack`."""
        found = {"sum": self._sum, "bits": self._bits}
        return {**found, "rest": self._rest} if self._float else found

    def restore(self, found: Mapping[str, Any]) -> None:
        """Take over what `snapshot` gave."""
        # Copies, as what is unpacked cannot be written to.
        self._sum, self._bits = found["sum"].copy(), found["bits"]
        if self._float:
            self._rest = found["rest"].copy()


def variance_of_integers(total: Array, squares: Array, frames: int) -> FloatArray:
    """Return the mean square of the distance from the mean.

    Parameters
    ----------
    total : (…) int64, the sum of `frames` values
    squares : (…) int64, the sum of their squares

    Notes
    -----
    Values are counted from the integer closest to the mean: the sums of their
    distances d, and of d², are exact integers, and what is then taken off,
    (sum of d)² / frames, is at most half of the sum of d²: no digits are lost, however
    large the mean is.
    """
    near = (total + frames // 2) // frames
    off = total - near * frames
    about = squares - 2 * near * total + near * near * frames  # modulo 2**64
    found: FloatArray = (about - off * (off / frames)) / frames
    return found


def variance_of_floats(total: Pair, squares: Pair, frames: int) -> FloatArray:
    """Return the mean square minus the squared mean, both of about 106 bits.

    Parameters
    ----------
    total, squares : the sum of `frames` values, and that of their squares

    Returns
    -------
    (…) float64
        0 or more; NaN where a value is not finite. It is good to about 2**-100 of the
        mean square; of float64 values, whose squares are rounded, to 2**-53 of it.
    """
    with np.errstate(invalid="ignore", over="ignore"):  # of infinite sums
        (high, low), (square, square_rest) = _normal(*total), _normal(*squares)
        product, rest = _product(high, high)
        rest += 2 * high * low
        mean = product / frames
        back, back_rest = _product(mean, np.float64(frames))
        mean_rest = ((product - back) - back_rest + rest) / frames
        found = ((square - mean) + (square_rest - mean_rest)) / frames
    return np.maximum(found, 0.0)


def _normal(value: FloatArray, rest: FloatArray) -> Pair:
    """Return the same number with the smallest possible rest."""
    rounded = value + rest
    return rounded, (value - rounded) + rest


def _product(one: FloatArray, other: Any) -> Pair:
    """Return a product of two float64 without rounding (T. J. Dekker, 1971)."""
    product = one * other
    (a, b), (c, d) = _halves(one), _halves(other)
    return product, ((a * c - product) + a * d + b * c) + b * d


def _halves(value: Any) -> tuple[Any, Any]:
    big = _SPLIT * value
    high = big - (big - value)
    return high, value - high

"""From the gradient of an image to the image, and from a vector field to its sources.

Pure functions of arrays. An image is (rows, columns), a vector field (rows, columns,
2) with the component along the rows' direction (y) first, as everywhere.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import fft

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Boundary = Literal["periodic", "mirror"]
Step = tuple[float, float]


def integrate(
    gradient: FloatArray,
    step: Step = (1.0, 1.0),
    boundary: Boundary = "periodic",
    high_pass: float = 0.0,
) -> FloatArray:
    """Return the image whose gradient comes closest to `gradient`, with zero mean.

    Parameters
    ----------
    gradient : (rows, columns, 2), per length; finite
    step : from row to row and from column to column, a length
    boundary
        ``periodic``: the image goes on with its other side. ``mirror``: it is
        reflected there, half a step beyond its edges, so that it need not fit.
    high_pass : cycles per length
        The amplitude of spatial frequency k is multiplied by 1 - 2^(-(k / high_pass)²):
        by a half at `high_pass`. 0 leaves all as they are.

    Returns
    -------
    (rows, columns) float64

    Notes
    -----
    Least squares in Fourier space [1]_: F(φ) = -i (k · F(g)) / (2π k²). The mean of a
    periodic gradient has no image and is left out. Along a direction in which k is the
    Nyquist frequency the sign of k is not known, and that component counts as zero.
    With mirrors the component along a direction is a series of sines in it, and one of
    cosines in the other, which saves three quarters of an image four times as large.

    References
    ----------
    .. [1] I. Lazić, E. G. T. Bosch, S. Lazar, Ultramicroscopy 160, 265 (2016),
       doi:10.1016/j.ultramic.2015.10.011
    """
    solve = _periodic if boundary == "periodic" else _mirrored
    return solve(np.asarray(gradient, np.float64), step, high_pass)


def divergence(
    field: FloatArray, step: Step = (1.0, 1.0), seen: BoolArray | None = None
) -> FloatArray:
    """Return the divergence of a vector field, per length.

    Parameters
    ----------
    field : (rows, columns, 2)
    step : from row to row and from column to column, a length
    seen : (rows, columns), where the field is known; None: everywhere

    Returns
    -------
    (rows, columns) float64
        From the differences of both neighbours, or of one and the position itself
        where only one is known, as at the edges. NaN where it is not known itself, or
        has no known neighbour in one direction; a direction of one position counts as
        constant.
    """
    known = np.ones(field.shape[:2], np.bool_) if seen is None else seen
    return _slope(field[..., 0], step[0], known) + np.transpose(
        _slope(field[..., 1].T, step[1], known.T)
    )


def _slope(values: FloatArray, step: float, known: BoolArray) -> FloatArray:
    """Return the derivative along axis 0; see `divergence`."""
    if len(values) == 1:
        return np.where(known, 0.0, np.nan)
    here = np.where(known, values, 0.0)
    above, below = here.copy(), here.copy()
    # Without a neighbour the value itself stands in, and the way is shorter.
    up, down = np.zeros_like(known), np.zeros_like(known)
    up[1:], down[:-1] = known[:-1], known[1:]
    above[1:] = np.where(up[1:], here[:-1], here[1:])
    below[:-1] = np.where(down[:-1], here[1:], here[:-1])
    steps = up.astype(np.float64) + down
    usable = known & (steps > 0)
    over = np.where(usable, steps, 1.0) * step
    return np.where(usable, (below - above) / over, np.nan)


def _filtered(k_squared: FloatArray, high_pass: float) -> FloatArray:
    """Return 1 / k² with the high-pass in it; 0 at k = 0."""
    inverse = np.zeros_like(k_squared)
    np.divide(1.0, k_squared, out=inverse, where=k_squared > 0)
    if high_pass > 0:
        inverse *= -np.expm1(-math.log(2) * k_squared / high_pass**2)
    return inverse


def _periodic(gradient: FloatArray, step: Step, high_pass: float) -> FloatArray:
    rows, columns = gradient.shape[:2]
    ky = fft.fftfreq(rows, step[0])[:, None]
    kx = fft.rfftfreq(columns, step[1])[None]
    inverse = _filtered(ky**2 + kx**2, high_pass)
    ky, kx = _signed(ky, rows), _signed(kx, columns)
    along: Any = ky * fft.rfft2(gradient[..., 0]) + kx * fft.rfft2(gradient[..., 1])
    image: FloatArray = fft.irfft2(along * inverse * (-0.5j / math.pi), (rows, columns))
    return image


def _signed(k: FloatArray, length: int) -> FloatArray:
    """Return frequencies with 0 for that of Nyquist, which has no sign."""
    return np.where(np.abs(k) < np.abs(k).max(), k, 0.0) if length % 2 == 0 else k


def _mirrored(gradient: FloatArray, step: Step, high_pass: float) -> FloatArray:
    rows, columns = gradient.shape[:2]
    ky = (np.arange(rows) / (2 * rows * step[0]))[:, None]
    kx = (np.arange(columns) / (2 * columns * step[1]))[None]
    inverse = _filtered(ky**2 + kx**2, high_pass)
    y = fft.dct(_sines(gradient[..., 0], 0), axis=1)
    x = fft.dct(_sines(gradient[..., 1], 1), axis=0)
    series = -(ky * y + kx * x) * inverse / (2 * math.pi)
    image: FloatArray = fft.idctn(series)
    return image


def _sines(values: FloatArray, axis: int) -> FloatArray:
    """Return the amplitudes of sin(π p (j + ½) / n) for p = 0 … n - 1 along `axis`."""
    found: FloatArray = np.roll(fft.dst(values, type=2, axis=axis), 1, axis=axis)
    # What comes round is p = n: the Nyquist frequency. sin 0 has no amplitude.
    np.moveaxis(found, axis, 0)[0] = 0
    return found

"""What a frame would look like without its particles, whatever part of it they cover.

Particles stand out to one side. Quantiles of the field, flat and quadratic [1]_, are
places to begin; from each the surface goes to the points that lie near it. The
background is the outermost surface that a fair part of the field lies near; few bright
spots are none. A wide mean of these points [2]_ adds what no quadratic can follow.
Where particles cover all for far around, the surface stands alone.

References
----------
.. [1] R. Koenker & G. Bassett, Econometrica 46, 33 (1978), doi:10.2307/1913643
.. [2] H. Knutsson & C.-F. Westin, Proc. IEEE CVPR, 515 (1993),
   doi:10.1109/CVPR.1993.341081
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from scopeside_processors.kernels import spots

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_PULLS = (0.02, 0.1, 0.5)
"""Parts of the field beyond the quantiles on the other side, outermost first."""
_FAIR = 0.75
"""The outermost surface has to have this part of the points of the best one."""
_POINTS = 300
"""Points that a surface is laid through, about."""
_ROUNDS = 5
_WIDENINGS = 4
_NEAR = 2.5
"""Standard deviations within which a point is background."""
_SURFACE = 0.05
"""Share of free points around that the surface weighs as much as."""
_FEW = 0.1
"""Part of all points that has to be free to leave out those beside particles."""
_HALF_NORMAL = 1.52
"""Standard deviation over the median distance, of what is nearer than `_NEAR`."""
_TINY, _HELD = 1e-6, 1e9
_LEAST = 2e-3
"""No background is smoother than this part of it."""
_ROUGH = 0.02
"""No background is nearer to a quadratic than this part of it."""


def background_of(coarse: Array, sign: float, sigma: float, noise: float) -> Array:
    """Return the background of a field, float32.

    Parameters
    ----------
    coarse : (rows, columns), means of blocks
    sign : -1 where particles are darker than the background, 1 where brighter
    sigma : of the wide mean, blocks
    noise : standard deviation of a block
    """
    values = coarse.astype(np.float64)
    noise = max(noise, _LEAST * float(np.abs(values).mean()))
    rough = max(noise, _ROUGH * float(np.abs(values).mean()))
    surface, scatter = _surface(values, sign, rough)
    found = surface
    # What the wide mean has flattened is found in what is left, round by round.
    for _ in range(_WIDENINGS):
        left = values - found
        away = sign * left
        scatter = max(noise, one_sided(away[away > -_NEAR * scatter]))
        free = _free(away, scatter)
        share = _wide_mean(free, sigma)
        found = found + _wide_mean(np.where(free, left, 0), sigma) / (share + _SURFACE)
    near: Array = found.astype(np.float32)
    return near


def _wide_mean(values: Array, sigma: float) -> Array:
    half = spots.taps(sigma)
    line = np.empty(values.shape[1] + 2 * len(half), np.float32)
    out = np.empty(values.shape, np.float32)
    spots.blur(values.astype(np.float32), half, line, out)
    return out


def _terms(shape: tuple[int, ...]) -> FloatArray:
    """Return (points, 6): the terms of a quadratic over −1 … 1."""
    y, x = (np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in shape)
    y, x = (part.ravel() for part in np.meshgrid(y, x, indexing="ij"))
    return np.stack([np.ones_like(y), y, x, y * y, y * x, x * x], axis=1)


def _surface(values: FloatArray, sign: float, noise: float) -> tuple[FloatArray, float]:
    """Return the surface through the background, and how far points are from it."""
    stride = max(1, math.isqrt(values.size // _POINTS))
    all_terms = _terms(values.shape)
    some = all_terms.reshape(*values.shape, -1)[::stride, ::stride]
    terms = np.ascontiguousarray(some.reshape(-1, all_terms.shape[1]))
    points = np.ascontiguousarray(values[::stride, ::stride]).ravel()
    factors, scatter = _candidates(points, terms, sign, noise)
    away = np.abs(points - factors @ terms.T)
    number = (away < _NEAR * scatter.min()).sum(axis=1)
    best = int(np.argmax(number >= _FAIR * number.max()))
    surface: FloatArray = all_terms @ factors[best]
    return surface.reshape(values.shape), float(scatter[best])


def _candidates(
    points: FloatArray, terms: FloatArray, sign: float, noise: float
) -> tuple[FloatArray, FloatArray]:
    """Go from each quantile, flat and quadratic, to the points near it.

    Returns
    -------
    (candidates, terms) and (candidates,) float64
        Factors of the surfaces, outermost first, and the standard deviations of the
        points near them.
    """
    pull = np.repeat(_PULLS, 2)[:, None]
    # A term that is held costs more than any misfit.
    held = np.full((len(pull), terms.shape[1]), _TINY)
    held[::2, 1:] = _HELD
    factors = _solved(terms, points, np.ones((len(pull), len(points))), held)
    for _ in range(_ROUNDS):
        away = sign * (points - factors @ terms.T)
        weight = np.where(away > 0, pull, 1 - pull) / np.maximum(np.abs(away), noise)
        factors = _solved(terms, points, weight, held)
    away = sign * (points - factors @ terms.T)
    scatter = np.array([max(noise, one_sided(one)) for one in away])
    for _ in range(_ROUNDS):
        near = np.abs(away) < _NEAR * scatter[:, None]
        factors = _solved(terms, points, near.astype(np.float64), held)
        away = sign * (points - factors @ terms.T)
        told = zip(away, near, strict=True)
        scatter = np.array([max(noise, one_sided(one[its])) for one, its in told])
    return factors, scatter


def _solved(
    terms: FloatArray, values: FloatArray, weight: FloatArray, held: FloatArray
) -> FloatArray:
    """Return the factors (candidates, terms) that fit best for each row of weights."""
    normal = (weight[:, None, :] * terms.T) @ terms
    # A small field, or few free points, do not tell all terms: the flattest is taken.
    mass = np.maximum(normal[:, :1, 0], _TINY)
    order = np.arange(terms.shape[1])
    normal[:, order, order] += held * mass
    found = np.linalg.solve(normal, ((weight * values) @ terms)[:, :, None])
    return found[:, :, 0].astype(np.float64)


def one_sided(away: Array) -> float:
    """Return the standard deviation that the values below 0 tell; 0 without them."""
    below = away[away < 0]
    if not len(below):
        return 0.0
    middle = len(below) // 2
    return -_HALF_NORMAL * float(np.partition(below, middle)[middle])


def _free(away: FloatArray, scatter: float) -> BoolArray:
    """Return which points are background, without those beside particles if it can."""
    near = np.abs(away) < _NEAR * scatter
    inner: BoolArray = ndimage.binary_erosion(
        near, np.ones((3, 3), bool), border_value=True
    )
    return inner if inner.mean() > _FEW else near

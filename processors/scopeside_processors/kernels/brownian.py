"""The likelihood of Brownian steps that know of blur, errors and gaps."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_GOLDEN = 0.6180339887498949
_MOST_NOISE = 1e4
"""Localisation variance in units of D Δt beyond which a particle counts as at rest."""


@numba.njit(nogil=True, cache=True)
def weigh(
    moves: Array, lengths: Array, blur: float, d: float, variance: float
) -> tuple[float, float]:
    """Weigh steps with the covariance of a D and an error.

    Parameters
    ----------
    moves : (n, 2) float64, px
    lengths : (n,) float64, frames that each step takes
    blur
        R, 1/6 for a shutter that is always open.
    d, variance
        D, px²/frame, and σ² of a coordinate, px².

    Returns
    -------
    The log of the determinant of C, and s' C⁻¹ s of both coordinates together;
    infinite where C is not positive.
    """
    neighbour = 2 * blur * d - variance
    previous_y = previous_x = square = determinant = 0.0
    pivot = 1.0
    for k in range(len(moves)):
        factor = neighbour / pivot if k else 0.0
        pivot = 2 * d * (lengths[k] - 2 * blur) + 2 * variance - factor * neighbour
        if not pivot > 0:
            return np.inf, np.inf
        previous_y = moves[k, 0] - factor * previous_y
        previous_x = moves[k, 1] - factor * previous_x
        determinant += np.log(pivot)
        square += (previous_y**2 + previous_x**2) / pivot
    return determinant, square


@numba.njit(nogil=True, cache=True)
def _free(
    moves: Array, lengths: Array, blur: float, noise: float
) -> tuple[float, float]:
    """Return likelihood and D where σ² is `noise` times D."""
    determinant, square = weigh(moves, lengths, blur, 1.0, noise)
    d = square / (2 * len(moves))
    if not np.isfinite(d) or d <= 0:
        return -np.inf, 0.0
    return -determinant - len(moves) * np.log(d), d


@numba.njit(nogil=True, cache=True)
def free_variance(moves: Array, lengths: Array, blur: float) -> tuple[float, float]:
    """Return the most likely D (px²/frame) and σ² (px²), which may be negative."""
    if not moves.any():
        return 0.0, 0.0
    least = 2 * blur - 0.5  # below, a Brownian covariance is no longer positive
    widest = (_MOST_NOISE - least) ** 0.5
    best, top = 0, -np.inf
    count = 12
    for k in range(count):
        root = 0.1 * (widest / 0.1) ** (k / (count - 1))
        found = _free(moves, lengths, blur, least + root * root)[0]
        if found > top:
            best, top = k, found
    low = 0.0 if best == 0 else 0.1 * (widest / 0.1) ** ((best - 1) / (count - 1))
    high = 0.1 * (widest / 0.1) ** (min(best + 1, count - 1) / (count - 1))
    a, b = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_a = _free(moves, lengths, blur, least + a * a)[0]
    at_b = _free(moves, lengths, blur, least + b * b)[0]
    for _ in range(18):
        if at_a > at_b:
            high, b, at_b = b, a, at_a
            a = high - _GOLDEN * (high - low)
            at_a = _free(moves, lengths, blur, least + a * a)[0]
        else:
            low, a, at_a = a, b, at_b
            b = low + _GOLDEN * (high - low)
            at_b = _free(moves, lengths, blur, least + b * b)[0]
    noise = least + (0.5 * (low + high)) ** 2
    d = _free(moves, lengths, blur, noise)[1]
    return d, noise * d


@numba.njit(nogil=True, cache=True)
def _fixed(
    moves: Array, lengths: Array, blur: float, variance: float, root: float
) -> float:
    determinant, square = weigh(moves, lengths, blur, root * root, variance)
    return -determinant - 0.5 * square


@numba.njit(nogil=True, cache=True)
def fixed_variance(moves: Array, lengths: Array, blur: float, variance: float) -> float:
    """Return the most likely D ≥ 0 (px²/frame) where σ² (px²) is known."""
    if not moves.any():
        return 0.0
    # D is nowhere larger than what the steps would need without an error.
    high = (2 * (moves**2).sum() / (lengths - 2 * blur).sum()) ** 0.5
    low = 0.0
    for _ in range(48):
        a, b = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        at_a = _fixed(moves, lengths, blur, variance, a)
        if at_a > _fixed(moves, lengths, blur, variance, b):
            high = b
        else:
            low = a
    return float((0.5 * (low + high)) ** 2)

"""Has a particle come here from elsewhere? All its paths at once, backward in time.

A filter on a grid of cells: the chance of each cell is multiplied by how well a frame
shows a particle there, and spreads from frame to frame as a random walk does.
"""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from scopeside_processors.kernels.profiles import convolved

Array = npt.NDArray[Any]

BORDER = 4
"""Cells beyond the edge; nothing is known there, and a particle may come from there."""
_LEAST = 1e-20
"""Chance of a cell below which it does not fall: denormal numbers are slow."""
_MOST = 40.0
"""No value speaks for a particle more than so, logarithm."""


@numba.njit(nogil=True, cache=True)
def likeness(filtered: Array, height: float, out: Array) -> None:
    """Fill `out` with how much likelier each value is where a particle is.

    Parameters
    ----------
    filtered : (n, rows, columns) float32, in standard deviations of its noise
    height : what a particle adds to it, standard deviations
    out : of the shape of `filtered`, float32: likelihood ratios
    """
    factor, shift = np.float32(height), np.float32(0.5 * height * height)
    source, target = filtered.reshape(-1), out.reshape(-1)
    most = np.float32(_MOST)
    for i in range(source.size):
        target[i] = np.exp(min(factor * source[i] - shift, most))


@numba.njit(nogil=True, cache=True)
def followed_back(
    ratios: Array, taps: Array, y: float, x: float, width: float, out: Array
) -> None:
    """Fill `out` with the evidence for a walk that ends at a place, and where it came.

    Parameters
    ----------
    ratios : (n, rows, columns) float32, from `likeness`, in order of time
    taps : (k,) float32, half of the distribution of a step, from its middle on; both
        halves add up to 1; at most `BORDER` + 1 of them
    y, x, width : where it ends, cells, and how well that is known
    out : (n, 3) float64; row k holds, for the last k + 1 frames, the logarithm of the
        likelihood ratio of a walk to nothing, and the mean row and column at their
        first frame

    Notes
    -----
    The forward algorithm of a hidden Markov model, run backward in time: a sum over
    all paths, not the best one, so that noise gains nothing on average.
    """
    n, rows, columns = ratios.shape
    here = _start(rows, columns, y, x, width)
    wide = np.empty(here.size + 2 * (taps.size - 1) * here.shape[1], np.float32)
    total = 0.0
    for k in range(n):
        if k:
            _spread(here, taps, wide)
        inside = here[BORDER : BORDER + rows, BORDER : BORDER + columns]
        shown = ratios[n - 1 - k]
        for i in range(rows):
            for j in range(columns):
                inside[i, j] *= shown[i, j]
        mass, first, second = _moments(here)
        total += np.log(mass)
        out[k, 0] = total
        out[k, 1] = first / mass - BORDER
        out[k, 2] = second / mass - BORDER
        _scale(here, 1.0 / mass)


@numba.njit(nogil=True, cache=True)
def _start(rows: int, columns: int, y: float, x: float, width: float) -> Array:
    out = np.empty((rows + 2 * BORDER, columns + 2 * BORDER), np.float32)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            away = (i - BORDER - y) ** 2 + (j - BORDER - x) ** 2
            out[i, j] = np.exp(-0.5 * away / (width * width))
    out /= out.sum()
    return out


@numba.njit(nogil=True, cache=True)
def _spread(image: Array, taps: Array, wide: Array) -> None:
    """Spread `image` by one step, in place.

    What leaves at an edge comes in at the opposite one, which is outside as well.
    """
    flat = image.reshape(-1)
    for stride in (image.shape[1], 1):
        n, pad = flat.size, (taps.size - 1) * stride
        wide[:pad] = flat[n - pad :]
        wide[pad : pad + n] = flat
        wide[pad + n : n + 2 * pad] = flat[:pad]
        convolved(wide, taps, stride, flat)


@numba.njit(nogil=True, cache=True)
def _scale(image: Array, factor: float) -> None:
    """Multiply `image` in place; nothing falls below what is slow to calculate with."""
    flat, by, least = image.reshape(-1), np.float32(factor), np.float32(_LEAST)
    for i in range(flat.size):
        flat[i] = max(flat[i] * by, least)


@numba.njit(nogil=True, cache=True)
def _moments(image: Array) -> tuple[float, float, float]:
    mass = first = second = 0.0
    for i in range(image.shape[0]):
        row, across = np.float32(0.0), np.float32(0.0)
        for j in range(image.shape[1]):
            row += image[i, j]
            across += image[i, j] * np.float32(j)
        mass += np.float64(row)
        first += np.float64(row) * i
        second += np.float64(across)
    return mass, first, second


def step_taps(step: float) -> Array:
    """Return half of a Gaussian step of `step` cells a frame and axis, for `walk`."""
    reach = np.arange(min(int(np.ceil(2.5 * step)), BORDER) + 1)
    half = np.exp(-(reach**2) / (2 * max(step, 1e-3) ** 2))
    return np.asarray(half / (2 * half.sum() - half[0]), np.float32)

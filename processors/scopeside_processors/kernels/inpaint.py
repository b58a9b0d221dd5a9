"""Thin plates: the smoothest image through given pixels, by conjugate gradients.

The bending energy of an image u is the sum of u_xx² + u_yy² + 2 u_xy², from differences
of neighbours. Where it is least, u solves the biharmonic equation with free edges.
"""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]


def bend_least(
    image: FloatArray,
    free: BoolArray,
    there: BoolArray,
    tolerance: float,
    most: int,
) -> int:
    """Change the free pixels of an image so that it bends as little as can be.

    Parameters
    ----------
    image : (rows, columns) float64, contiguous; changed in place
    free : (rows, columns) bool, the pixels that may change
    there : (rows, columns) bool, the pixels that the image has; others hold nothing
    tolerance : the gradient of the energy ends this much smaller than it would be if
        all free pixels were 0
    most : number of steps after which it ends in any case

    Returns
    -------
    int
        Number of steps. The sums are taken in a fixed order: the same input gives the
        same bits.
    """
    zero = np.where(free | ~there, 0.0, image)
    work = np.zeros((4, *image.shape))
    weights = np.zeros(image.shape)
    _diagonal(there, weights)
    _bend(zero, there, work[0])
    largest = _norm(work[0], free)
    return int(_descend(image, free, there, weights, work, tolerance * largest, most))


def warm() -> None:
    """Compile (or load from the cache) all that is needed."""
    all_of_it = np.ones((1, 1), np.bool_)
    bend_least(np.zeros((1, 1)), all_of_it, all_of_it, 0.0, 0)


@numba.njit(nogil=True, cache=True)
def _descend(
    image: Array,
    free: Array,
    there: Array,
    weights: Array,
    work: Array,
    enough: float,
    most: int,
) -> int:
    rest, ahead, bent = work[0], work[1], work[2]
    rows, columns = image.shape
    _bend(image, there, rest)
    product, size = 0.0, 0.0
    for y in range(rows):
        for x in range(columns):
            if free[y, x] and weights[y, x] > 0:
                rest[y, x] = -rest[y, x]
                ahead[y, x] = rest[y, x] / weights[y, x]
                product += rest[y, x] * ahead[y, x]
                size += rest[y, x] ** 2
            else:
                rest[y, x] = 0.0
                ahead[y, x] = 0.0
    for step in range(most):
        if size <= enough * enough or product <= 0:
            return step
        _bend(ahead, there, bent)
        along = 0.0
        for y in range(rows):
            for x in range(columns):
                along += ahead[y, x] * bent[y, x]
        if not along > 0:
            return step
        length, before = product / along, product
        product, size = 0.0, 0.0
        for y in range(rows):
            for x in range(columns):
                if free[y, x] and weights[y, x] > 0:
                    image[y, x] += length * ahead[y, x]
                    rest[y, x] -= length * bent[y, x]
                    product += rest[y, x] ** 2 / weights[y, x]
                    size += rest[y, x] ** 2
        turn = product / before
        for y in range(rows):
            for x in range(columns):
                if free[y, x] and weights[y, x] > 0:
                    ahead[y, x] = rest[y, x] / weights[y, x] + turn * ahead[y, x]
    return most


@numba.njit(nogil=True, cache=True)
def _norm(values: Array, free: Array) -> float:
    total = 0.0
    for y in range(values.shape[0]):
        for x in range(values.shape[1]):
            if free[y, x]:
                total += values[y, x] ** 2
    return float(np.sqrt(total))


@numba.njit(nogil=True, cache=True)
def _bend(u: Array, there: Array, out: Array) -> None:
    """Set `out` to half the derivative of the energy by each pixel."""
    rows, columns = u.shape
    out[:] = 0
    for y in range(rows):
        for x in range(columns):
            if not there[y, x]:
                continue
            across = 0 < x < columns - 1 and there[y, x - 1] and there[y, x + 1]
            down = 0 < y < rows - 1 and there[y - 1, x] and there[y + 1, x]
            if across:
                d = u[y, x - 1] - 2 * u[y, x] + u[y, x + 1]
                out[y, x - 1] += d
                out[y, x] -= 2 * d
                out[y, x + 1] += d
            if down:
                d = u[y - 1, x] - 2 * u[y, x] + u[y + 1, x]
                out[y - 1, x] += d
                out[y, x] -= 2 * d
                out[y + 1, x] += d
            if (
                y + 1 < rows
                and x + 1 < columns
                and there[y, x + 1]
                and there[y + 1, x]
                and there[y + 1, x + 1]
            ):
                d = 2 * (u[y, x] - u[y, x + 1] - u[y + 1, x] + u[y + 1, x + 1])
                out[y, x] += d
                out[y, x + 1] -= d
                out[y + 1, x] -= d
                out[y + 1, x + 1] += d


@numba.njit(nogil=True, cache=True)
def _diagonal(there: Array, out: Array) -> None:
    """Set `out` to the second derivative of the energy, halved, by each pixel."""
    rows, columns = there.shape
    for y in range(rows):
        for x in range(columns):
            if not there[y, x]:
                continue
            if 0 < x < columns - 1 and there[y, x - 1] and there[y, x + 1]:
                out[y, x - 1] += 1
                out[y, x] += 4
                out[y, x + 1] += 1
            if 0 < y < rows - 1 and there[y - 1, x] and there[y + 1, x]:
                out[y - 1, x] += 1
                out[y, x] += 4
                out[y + 1, x] += 1
            if (
                y + 1 < rows
                and x + 1 < columns
                and there[y, x + 1]
                and there[y + 1, x]
                and there[y + 1, x + 1]
            ):
                out[y, x] += 2
                out[y, x + 1] += 2
                out[y + 1, x] += 2
                out[y + 1, x + 1] += 2

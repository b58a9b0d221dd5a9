"""A map of where particles may be that nobody follows yet."""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz"})
def likelihood(
    responses: Array, scale: Array, table: Array, low: float, out: Array
) -> None:
    """Fill ``out (rows, columns)`` with the mean of `table` over the responses.

    Parameters
    ----------
    responses : (k, height, width) float32
    scale : (k,) float32, factors that make their noise 1
    table : (m,) float32, values at heights from `low` on, 16 of them per unit
    """
    count = responses.shape[0]
    last = len(table) - 1
    share = np.float32(1.0 / count)
    for y in range(out.shape[0]):
        row = out[y]
        row[:] = 0
        for k in range(count):
            line = responses[k, y]
            factor, start = scale[k] * np.float32(16), np.float32(16 * low)
            for x in range(len(row)):
                place = int(line[x] * factor - start)
                row[x] += share * table[min(max(place, 0), last)]


@numba.njit(nogil=True, cache=True)
def heaps(density: Array, least: float, reach: int, out: Array) -> int:
    """Fill ``out (m, 5)`` with heaps of `density` (k, rows, columns); return how many.

    A heap is a maximum of the sum over k among its eight neighbours that is at least
    `least`: row, column, variance of each axis, and mass, from the pixels up to
    `reach` away; then the share of the k-th part in it, ``out (m, 5 + k)``.
    """
    count, rows, columns = density.shape
    total = density[0].copy()
    for k in range(1, count):
        for y in range(rows):
            for x in range(columns):
                total[y, x] += density[k, y, x]
    number = 0
    for y in range(1, rows - 1):
        for x in range(1, columns - 1):
            value = total[y, x]
            if value < least or number == len(out):
                continue
            if (
                value > total[y, x - 1] and value >= total[y, x + 1]
                and value > total[y - 1, x] and value >= total[y + 1, x]
                and value > total[y - 1, x - 1] and value > total[y - 1, x + 1]
                and value >= total[y + 1, x - 1] and value >= total[y + 1, x + 1]
            ):  # fmt: skip
                _heap(density, total, y, x, reach, out[number])
                number += 1
    return number


@numba.njit(nogil=True, cache=True)
def _heap(density: Array, total: Array, y: int, x: int, reach: int, out: Array) -> None:
    rows, columns = total.shape
    mass, sy, sx, square = 0.0, 0.0, 0.0, 0.0
    out[5:] = 0
    for v in range(max(0, y - reach), min(rows, y + reach + 1)):
        for u in range(max(0, x - reach), min(columns, x + reach + 1)):
            here = np.float64(total[v, u])
            mass += here
            sy += here * (v - y)
            sx += here * (u - x)
            square += here * ((v - y) ** 2 + (u - x) ** 2)
            for k in range(density.shape[0]):
                out[5 + k] += density[k, v, u]
    out[0], out[1] = y + sy / mass, x + sx / mass
    out[2] = out[3] = 0.5 * (square / mass - (sy / mass) ** 2 - (sx / mass) ** 2)
    out[4] = mass
    out[5:] /= mass

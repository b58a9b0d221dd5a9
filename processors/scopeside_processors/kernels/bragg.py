"""Diffraction disks found to a fraction of a pixel, and the lattice that they form.

A disk is compared with its model in a window around where it should be. To first order
in the displacement that is a linear fit, and its solution a sum over the window with
*filters* worked out beforehand, for each of `phases` × `phases` places of the disk's
centre within a pixel (see `stem.disk_filters`). So one look at a disk costs four sums.

Displacements enter the fit of the lattice with the inverse of their variance. Where
there are few counts no disk is found on its own; together they still say where the
lattice is.
"""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Sums may be taken in any order; NaN stays NaN.
_FAST = {"reassoc", "contract", "nsz", "arcp"}

OUTSIDE, SATURATED = 1, 2
"""Why a disk was not looked at: its window leaves the frame, or holds such a pixel."""
LEVELS = (10.0, 100.0, 10_000.0)
"""Electrons in a disk that there are filters for: the fewer, the less is fitted."""
_FEW, _MANY = 30.0, 300.0
MIDDLE = 100.0
"""Of a disk nothing is known of, electrons."""
_FARTHEST = 1.5
"""A displacement is linear no further than this, pixels."""
SIGNIFICANT = 9.0
"""A disk is seen if its amplitude is three times its standard deviation, squared."""
_ROBUST = 9.0
"""Beyond three standard deviations a disk counts less and less."""
_DAMPING = 1.0
"""Of each step of the lattice, 1/px²; what is learnt of a disk is far more."""


@numba.njit(nogil=True, cache=True)
def level_of(significance: float) -> int:
    """Return which of `LEVELS` a disk belongs to.

    The square of its amplitude in standard deviations is about its electrons.
    """
    return int(significance >= _FEW) + int(significance >= _MANY)


@numba.njit(nogil=True, cache=True, fastmath=_FAST)
def look(
    frame: Array,
    y: float,
    x: float,
    filters: Array,
    level: int,
    phases: int,
    side: int,
    limit: float,
    window: Array,
    found: Array,
) -> int:
    """Look at a disk that should be at (y, x); return 0, `OUTSIDE` or `SATURATED`.

    Parameters
    ----------
    frame : (height, width), any real dtype
    filters : (levels · phases², 6, side²) float32, as `stem.disk_filters` makes them
    level : which of `LEVELS` the disk belongs to
    limit : float32, counts from which a pixel is saturated
    window : (side²,) float32, room for pixels
    found : (6,) float64, filled with amplitude, amplitude · displacement (y, x),
        background, counts a pixel, and the place displacements are seen from (y, x)
    """
    middle = 0.5 * (side - 1)
    height, width = frame.shape
    if not (middle - 1 < y < height and middle - 1 < x < width):
        return OUTSIDE
    top: int = math.floor(y - middle + 0.5)
    left: int = math.floor(x - middle + 0.5)
    if top < 0 or left < 0 or top + side > height or left + side > width:
        return OUTSIDE
    # Counted as the pixels are, in 32 bits: so the loop vectorises.
    saturated, most = np.float32(0), np.float32(limit)
    for i in range(side):
        row, at = np.uintp(top + i), np.uintp(left)
        to = np.uintp(i * side)
        for j in range(side):
            value = np.float32(frame[row, at + np.uintp(j)])
            window[to + np.uintp(j)] = value
            saturated += np.float32(1) if value >= most else np.float32(0)
    if saturated > 0:
        return SATURATED
    down = min(int((y - middle - top + 0.5) * phases), phases - 1)
    right = min(int((x - middle - left + 0.5) * phases), phases - 1)
    one = np.uintp((level * phases + down) * phases + right)
    amplitude, by_y = np.float32(0), np.float32(0)
    by_x, background = np.float32(0), np.float32(0)
    # Indices without a sign, and no slices: else numba counts references and wraps.
    for k in range(side * side):
        p = np.uintp(k)
        value = window[p]
        amplitude += value * filters[one, np.uintp(0), p]
        by_y += value * filters[one, np.uintp(1), p]
        by_x += value * filters[one, np.uintp(2), p]
        background += value * filters[one, np.uintp(3), p]
    found[0], found[1], found[2], found[3] = amplitude, by_y, by_x, background
    found[4] = top + middle + (down + 0.5) / phases - 0.5
    found[5] = left + middle + (right + 0.5) / phases - 0.5
    return 0


@numba.njit(nogil=True, cache=True)
def judge(found: Array, noise: Array, level: int, judged: Array, n: int) -> None:
    """Say where a disk is that was looked at, and how well that is known.

    Parameters
    ----------
    found : (6,) float64, as `look` leaves it
    noise : (levels, 5) float64: variance of amplitude · displacement for each
        count of amplitude, and of background; the same of the amplitude; variance of a
        disk with many counts, px²
    judged : (m, 4) float64; row n is filled with position (y, x), the inverse of its
        variance, 1/px², and the amplitude in standard deviations, squared
    """
    amplitude, background = found[0], max(found[3], 0.0)
    y, x, known, significance = found[4], found[5], 0.0, 0.0
    if amplitude > 0:  # NaN is not
        square = amplitude * amplitude
        place = noise[level, 0] * amplitude + noise[level, 1] * background
        size = noise[level, 2] * amplitude + noise[level, 3] * background
        known, significance = square / (place + noise[level, 4] * square), square / size
        y += min(max(found[1] / amplitude, -_FARTHEST), _FARTHEST)
        x += min(max(found[2] / amplitude, -_FARTHEST), _FARTHEST)
    judged[n, 0], judged[n, 1] = y, x
    judged[n, 2], judged[n, 3] = known, significance


@numba.njit(nogil=True, cache=True)
def _step(
    seen: Array, orders: Array, disks: int, lattice: Array, moves: bool, step: Array
) -> None:
    """Better ``lattice (3, 2)`` by displacements ``seen (m, 4)`` of its disks.

    `moves`: it is only moved. Weights are those of a Cauchy distribution, in three
    rounds. `step` (3, 2) is room.
    """
    step[:] = 0.0
    for _ in range(3):
        # The normal matrix of h, k and 1 is symmetric; what is right of it, y and x.
        hh, hk, h1, kk, k1, ones = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        hy, ky, ys, hx, kx, xs = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for n in range(disks):
            h, k = orders[n, 0], orders[n, 1]
            if moves:
                h, k = 0.0, 0.0
            y, x, w = seen[n, 0], seen[n, 1], seen[n, 2]
            away = (y - (h * step[0, 0] + k * step[1, 0] + step[2, 0])) ** 2
            away += (x - (h * step[0, 1] + k * step[1, 1] + step[2, 1])) ** 2
            w /= 1.0 + w * away / _ROBUST
            wh, wk = w * h, w * k
            hh, hk, h1 = hh + wh * h, hk + wh * k, h1 + wh
            kk, k1, ones = kk + wk * k, k1 + wk, ones + w
            hy, ky, ys = hy + wh * y, ky + wk * y, ys + w * y
            hx, kx, xs = hx + wh * x, kx + wk * x, xs + w * x
        hh, kk, ones = hh + _DAMPING, kk + _DAMPING, ones + _DAMPING
        # Elimination; the matrix is positive.
        second, third = hk / hh, h1 / hh
        kk, k1, ones = kk - second * hk, k1 - second * h1, ones - third * h1
        last = k1 / kk
        ones -= last * k1
        for axis in range(2):
            a, b, c = (hy, ky, ys) if axis == 0 else (hx, kx, xs)
            b -= second * a
            c -= third * a + last * b
            c /= ones
            b = (b - k1 * c) / kk
            step[0, axis], step[1, axis] = (a - hk * b - h1 * c) / hh, b
            step[2, axis] = c
    for row in range(3):
        for axis in range(2):
            lattice[row, axis] += step[row, axis]


@numba.njit(nogil=True, cache=True)
def better(
    frame: Array,
    lattice: Array,
    orders: Array,
    disks: int,
    moves: bool,
    filters: Array,
    phases: int,
    side: int,
    limit: float,
    noise: Array,
    window: Array,
    found: Array,
    seen: Array,
    step: Array,
) -> int:
    """Look at the first `disks` of a lattice and better it; return how many saturate.

    Afterwards ``seen (m, 4)`` holds for each the displacement from the old lattice, the
    inverse of its variance, and its significance, squared; before, the last of these.
    """
    saturated = 0
    for n in range(disks):
        h, k = orders[n, 0], orders[n, 1]
        y = h * lattice[0, 0] + k * lattice[1, 0] + lattice[2, 0]
        x = h * lattice[0, 1] + k * lattice[1, 1] + lattice[2, 1]
        level = level_of(seen[n, 3])
        why = look(frame, y, x, filters, level, phases, side, limit, window, found)
        if why:
            for k in range(4):
                seen[n, k] = 0.0
            saturated += why == SATURATED
            continue
        judge(found, noise, level, seen, n)
        seen[n, 0] -= y
        seen[n, 1] -= x
    _step(seen, orders, disks, lattice, moves, step)
    return saturated


@numba.njit(nogil=True, cache=True)
def search(
    frame: Array,
    lattice: Array,
    orders: Array,
    disks: int,
    reach: int,
    filters: Array,
    phases: int,
    side: int,
    window: Array,
    found: Array,
) -> None:
    """Move a lattice by up to `reach` pixels to where its disks are brightest."""
    best, to_y, to_x = 0.0, 0, 0
    for down in range(-reach, reach + 1, 2):
        for right in range(-reach, reach + 1, 2):
            score = 0.0
            for n in range(disks):
                h, k = orders[n, 0], orders[n, 1]
                y = h * lattice[0, 0] + k * lattice[1, 0] + lattice[2, 0] + down
                x = h * lattice[0, 1] + k * lattice[1, 1] + lattice[2, 1] + right
                why = look(frame, y, x, filters, 1, phases, side, np.inf, window, found)
                if not why and found[0] > 0:
                    # The root, so that the direct beam does not decide alone.
                    score += math.sqrt(found[0])
            if score > best:
                best, to_y, to_x = score, down, right
    lattice[2, 0] += to_y
    lattice[2, 1] += to_x

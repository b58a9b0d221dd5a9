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
    saturated = 0
    most = np.float32(limit)
    for i in range(side):
        pixels = frame[top + i][left : left + side]
        to = window[i * side : (i + 1) * side]
        for j in range(pixels.size):
            value = np.float32(pixels[j])
            to[j] = value
            saturated += int(value >= most)
    if saturated:
        return SATURATED
    down = min(int((y - middle - top + 0.5) * phases), phases - 1)
    right = min(int((x - middle - left + 0.5) * phases), phases - 1)
    one = filters[(level * phases + down) * phases + right]
    amplitude, by_y = np.float32(0), np.float32(0)
    by_x, background = np.float32(0), np.float32(0)
    for p in range(window.size):
        value = window[p]
        amplitude += value * one[0, p]
        by_y += value * one[1, p]
        by_x += value * one[2, p]
        background += value * one[3, p]
    found[0], found[1], found[2], found[3] = amplitude, by_y, by_x, background
    found[4] = top + middle + (down + 0.5) / phases - 0.5
    found[5] = left + middle + (right + 0.5) / phases - 0.5
    return 0


@numba.njit(nogil=True, cache=True)
def judge(found: Array, noise: Array, judged: Array) -> None:
    """Say where a disk is that was looked at, and how well that is known.

    Parameters
    ----------
    found : (6,) float64, as `look` leaves it
    noise : (5,) float64, of its level: variance of amplitude · displacement for each
        count of amplitude, and of background; the same of the amplitude; variance of a
        disk with many counts, px²
    judged : (4,) float64, filled with position (y, x), the inverse of its variance,
        1/px², and the amplitude in standard deviations, squared
    """
    amplitude, background = found[0], max(found[3], 0.0)
    judged[2], judged[3] = 0.0, 0.0
    judged[0], judged[1] = found[4], found[5]
    if not amplitude > 0:  # NaN neither
        return
    square = amplitude * amplitude
    place = noise[0] * amplitude + noise[1] * background + noise[4] * square
    size = noise[2] * amplitude + noise[3] * background
    judged[2], judged[3] = square / place, square / size
    judged[0] += min(max(found[1] / amplitude, -_FARTHEST), _FARTHEST)
    judged[1] += min(max(found[2] / amplitude, -_FARTHEST), _FARTHEST)


@numba.njit(nogil=True, cache=True)
def _solve(normal: Array, right: Array) -> None:
    """Replace ``right (3, 2)`` by the solution; ``normal`` (3, 3) is positive."""
    for i in range(3):
        for j in range(i + 1, 3):
            factor = normal[j, i] / normal[i, i]
            for k in range(i, 3):
                normal[j, k] -= factor * normal[i, k]
            right[j, 0] -= factor * right[i, 0]
            right[j, 1] -= factor * right[i, 1]
    for i in range(2, -1, -1):
        for j in range(i + 1, 3):
            right[i, 0] -= normal[i, j] * right[j, 0]
            right[i, 1] -= normal[i, j] * right[j, 1]
        right[i, 0] /= normal[i, i]
        right[i, 1] /= normal[i, i]


@numba.njit(nogil=True, cache=True)
def _step(seen: Array, orders: Array, disks: int, lattice: Array, moves: bool) -> None:
    """Better ``lattice (3, 2)`` by displacements ``seen (m, 4)`` of its disks.

    `moves`: it is only moved. Weights are those of a Cauchy distribution, in three
    rounds.
    """
    normal, step = np.empty((3, 3)), np.zeros((3, 2))
    for _ in range(3):
        right = np.zeros((3, 2))
        normal[:] = 0.0
        for n in range(disks):
            h, k = orders[n, 0], orders[n, 1]
            if moves:
                h, k = 0.0, 0.0
            y = seen[n, 0] - (h * step[0, 0] + k * step[1, 0] + step[2, 0])
            x = seen[n, 1] - (h * step[0, 1] + k * step[1, 1] + step[2, 1])
            w = seen[n, 2]
            w /= 1.0 + w * (y * y + x * x) / _ROBUST
            normal[0, 0] += w * h * h
            normal[0, 1] += w * h * k
            normal[0, 2] += w * h
            normal[1, 1] += w * k * k
            normal[1, 2] += w * k
            normal[2, 2] += w
            for axis in range(2):
                right[0, axis] += w * h * seen[n, axis]
                right[1, axis] += w * k * seen[n, axis]
                right[2, axis] += w * seen[n, axis]
        normal[1, 0], normal[2, 0] = normal[0, 1], normal[0, 2]
        normal[2, 1] = normal[1, 2]
        for i in range(3):
            normal[i, i] += _DAMPING
        _solve(normal, right)
        step[:] = right
    lattice += step


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
            seen[n] = 0.0
            saturated += why == SATURATED
            continue
        judge(found, noise[level], seen[n])
        seen[n, 0] -= y
        seen[n, 1] -= x
    _step(seen, orders, disks, lattice, moves)
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

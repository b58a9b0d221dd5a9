"""The model of a diffraction disk, and the filters that find it.

A disk is (a + linear texture) · D + a plane: D is 1 inside, 0 outside, and falls off at
the edge; the texture is what dynamical diffraction draws into it, the plane what is
scattered diffusely. Displacing D to first order adds a times its slope. All numbers
follow from a weighted linear fit, whose solution is linear in the pixels: a filter for
each of them.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import erfc

from scopeside_processors.kernels.lattices import Filters

FloatArray = npt.NDArray[np.float64]

_FLOOR = 0.15
"""Background beside the disk that the fit reckons with, in units of its amplitude."""
_BEST = 0.04
"""A disk with any number of counts is known no better than this, pixels: its texture
is not quite linear."""
_TEXTURED = 2.5
"""Smaller disks have no texture: it could not be told from a displacement."""
_ROOM = 2.5
"""The window reaches this much beyond the disk's edge, pixels."""


def disk(r: FloatArray, radius: float, edge: float) -> FloatArray:
    """Return D at distances `r` from its centre: erfc((r - radius) / (√2 edge)) / 2.

    All in pixels; `edge` is the standard deviation of what blurs a sharp disk.
    """
    profile: FloatArray = 0.5 * erfc((r - radius) / (edge * math.sqrt(2)))
    return profile


def slope(r: FloatArray, radius: float, edge: float) -> FloatArray:
    """Return the derivative of `disk` by `r`, 1/px."""
    at: FloatArray = (r - radius) / edge
    fall: FloatArray = -np.exp(-0.5 * at**2) / (edge * math.sqrt(2 * math.pi))
    return fall


def window_side(radius: float) -> int:
    """Return the side of the window for disks of `radius`, pixels: a multiple of 8."""
    return 8 * math.ceil((2 * (radius + _ROOM) + 1) / 8)


@lru_cache(maxsize=8)
def filters_of(
    radius: float, edge: float, spacing: float = math.inf, gain: float = 1.0
) -> Filters:
    """Return the filters for disks of one radius.

    Parameters
    ----------
    radius, edge : of the disk, pixels; see `disk`
    spacing : from one disk to the next, pixels: what belongs to a neighbour is left
        out
    gain : counts of the detector for one electron
    """
    side = window_side(radius)
    phases = 8 if side <= 32 else 4
    outer = max(min(side / 2, spacing - radius - edge), radius + 1.0)
    weights = np.empty((phases**2, 6, side**2), np.float32)
    noise = np.zeros(5)
    for phase in range(phases**2):
        down, right = np.divmod(phase, phases)
        at = [(k + 0.5) / phases - 0.5 for k in (down, right)]
        solution, profile, near = _solution(radius, edge, side, outer, at)
        weights[phase, :4] = solution
        likeness = near * (profile - profile[near].mean())
        weights[phase, 4] = likeness / np.linalg.norm(likeness)
        weights[phase, 5] = near
        for k, row in ((0, slice(1, 3)), (2, slice(0, 1))):
            square = (solution[row] ** 2).mean(axis=0)
            noise[k : k + 2] += gain * np.array([square @ profile, square.sum()])
    noise /= phases**2
    noise[4] = _BEST**2
    return Filters(weights, phases, side, noise)


def _solution(
    radius: float, edge: float, side: int, outer: float, at: list[float]
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """Return what the fit multiplies pixels with, (4, side²), D, and which it takes.

    The four are amplitude, amplitude times displacement along y and x, background.
    """
    y, x = (np.mgrid[:side, :side] - (side - 1) / 2).reshape(2, -1)
    y, x = y - at[0], x - at[1]
    r = np.hypot(y, x) + 1e-9
    profile = disk(r, radius, edge)
    fall = -slope(r, radius, edge) / r
    # The background is a plane: a flat one would drag outer disks to the beam.
    columns = [profile, fall * y, fall * x, np.ones_like(r), y, x]
    if radius >= _TEXTURED:
        # What blurs the edge blurs the texture with it: y times a sharp disk becomes
        # y · D + edge² · dD/dy. Without it a texture looks like a displacement.
        inside = profile - edge**2 * fall
        columns += [y * inside, x * inside]
    model = np.stack(columns, axis=1)
    near = r <= outer
    weight = np.where(near, 1 / (profile + _FLOOR), 0.0)
    weighted = (model * weight[:, None]).T
    found: FloatArray = np.linalg.solve(weighted @ model, weighted)
    return found[:4], profile, near

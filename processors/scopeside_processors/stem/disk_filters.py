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

from scopeside_processors.kernels.bragg import LEVELS
from scopeside_processors.kernels.lattices import Filters

FloatArray = npt.NDArray[np.float64]

_FLOOR = 0.15
"""Background beside the disk that the fit reckons with, in units of its amplitude."""
_BEST = 0.04
"""A disk with any number of counts is known no better than this, pixels: its texture
is not quite linear."""
_TEXTURE = 0.04
"""Slope of the texture that is reckoned with, standard deviation, amplitudes a pixel.
With many counts the data say what it is; with few it is not fitted to their noise."""
_TEXTURED = 2.5
"""Smaller disks have no texture: it could not be told from a displacement."""
_ROOM = 2.0
"""The window reaches at least so far beyond the disk's edge, pixels."""


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
    places = ((np.arange(phases) + 0.5) / phases - 0.5).tolist()
    models = [
        _Model(radius, edge, side, outer, at=(down, right))
        for down in places
        for right in places
    ]
    found = [[model.filters(electrons) for model in models] for electrons in LEVELS]
    weights = np.array([[one for one, _ in level] for level in found], np.float32)
    noise = np.array([[one for _, one in level] for level in found]).mean(axis=1)
    noise[:, :4] *= gain
    weights = weights.reshape(len(LEVELS) * phases**2, 6, side**2)
    return Filters(np.ascontiguousarray(weights), phases, side, noise)


class _Model:
    """A disk at one place within a pixel: its centre is (y, x) from the middle."""

    def __init__(
        self,
        radius: float,
        edge: float,
        side: int,
        outer: float,
        *,
        at: tuple[float, float],
    ) -> None:
        down, right = (np.mgrid[:side, :side] - (side - 1) / 2).reshape(2, -1)
        down, right = down - at[0], right - at[1]
        r = np.hypot(down, right) + 1e-9
        self._profile = disk(r, radius, edge)
        self._near = r <= outer
        fall = -slope(r, radius, edge) / r
        # The background is a plane: a flat one would drag outer disks to the beam.
        columns = [self._profile, fall * down, fall * right, np.ones_like(r)]
        columns += [down, right]
        if radius >= _TEXTURED:
            # What blurs the edge blurs the texture with it: y times a sharp disk is
            # y · D + edge² · dD/dy. Without it a texture looks like a displacement.
            inside = self._profile - edge**2 * fall
            columns += [down * inside, right * inside]
        self._columns = np.stack(columns, axis=1)

    def filters(self, electrons: float) -> tuple[FloatArray, FloatArray]:
        """Return the filters (6, side²) and the noise (5,), see `kernels.lattices`.

        They are the best for a disk of so many electrons.
        """
        near, profile = self._near, self._profile
        weight = np.where(near, 1 / (profile + _FLOOR), 0.0)
        weighted = (self._columns * weight[:, None]).T
        normal = weighted @ self._columns
        textures = np.arange(6, len(normal))
        normal[textures, textures] += profile.sum() / (electrons * _TEXTURE**2)
        solution = np.linalg.solve(normal, weighted)[:4]
        like = near * (profile - profile[near].mean())
        like /= np.linalg.norm(like)
        place, size = (solution[1:3] ** 2).mean(axis=0), solution[0] ** 2
        noise = [place @ profile, place.sum(), size @ profile, size.sum()]
        # What texture is left to be taken for a displacement.
        missed = _TEXTURE**2 * ((solution[1:3] @ self._columns[:, 6:]) ** 2).sum() / 2
        rows: FloatArray = np.vstack([solution, like, near])
        return rows, np.array([*noise, missed + _BEST**2])

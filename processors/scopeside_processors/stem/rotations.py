"""Orientations of crystals, and the directions along which they are looked at.

An orientation is a matrix O that turns vectors of the crystal into those of the scan: x
along columns, y along rows, z = x × y, which is the way the beam goes. Its angles are
Bunge's (φ1, Φ, φ2), rad: O = Rz(φ1) Rx(Φ) Rz(φ2) with right-handed turns R.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

_INSIDE = np.array([0.35, 0.15, 0.92])
"""Of no special symmetry; for m-3m within the triangle [001], [101], [111]."""


def turns(axis: int, angle: Any) -> FloatArray:
    """Return right-handed turns by ``angle (…)`` about an axis, (…, 3, 3)."""
    angle = np.asarray(angle, np.float64)
    cos, sin = np.cos(angle), np.sin(angle)
    found = np.zeros((*angle.shape, 3, 3))
    one, two = (axis + 1) % 3, (axis + 2) % 3
    found[..., axis, axis] = 1
    found[..., one, one] = found[..., two, two] = cos
    found[..., two, one], found[..., one, two] = sin, -sin
    return found


def from_bunge(angles: FloatArray) -> FloatArray:
    """Return the orientations of ``angles (…, 3)``, (…, 3, 3)."""
    first, middle, last = np.moveaxis(np.asarray(angles, np.float64), -1, 0)
    found: FloatArray = turns(2, first) @ turns(0, middle) @ turns(2, last)
    return found


def looking_along(zones: FloatArray) -> FloatArray:
    """Return orientations (n, 3, 3) with φ1 = 0 that turn ``zones (n, 3)`` into z."""
    middle = np.arctan2(np.hypot(zones[:, 0], zones[:, 1]), zones[:, 2])
    last = np.where(middle > 1e-9, np.arctan2(zones[:, 0], zones[:, 1]), 0.0)
    return from_bunge(np.stack([np.zeros(len(zones)), middle, last], axis=1))


def directions(step: float, margin: float, laue: FloatArray) -> FloatArray:
    """Return zones about ``step`` apart over one part of the sphere, (n, 3).

    Parameters
    ----------
    step : rad
    margin : rad, by which they go beyond the part's walls
    laue : (k, 3, 3), the operations that make the whole sphere of the part

    Notes
    -----
    The part is what lies nearer to one direction of no symmetry than to its images, the
    standard triangle where the group has one. Rings around z are filled evenly.
    """
    polar = np.arange(0, np.pi + step, step)
    rings = []
    for middle in polar[polar <= np.pi].tolist():
        count = max(1, int(np.ceil(2 * np.pi * np.sin(middle) / step)))
        around = 2 * np.pi * np.arange(count) / count
        flat = np.sin(middle) * np.stack([np.sin(around), np.cos(around)], axis=1)
        rings.append(np.column_stack([flat, np.full(count, np.cos(middle))]))
    sphere = np.concatenate(rings)
    inside = _INSIDE / np.linalg.norm(_INSIDE)
    walls = inside - laue @ inside
    length = np.linalg.norm(walls, axis=1)
    walls = walls[length > 1e-9] / length[length > 1e-9, None]
    held = (sphere @ walls.T >= -np.sin(margin)).all(axis=1)
    found: FloatArray = sphere[held]
    return found


def misorientation(one: FloatArray, two: FloatArray, laue: FloatArray) -> FloatArray:
    """Return the angle between orientations (…, 3, 3), the least by symmetry, rad."""
    proper = laue[np.linalg.det(laue) > 0]
    relative = np.swapaxes(one, -1, -2) @ two
    trace = np.einsum("...ij,kji->...k", relative, proper)
    cosine = (trace.max(axis=-1) - 1) / 2
    return np.asarray(np.arccos(np.clip(cosine, -1, 1)), np.float64)

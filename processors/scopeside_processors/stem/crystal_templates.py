"""Kinematic templates of a crystal: which spots light up, seen along each zone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.errors import ConfigError
from scopeside_processors.kernels.match import FINE
from scopeside_processors.stem.crystal import Crystal
from scopeside_processors.stem.rotations import directions, looking_along

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MOST_TEMPLATES = 40_000
MOST_SPOTS = 48
"""Of a template; those beyond are the weakest."""
_RING_PX = 0.75
_MIRROR = np.diag([1.0, -1.0, 1.0])
_CHUNK = 64


@dataclass(frozen=True, slots=True, eq=False)
class Library:
    """Templates; those of the second half are the first half's mirror images.

    Attributes
    ----------
    orientation
        (templates, 3, 3) float64, not turned in the plane.
    zone
        (templates,) int64, which direction of `directions` each belongs to.
    radius
        (rings,) float64, px, of the rings that spots lie on.
    ring, azimuth, weight
        (templates, spots) int32, float32 (nodes of a ring), float32 (length 1).
    reflections
        Vectors (m, 3), 1/Å, ring (m,), and strength (m,) of all that lie on rings.
    beam
        Wavelength, Å; s_max, 1/Å; power to which intensities are raised.
    proper
        (k, 3, 3) float64, turns that leave the crystal's Laue group as it is.
    step
        Angle between zones, rad.
    """

    orientation: FloatArray
    zone: IntArray
    radius: FloatArray
    ring: npt.NDArray[np.int32]
    azimuth: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]
    reflections: tuple[FloatArray, IntArray, FloatArray]
    beam: tuple[float, float, float]
    proper: FloatArray
    step: float


@dataclass(frozen=True, slots=True)
class Beam:
    """What decides which reflections are seen where.

    Attributes
    ----------
    wavelength
        Å.
    s_max
        Excitation error at which a reflection has vanished, 1/Å.
    pixels
        Per 1/Å.
    r_in, r_out
        Where rings may lie, px.
    """

    wavelength: float
    s_max: float
    pixels: float
    r_in: float
    r_out: float


def excited(
    crystal: Crystal, orientation: FloatArray, beam: Beam
) -> tuple[FloatArray, FloatArray]:
    """Return where reflections lie and how bright they are.

    Parameters
    ----------
    orientation : (n, 3, 3)

    Returns
    -------
    (n, m, 2) and (n, m) float64
        x and y, px; |F|² (1 − |s|/s_max), 0 where the excitation error s is larger or
        the reflection lies beyond the rings. s is the distance of the reflection from
        Ewald's sphere along the beam (Williams and Carter, Transmission Electron
        Microscopy (2009), chapter 12, doi:10.1007/978-0-387-76501-3), and its decline
        is linear, as for many crystals of unequal thickness.
    """
    g = np.einsum("nij,mj->nmi", orientation, crystal.g)
    squared = g[..., 0] ** 2 + g[..., 1] ** 2
    radius = 1 / beam.wavelength
    # √(r² - ρ²) - r without cancelling.
    sphere = -squared / (radius + np.sqrt(np.maximum(radius**2 - squared, 0)))
    share = np.maximum(1 - np.abs(sphere - g[..., 2]) / beam.s_max, 0)
    at = np.sqrt(squared) * beam.pixels
    share[(at < beam.r_in) | (at > beam.r_out)] = 0
    return g[..., :2] * beam.pixels, share * crystal.intensity


def library_of(crystal: Crystal, beam: Beam, step: float, power: float) -> Library:
    """Return templates of a crystal.

    Zones cover the part of all directions that the Laue group makes all of. As
    intensities obey Friedel's law, the mirror image of a pattern is that of the
    opposite zone; so with both all orientations are there.

    Parameters
    ----------
    step : rad, between zones
    power : to which intensities are raised

    Raises
    ------
    ConfigError
        If there are too many templates, or none shows a reflection.
    """
    zones = directions(step, step, crystal.laue)
    if 2 * len(zones) > MOST_TEMPLATES:
        raise ConfigError(
            f"orientation: {2 * len(zones)} templates are more than {MOST_TEMPLATES}: "
            "set a larger step_deg"
        )
    straight = looking_along(zones)
    lengths = np.linalg.norm(crystal.g, axis=1) * beam.pixels
    held = (lengths >= beam.r_in) & (lengths <= beam.r_out)
    radius = _rings(lengths[held])
    if not len(radius):
        raise ConfigError(
            f"orientation: no reflection lies between r_in = {beam.r_in:.4g} and r_out "
            f"= {beam.r_out:.4g} px: look at detector_rad_per_px"
        )
    ring, azimuth, weight = _spots(crystal, straight, beam, power, radius)
    strength = crystal.intensity[held] ** power
    return Library(
        np.concatenate([straight, -_MIRROR @ straight]),
        np.tile(np.arange(len(zones)), 2),
        radius,
        np.tile(ring, (2, 1)),
        np.concatenate([azimuth, np.mod(-azimuth, FINE)]),
        np.tile(weight, (2, 1)),
        (crystal.g[held], _ring_of(lengths[held], radius), strength / strength.max()),
        (beam.wavelength, beam.s_max, power),
        crystal.laue[np.linalg.det(crystal.laue) > 0],
        step,
    )


def _rings(lengths: FloatArray) -> FloatArray:
    """Return the radii of rings on which spots at such `lengths` lie."""
    if not len(lengths):
        return lengths
    _, of = np.unique(np.floor(lengths / _RING_PX), return_inverse=True)
    radii: FloatArray = np.bincount(of, lengths) / np.bincount(of)
    return radii


def _ring_of(lengths: FloatArray, radius: FloatArray) -> IntArray:
    """Return the nearest ring."""
    edges = (radius[1:] + radius[:-1]) / 2
    return np.searchsorted(edges, lengths).astype(np.int64)


def _spots(
    crystal: Crystal,
    orientation: FloatArray,
    beam: Beam,
    power: float,
    radius: FloatArray,
) -> tuple[Any, Any, Any]:
    """Return ring, azimuth and weight of the strongest spots of each template."""
    parts = []
    for first in range(0, len(orientation), _CHUNK):
        at, light = excited(crystal, orientation[first : first + _CHUNK], beam)
        most = min(MOST_SPOTS, light.shape[1])
        order = np.argsort(-light, axis=1, kind="stable")[:, :most]
        x, y = np.moveaxis(np.take_along_axis(at, order[..., None], 1), -1, 0)
        weight = np.take_along_axis(light, order, 1) ** power
        length = np.sqrt((weight**2).sum(axis=1, keepdims=True))
        weight /= np.where(length > 0, length, 1)
        ring = _ring_of(np.hypot(x, y), radius).astype(np.int32)
        azimuth = np.mod(np.arctan2(y, x) * FINE / (2 * np.pi), FINE)
        parts.append((ring, azimuth.astype("f4"), weight.astype("f4")))
    ring, azimuth, weight = (np.concatenate(p) for p in zip(*parts, strict=True))
    used = max(1, int((weight > 0).any(axis=0).sum()))
    ring, azimuth, weight = (
        np.ascontiguousarray(a[:, :used]) for a in (ring, azimuth, weight)
    )
    return ring, azimuth, weight

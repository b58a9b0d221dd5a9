"""Kinematic templates of a crystal: which spots light up, seen along each zone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

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
_REACH = 2.3
"""Templates so many steps away take part in the fit between templates."""
_MOST_NEAR = 24
_LEAST_NEAR = 10
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
    alike, near, fit
        See `kernels.match.best_matches`.
    step
        Angle between zones, rad.
    """

    orientation: FloatArray
    zone: IntArray
    radius: FloatArray
    ring: npt.NDArray[np.int32]
    azimuth: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]
    alike: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]
    near: npt.NDArray[np.int32]
    fit: FloatArray
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
    half = _spots(crystal, straight, beam, power, radius)
    ring, azimuth, weight = half
    mirrored = -_MIRROR @ straight
    axes = np.concatenate([straight, mirrored])[:, 2]
    near = _near(axes, len(zones), step)
    orientation = np.concatenate([straight, mirrored])
    return Library(
        orientation,
        np.tile(np.arange(len(zones)), 2),
        radius,
        np.tile(ring, (2, 1)),
        np.concatenate([azimuth, np.mod(-azimuth, FINE)]),
        np.tile(weight, (2, 1)),
        _alike(zones, crystal.laue, max(3 * step, np.radians(5))),
        near,
        _fits(orientation, near, step),
        step,
    )


def _rings(lengths: FloatArray) -> FloatArray:
    """Return the radii of rings on which spots at such `lengths` lie."""
    if not len(lengths):
        return lengths
    slot, of = np.unique(np.floor(lengths / _RING_PX), return_inverse=True)
    radii: FloatArray = np.bincount(of, lengths) / np.bincount(of)
    assert len(radii) == len(slot)
    return radii


def _spots(
    crystal: Crystal,
    orientation: FloatArray,
    beam: Beam,
    power: float,
    radius: FloatArray,
) -> tuple[Any, Any, Any]:
    """Return ring, azimuth and weight of the strongest spots of each template."""
    parts = []
    edges = (radius[1:] + radius[:-1]) / 2
    for first in range(0, len(orientation), _CHUNK):
        at, light = excited(crystal, orientation[first : first + _CHUNK], beam)
        most = min(MOST_SPOTS, light.shape[1])
        order = np.argsort(-light, axis=1, kind="stable")[:, :most]
        x, y = np.moveaxis(np.take_along_axis(at, order[..., None], 1), -1, 0)
        weight = np.take_along_axis(light, order, 1) ** power
        length = np.sqrt((weight**2).sum(axis=1, keepdims=True))
        weight /= np.where(length > 0, length, 1)
        ring = np.searchsorted(edges, np.hypot(x, y)).astype(np.int32)
        azimuth = np.mod(np.arctan2(y, x) * FINE / (2 * np.pi), FINE)
        parts.append((ring, azimuth.astype("f4"), weight.astype("f4")))
    ring, azimuth, weight = (np.concatenate(p) for p in zip(*parts, strict=True))
    used = max(1, int((weight > 0).any(axis=0).sum()))
    return (*(np.ascontiguousarray(a[:, :used]) for a in (ring, azimuth, weight)),)


def _alike(zones: FloatArray, laue: FloatArray, within: float) -> Any:
    """Return which templates show no other zone, by symmetry, as lists in one array."""
    count = len(zones)
    images = np.einsum("kij,nj->nki", laue, zones).reshape(-1, 3)
    chord = 2 * np.sin(within / 2)
    found = cKDTree(images).query_ball_point(zones, chord)
    lists = [np.unique(np.array(one) // len(laue)) for one in found]
    both = [np.concatenate([one, one + count]) for one in lists] * 2
    bounds = np.cumsum([0, *map(len, both)]).astype(np.int32)
    return bounds, np.concatenate(both).astype(np.int32)


def _near(axes: FloatArray, zones: int, step: float) -> npt.NDArray[np.int32]:
    """Return the templates beside each, itself first; none of its mirror images."""
    near = np.full((len(axes), _MOST_NEAR), -1, np.int32)
    for half in (slice(0, zones), slice(zones, None)):
        part = axes[half]
        k = min(_MOST_NEAR, zones)
        far, index = cKDTree(part).query(part, k, distance_upper_bound=_REACH * step)
        far, index = far.reshape(zones, k), index.reshape(zones, k)
        near[half, :k] = np.where(np.isfinite(far), index + half.start, -1)
    return near


def _fits(
    orientation: FloatArray, near: npt.NDArray[np.int32], step: float
) -> FloatArray:
    """Return what fits a paraboloid to the scores around each template.

    a and b are the tilts, rad, by which the zone of another template leans towards x
    and y where this one's is z.
    """
    fit = np.zeros((len(near), 6, near.shape[1]))
    for e, beside in enumerate(near):
        held = beside[beside >= 0]
        if len(held) < _LEAST_NEAR:
            continue
        a, b, _ = orientation[e] @ orientation[held][:, 2].T / step
        design = np.stack([np.ones_like(a), a, b, a * a, a * b, b * b], axis=1)
        found = np.linalg.pinv(design, rcond=1e-3)
        scale = step ** -np.array([0.0, 1, 1, 2, 2, 2])
        fit[e, :, : len(held)] = found * scale[:, None]
    return fit


def refined(
    library: Library, template: IntArray, turned: FloatArray, tilt: FloatArray
) -> FloatArray:
    """Return the orientations (n, 3, 3) of patterns that match templates.

    Parameters
    ----------
    turned : (n,) rad, rotation in the plane
    tilt : (n, 2) rad, how far the zone leans towards x and y before that; at most one
        step counts
    """
    size = np.hypot(tilt[:, 0], tilt[:, 1])
    tilt = np.where((size <= library.step)[:, None], tilt, 0.0)
    base = library.orientation[template]
    z = np.concatenate([tilt, np.ones((len(tilt), 1))], axis=1)
    z /= np.sqrt((z**2).sum(axis=1, keepdims=True))
    cos, sin = np.cos(turned), np.sin(turned)
    plane = np.zeros((len(turned), 3, 3))
    plane[:, 0, 0] = plane[:, 1, 1] = cos
    plane[:, 1, 0], plane[:, 0, 1], plane[:, 2, 2] = sin, -sin, 1
    found: FloatArray = np.einsum("nij,njk,nkl->nil", plane, _upright(z), base)
    return found


def _upright(z: FloatArray) -> FloatArray:
    """Return the least turns (n, 3, 3) that turn unit vectors (n, 3) into (0, 0, 1)."""
    x, y, c = z.T
    share = 1 / (1 + c)
    rows = [
        [1 - x * x * share, -x * y * share, -x],
        [-x * y * share, 1 - y * y * share, -y],
        [x, y, c],
    ]
    found: FloatArray = np.moveaxis(np.array(rows), -1, 0)
    return found

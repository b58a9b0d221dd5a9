"""Patterns on rings, matched with the templates of a crystal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from scopeside_processors.kernels import refine as kernels
from scopeside_processors.kernels.match import FINE
from scopeside_processors.kernels.ring import gather
from scopeside_processors.stem.annulus import Geometry
from scopeside_processors.stem.crystal_templates import Library
from scopeside_processors.stem.detectors import Point

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

_TOGETHER = 16
"""Frames whose rings are in memory at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Nodes:
    """Points on rings around the beam, each the mean of the pixels near it.

    Attributes
    ----------
    pixel, weight
        (rings, FINE, m) int32 and float32: flat pixels, and their share in the mean; 0
        where half of them are not there.
    extent
        (rings,) float64: how many nodes a spot covers.
    share
        Of the nodes that have pixels.
    """

    pixel: npt.NDArray[np.int32]
    weight: npt.NDArray[np.float32]
    extent: FloatArray
    share: float


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """What patterns are matched with.

    Attributes
    ----------
    angles
        (k, 3) float64, Bunge's φ1, Φ, φ2, rad.
    turned
        (k,) float64, rotation of the template in the plane, rad, 0 to 2π.
    zone
        (k,) int64.
    correlation
        (k,) float64, about 1 for a perfect match.
    reliability
        (k,) float64, 1 − (best score of an orientation that differs) / (best score).
    """

    angles: FloatArray
    turned: FloatArray
    zone: IntArray
    correlation: FloatArray
    reliability: FloatArray


@lru_cache(maxsize=64)
def nodes_of(geometry: Geometry, centre: Point, library: Library, spot: float) -> Nodes:
    """Return the nodes of a library's rings around `centre`.

    The weight of a pixel at a distance d is 1 − (d/R)², with R half a pixel more than
    `spot`, the radius of a spot in px.
    """
    reach = spot + 0.5
    radius = library.radius
    y, x = geometry.straightened(centre)
    around = 2 * np.pi * np.arange(FINE) / FINE
    points = radius[:, None, None] * np.stack([np.sin(around), np.cos(around)], axis=1)
    most = math.ceil(np.pi * (reach + 0.75) ** 2)
    pixels = np.stack([y.reshape(-1), x.reshape(-1)], axis=1)
    k = min(most, len(pixels))
    far, pixel = cKDTree(pixels).query(points, k, distance_upper_bound=reach)
    far, pixel = far.reshape(*points.shape[:2], k), pixel.reshape(*points.shape[:2], k)
    inside = np.isfinite(far)
    pixel = np.where(inside, pixel, 0)
    weight = np.where(inside, 1 - (np.where(inside, far, 0.0) / reach) ** 2, 0.0)
    weight *= geometry.held.reshape(-1)[pixel]
    filled = np.flatnonzero((weight > 0).reshape(-1, k).any(axis=0))
    used = int(filled.max(initial=0)) + 1
    pixel, weight = pixel[..., :used], weight[..., :used]
    # A dead pixel may be NaN, which a weight of 0 does not silence.
    heaviest = np.take_along_axis(pixel, weight.argmax(axis=2)[..., None], axis=2)
    pixel = np.where(weight > 0, pixel, heaviest)
    total = weight.sum(axis=2)
    # The sum over a lattice of unit pitch is the integral of the weight, π R²/2.
    enough = total > 0.5 * np.pi * reach**2 / 2
    weight /= np.where(enough, total, np.inf)[..., None]
    extent = np.maximum(4 / 3 * reach * FINE / (2 * np.pi * radius), 1)
    return Nodes(pixel.astype("i4"), weight.astype("f4"), extent, float(enough.mean()))


def match_patterns(
    frames: Array, which: IntArray, nodes: Nodes, library: Library, power: float
) -> Matches:
    """Return which orientation of a crystal each pattern is like.

    Parameters
    ----------
    frames : (n, height, width), counts, any real dtype
    which : (k,) frames that are wanted
    power : to which means of pixels are raised

    Notes
    -----
    The score is Σ w P(ring, φ + rotation) / |w| over a template's spots, where P has
    the mean of each ring subtracted.
    """
    room = np.zeros((min(_TOGETHER, len(which)), *nodes.pixel.shape[:2]), np.float32)
    found, length = [], []
    for first in range(0, len(which), _TOGETHER):
        some = which[first : first + _TOGETHER]
        rings = room[: len(some)]
        gather(frames, some, nodes.pixel, nodes.weight, power, rings)
        found.append(_orientations(rings, library))
        length.append(_lengths(rings, nodes.extent))
    return _matches(np.concatenate(found), np.concatenate(length), library)


def _lengths(rings: npt.NDArray[np.float32], extent: FloatArray) -> FloatArray:
    """Return √ΣP² over the spots of each pattern, (n,)."""
    squared = np.array([(one.astype(np.float64) ** 2).sum(axis=1) for one in rings])
    total: FloatArray = np.array([(one / extent).sum() for one in squared])
    return np.sqrt(total)


def _orientations(rings: npt.NDArray[np.float32], library: Library) -> FloatArray:
    return kernels.best_orientations(
        rings,
        (library.ring, library.azimuth, library.weight),
        library.orientation,
        library.reflections,
        library.beam,
        library.step,
        library.proper,
    )


def _matches(found: FloatArray, length: FloatArray, library: Library) -> Matches:
    template = found[:, kernels.TEMPLATE].astype(np.int64)
    best, other = found[:, kernels.SCORE], found[:, kernels.OTHER]
    some = np.isfinite(best) & (best > 0)
    best, other = np.where(some, best, 0.0), np.where(some, np.maximum(other, 0), 0)
    return Matches(
        found[:, kernels.OTHER + 1 :],
        np.mod(found[:, kernels.ROTATION], 2 * np.pi),
        library.zone[template],
        best / np.where(length > 0, length, np.inf),
        np.where(some, 1 - other / np.where(some, best, 1.0), 0.0),
    )

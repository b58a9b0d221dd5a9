"""Learns the absorbance from particles that were there before anything began."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from scopeside_processors.insitu import patches
from scopeside_processors.insitu.absorbance import RINGS, Absorbance
from scopeside_processors.insitu.sizes import measure
from scopeside_processors.kernels.maxima import maxima

Array = npt.NDArray[Any]

WHEN = (32, 96, 288)
"""Frames after which the field is looked over."""
_MOST = 12
_CLEAR = 5.0
"""Scatter of the texture that an object stands out by."""


def learn_from(
    evidence: Any,
    place: tuple[float, float],
    radius: float,
    texture: float,
    absorbance: Absorbance,
) -> None:
    """Take what an object of the field shows, a particle as a rule.

    Parameters
    ----------
    place : px of frame 0
    radius : smallest that counts, px
    texture : share of the light that the membrane takes here and there, rms
    """
    found = measure(
        evidence,
        place,
        1.5 * radius,
        base_level=patches.level_of(radius, evidence.history.bin),
        baseline=np.zeros(RINGS),
        absorbance=absorbance,
    )
    if found is not None:
        _, cell, rings, variance = found
        # The membrane's texture is in it, since nothing was seen before it.
        absorbance.learn(rings, variance + texture**2, cell)


def objects_of(evidence: Any, radius: float) -> list[tuple[float, float]]:
    """Return places of the darkest small objects, px of frame 0, the darkest first."""
    size = evidence.history.bin
    image = _darkness(evidence, 0.8 * radius / size)
    middle = float(np.median(image[::3, ::3]))
    scatter = 1.4826 * float(np.median(np.abs(image[::3, ::3] - middle)))
    found, scale = np.empty((_MOST, 3)), radius / size
    n = maxima(image, round(6 * scale) + 1, 4 * scale, middle + _CLEAR * scatter, found)
    origin = evidence.origin
    return [
        ((row + origin[0] + 0.5) * size - 0.5, (column + origin[1] + 0.5) * size - 0.5)
        for row, column, _ in found[:n].tolist()
    ]


def _darkness(evidence: Any, width: float) -> Array:
    """Return which share of the light is lost against the surroundings, smoothed."""
    mean = patches.brightness_of(evidence)
    seen = evidence.seen > 0
    image = np.where(seen, evidence.background / np.float32(mean), np.float32(1.0))
    near = ndimage.gaussian_filter(image, width)
    wide = ndimage.gaussian_filter(image, 5 * width)
    dark: Array = np.where(seen, 1.0 - near / np.maximum(wide, 0.05), 0.0)
    return dark.astype(np.float32)


def texture_of(evidence: Any) -> float:
    """Return which share of the light is lost here and there, rms, by most cells."""
    image = _darkness(evidence, 1.0)[::3, ::3]
    return 1.4826 * float(np.median(np.abs(image - np.median(image))))

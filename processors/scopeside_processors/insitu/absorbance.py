"""How dark a px of thickness is, and how large a particle therefore is.

Radius and absorbance go together: half of the contrast may be half of the thickness.
Large objects show both, by their shape; what they teach of the absorbance serves small
ones, of which only the mass (absorbance × volume) is seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Array = npt.NDArray[Any]

RINGS = 12
"""Rings about a place, one cell wide each."""
RADII = np.geomspace(0.35, 11.0, 48)
"""Radii that are tried, cells."""
_ABSORBANCES = np.geomspace(0.001, 0.5, 64)
"""Absorbances that are tried, per px."""
_TYPICAL, _SPREAD = 0.02, 1.0
"""Of the absorbance per px before anything was seen: median, and scatter of its log."""
_BLUR = 0.45
"""Width of a cell's edge, by optics, camera and interpolation, cells."""
_MODEL = 0.06
"""Share by which no particle is the sphere of the model."""
_OUTLIER = 0.15
"""Share of objects that are no spheres at all."""


@dataclass(frozen=True, slots=True)
class Size:
    """A radius in cells, and the standard deviation of its logarithm."""

    radius: float
    scatter: float


@lru_cache(maxsize=1)
def spheres() -> tuple[Array, Array]:
    """Return thickness (radii, rings), cells, and the square of each radius' norm."""
    side, fine = 2 * RINGS + 9, 4
    axis = (np.arange(side * fine) - (side * fine - 1) / 2) / fine
    away = axis[:, None] ** 2 + axis[None] ** 2
    middle = np.arange(side) - side // 2
    ring = np.floor(np.hypot(middle[:, None], middle[None])).astype(np.int64)
    ring = np.minimum(ring, RINGS)
    number = np.bincount(ring.ravel(), minlength=RINGS + 1)
    out = []
    for radius in RADII:
        thickness = 2 * np.sqrt(np.clip(radius**2 - away, 0, None))
        cells = thickness.reshape(side, fine, side, fine).mean(axis=(1, 3))
        cells = ndimage.gaussian_filter(cells, _BLUR)
        out.append(np.bincount(ring.ravel(), cells.ravel(), RINGS + 1) / number)
    table = np.array(out)[:, :RINGS]
    return table, number[:RINGS].astype(np.float64)


class Absorbance:
    """Learns the absorbance per px of thickness from what is large.

    Attributes
    ----------
    seen
        Objects it was learnt from.
    """

    def __init__(self, known: float | None = None) -> None:
        """Start from `known` (per px, to 10 %), or from what is usual."""
        middle, spread = (known, 0.1) if known else (_TYPICAL, _SPREAD)
        self._log = -0.5 * (np.log(_ABSORBANCES / middle) / spread) ** 2
        self.seen = 0

    @property
    def estimate(self) -> tuple[float, float]:
        """Median absorbance per px, and the standard deviation of its logarithm."""
        weights = np.exp(self._log - self._log.max())
        weights /= weights.sum()
        logs = np.log(_ABSORBANCES)
        mean = float(weights @ logs)
        return math.exp(mean), math.sqrt(max(float(weights @ (logs - mean) ** 2), 1e-4))

    def learn(self, rings: Array, variance: Array, cell: float) -> None:
        """Take in an object: ``rings (RINGS,)`` log transmission lost, its variance.

        `cell` is the width of a cell, px.
        """
        table, _ = spheres()
        model = (_ABSORBANCES * cell)[:, None, None] * table
        weight = 1.0 / (variance + (_MODEL * model[..., :1]) ** 2)
        chi = ((rings - model) ** 2 * weight - np.log(weight)).sum(axis=2)
        fit = np.exp(-0.5 * (chi - chi.min())).mean(axis=1)
        fit = (1 - _OUTLIER) * fit / fit.sum() + _OUTLIER / fit.size
        self._log += np.log(fit)
        self._log -= self._log.max()
        self.seen += 1

    def size(self, rings: Array, variance: Array, cell: float) -> Size:
        """Return how large the sphere is that ``rings (RINGS,)`` show; as `learn`."""
        table, _ = spheres()
        middle, spread = self.estimate
        model = middle * cell * table
        weight = 1.0 / (variance + (_MODEL * model[:, :1]) ** 2)
        own, cross = (weight * model**2).sum(1), (weight * model * rings).sum(1)
        pull = 1.0 / spread**2
        factor = (cross + pull) / (own + pull)
        misfit = (weight * (rings - factor[:, None] * model) ** 2).sum(axis=1)
        misfit += pull * (factor - 1) ** 2 - np.log(weight).sum(axis=1)
        misfit += np.log(own + pull)
        chance = np.exp(-0.5 * (misfit - misfit.min()))
        chance /= chance.sum()
        logs = np.log(RADII)
        mean = float(chance @ logs)
        scatter = math.sqrt(max(float(chance @ (logs - mean) ** 2), 1e-4))
        return Size(math.exp(mean), scatter)

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        return {"log": self._log, "seen": self.seen}

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._log, self.seen = np.array(state["log"]), state["seen"]

"""Groups of particles of like shape, found while they come.

A mixture of Gaussians over shape features of the last particles, its number of groups
chosen by BIC (`scopeside_processors.mixture`), fitted anew every so often.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside_processors.insitu.shapes import COLUMNS
from scopeside_processors.mixture import Mixture, fit

FloatArray = npt.NDArray[np.float64]

FEATURES = ("log area", "log aspect ratio", "circularity", "solidity")
KEPT = 2000
"""Particles that a fit stands on at most: the last ones seen."""
LEAST = 30
"""Particles without which there is no fit."""
_SEED = 1
_AREA, _ASPECT, _ROUND, _SOLID, _EDGE = (
    COLUMNS.index(name)
    for name in ("area", "aspect_ratio", "circularity", "solidity", "edge")
)


def features_of(table: FloatArray) -> FloatArray:
    """Return (n, 4) float64, as `FEATURES` names them, of a table of shapes."""
    return np.stack(
        [
            np.log(np.maximum(table[:, _AREA], 1.0)),
            np.log(np.clip(table[:, _ASPECT], 1.0, 100.0)),
            np.minimum(table[:, _ROUND], 1.5),
            table[:, _SOLID],
        ],
        axis=1,
    )


class Groups:
    """Keeps the features of the last particles, and the groups found in them.

    Parameters
    ----------
    most
        Groups at most.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._ring = np.zeros((KEPT, len(FEATURES)))
        self._seen = 0
        self._centre = np.zeros(len(FEATURES))
        self._scale = np.ones(len(FEATURES))
        self.mixture: Mixture | None = None

    def take(self, table: FloatArray) -> None:
        """Remember the particles of a frame; those cut by its edge have no shape."""
        features = features_of(table[table[:, _EDGE] == 0])[-KEPT:]
        at = (self._seen + np.arange(len(features))) % KEPT
        self._ring[at] = features
        self._seen += len(features)

    def regroup(self) -> bool:
        """Find the groups anew; return whether there were particles enough.

        Groups are numbered by their mean area, the smallest first.
        """
        points = self._ring[: min(self._seen, KEPT)]
        if len(points) < LEAST:
            return False
        self._centre, spread = points.mean(axis=0), points.std(axis=0)
        self._scale = np.where(spread > 1e-9, spread, 1.0)
        found = fit(self._scaled(points), range(1, self._most + 1), _SEED)
        order = np.argsort(found.mean[:, 0], kind="stable")
        self.mixture = Mixture(
            found.share[order], found.mean[order], found.factor[order]
        )
        return True

    def of(self, table: FloatArray) -> FloatArray:
        """Return (n, 2) float64: the likeliest group of each, from 0, and its chance.

        NaN before there are groups.
        """
        if self.mixture is None or not len(table):
            return np.full((len(table), 2), np.nan)
        which, chance = self.mixture.classify(self._scaled(features_of(table)))
        return np.stack([which.astype(np.float64), chance], axis=1)

    def table(self) -> FloatArray:
        """Return (groups, 6) float64: share, mean of each feature, particles in fit."""
        assert self.mixture is not None
        mean = self.mixture.mean * self._scale + self._centre
        used = np.full((len(mean), 1), float(min(self._seen, KEPT)))
        return np.concatenate([self.mixture.share[:, None], mean, used], axis=1)

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        found = self.mixture
        return {
            "ring": self._ring[: min(self._seen, KEPT)],
            "seen": self._seen,
            "centre": self._centre,
            "scale": self._scale,
            "mixture": found and [found.share, found.mean, found.factor],
        }

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._ring[: len(state["ring"])] = state["ring"]
        self._seen = state["seen"]
        self._centre, self._scale = state["centre"].copy(), state["scale"].copy()
        found = state["mixture"]
        self.mixture = found and Mixture(*(np.array(part) for part in found))

    def _scaled(self, features: FloatArray) -> FloatArray:
        return (features - self._centre) / self._scale

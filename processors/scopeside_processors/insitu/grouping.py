"""Groups of particles of like shape, found while they come.

A mixture of Gaussians over shape features of the last particles, its number of groups
chosen by BIC (`scopeside_processors.mixture`), fitted anew every so often: one number
with each frame, so that none has to wait for all.

Features are sizes and ratios, or the harmonics of the fingerprint (distance from the
middle to the perimeter over direction) [1]_: the 2nd tells how long a particle is, the
3rd how much of a triangle, the 4th of a square … Their amplitudes do not turn.

References
----------
.. [1] C. T. Zahn & R. Z. Roskies, IEEE Trans. Comput. C-21, 269 (1972),
   doi:10.1109/TC.1972.5008949
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from scopeside_processors.insitu.shapes import COLUMNS, Shapes
from scopeside_processors.mixture import Mixture, fits

FloatArray = npt.NDArray[np.float64]

By = Literal["shape", "fingerprint"]
FEATURES: dict[By, tuple[str, ...]] = {
    "shape": ("log area", "log aspect ratio", "circularity", "solidity"),
    "fingerprint": tuple(f"harmonic {k}" for k in range(2, 7)),
}
KEPT = 1000
"""Particles that a fit stands on at most: the last ones seen."""
LEAST = 30
"""Particles without which there is no fit."""
_SEED = 1
_AREA, _ASPECT, _ROUND, _SOLID, _EDGE = (
    COLUMNS.index(name)
    for name in ("area", "aspect_ratio", "circularity", "solidity", "edge")
)


def shape_features(table: FloatArray) -> FloatArray:
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


def harmonics(fingerprint: FloatArray) -> FloatArray:
    """Return (n, 5) float64: amplitudes of the harmonics 2 to 6 of (n, m) distances."""
    wave = np.fft.rfft(fingerprint, axis=1)[:, 2:7]
    amplitude: FloatArray = np.abs(wave) * (2 / fingerprint.shape[1])
    return amplitude


class Groups:
    """Keeps the features of the last particles, and the groups found in them.

    Parameters
    ----------
    most
        Groups at most.
    by
        What they are told by.
    """

    def __init__(self, most: int, by: By = "shape") -> None:
        self._most = most
        self._by = by
        self.features = FEATURES[by]
        self._ring = np.zeros((KEPT, len(self.features)))
        self._seen = 0
        self._centre = np.zeros(len(self.features))
        self._scale = np.ones(len(self.features))
        self.mixture: Mixture | None = None
        self.bic: list[float] = []
        """Of 1, 2 … groups in the last fit; the least one was taken."""
        self._used = 0
        self._waiting: FloatArray | None = None
        self._fits: list[tuple[float, Mixture]] = []

    def take(self, shapes: Shapes) -> None:
        """Remember the particles of a frame; those cut by its edge have no shape."""
        features = self._of(shapes)[shapes.table[:, _EDGE] == 0][-KEPT:]
        at = (self._seen + np.arange(len(features))) % KEPT
        self._ring[at] = features
        self._seen += len(features)

    def begin(self) -> None:
        """Find the groups anew, among the particles remembered now."""
        if min(self._seen, KEPT) >= LEAST:
            self._waiting = self._ring[: min(self._seen, KEPT)].copy()
            self._fits = []

    def go_on(self) -> bool:
        """Fit one more number of groups; return whether that was the last one.

        Groups are numbered by the mean of the first feature, the smallest first.
        """
        points = self._waiting
        if points is None:
            return False
        centre, spread = points.mean(axis=0), points.std(axis=0)
        scale = np.where(spread > 1e-9, spread, 1.0)
        number = len(self._fits) + 1
        # So few points cannot tell more apart.
        if number * (points.shape[1] + 2) <= len(points) or number == 1:
            scaled = (points - centre) / scale
            self._fits += fits(scaled, range(number, number + 1), _SEED)
            if number < self._most:
                return False
        self.bic = [score for score, _ in self._fits]
        found = self._fits[int(np.argmin(self.bic))][1]
        order = np.argsort(found.mean[:, 0], kind="stable")
        self.mixture = Mixture(
            found.share[order], found.mean[order], found.factor[order]
        )
        self._centre, self._scale, self._used = centre, scale, len(points)
        self._waiting = None
        return True

    def of(self, shapes: Shapes) -> FloatArray:
        """Return (n, 2) float64: the likeliest group of each, from 0, and its chance.

        NaN before there are groups.
        """
        if self.mixture is None or not len(shapes.table):
            return np.full((len(shapes.table), 2), np.nan)
        which, chance = self.mixture.classify(self._scaled(self._of(shapes)))
        return np.stack([which.astype(np.float64), chance], axis=1)

    def table(self) -> FloatArray:
        """Return (groups, 2 + features) float64, `columns`."""
        assert self.mixture is not None
        mean = self.mixture.mean * self._scale + self._centre
        share = self.mixture.share[:, None]
        return np.concatenate([share, mean, share * self._used], axis=1)

    @property
    def columns(self) -> list[str]:
        """Names of the columns of `table`; particles: how many of those fitted."""
        return ["share", *(f"mean {name}" for name in self.features), "particles"]

    def _of(self, shapes: Shapes) -> FloatArray:
        if self._by == "shape":
            return shape_features(shapes.table)
        return harmonics(shapes.fingerprint)

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        return {
            "ring": self._ring[: min(self._seen, KEPT)],
            "seen": self._seen,
            "centre": self._centre,
            "scale": self._scale,
            "bic": self.bic,
            "used": self._used,
            "mixture": self.mixture and _packed(self.mixture),
            "waiting": self._waiting,
            "fits": [[score, _packed(one)] for score, one in self._fits],
        }

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._ring[: len(state["ring"])] = state["ring"]
        self._seen, self._used = state["seen"], state["used"]
        self._centre, self._scale = state["centre"].copy(), state["scale"].copy()
        self.bic = list(state["bic"])
        self.mixture = state["mixture"] and _unpacked(state["mixture"])
        self._waiting = state["waiting"]
        self._fits = [(score, _unpacked(one)) for score, one in state["fits"]]

    def _scaled(self, features: FloatArray) -> FloatArray:
        return (features - self._centre) / self._scale


def _packed(found: Mixture) -> list[FloatArray]:
    return [found.share, found.mean, found.factor]


def _unpacked(parts: list[FloatArray]) -> Mixture:
    return Mixture(*(np.array(part) for part in parts))

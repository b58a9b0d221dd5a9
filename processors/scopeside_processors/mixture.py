"""Classes of points: a mixture of Gaussians, its size chosen by BIC.

Expectation maximisation [1]_ from seeded k-means++ starts [2]_; the number of classes
is the one with the least Bayesian information criterion [3]_.

References
----------
.. [1] A. P. Dempster et al., J. R. Stat. Soc. B 39, 1 (1977)
.. [2] D. Arthur, S. Vassilvitskii, Proc. SODA, 1027 (2007)
.. [3] G. Schwarz, Annals of Statistics 6, 461 (1978), doi:10.1214/aos/1176344136
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.cluster.vq import ClusterError, kmeans2
from scipy.special import logsumexp

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Spread = Literal["full", "equal"]

ROUNDS = 60
"""Steps of expectation maximisation, at most."""
ENOUGH = 1e-5
"""It ends when the mean log-likelihood grows by less than this."""
FLOOR = 1e-3
"""No class is narrower than this part of the variance of all points."""


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """Gaussian classes.

    Attributes
    ----------
    share
        (k,) float64, part of the points in each class.
    mean
        (k, d) float64.
    factor
        (k, d, d) float64: F with (F Fᵀ)⁻¹ the covariance, upper triangle.
    """

    share: FloatArray
    mean: FloatArray
    factor: FloatArray

    def log_densities(self, points: FloatArray) -> FloatArray:
        """Return the log of share times density of ``points (n, d)``: (n, k)."""
        d = points.shape[1]
        out = np.empty((len(points), len(self.share)))
        for k, (share, mean, factor) in enumerate(
            zip(self.share, self.mean, self.factor, strict=True)
        ):
            # Added up coordinate by coordinate: the same bits for any number of points.
            far = np.zeros(len(points))
            for j in range(d):
                along = np.zeros(len(points))
                for i in range(j + 1):
                    along += (points[:, i] - mean[i]) * factor[i, j]
                far += along * along
            volume = np.log(np.diag(factor)).sum() - d / 2 * np.log(2 * np.pi)
            out[:, k] = np.log(share) + volume - far / 2
        return out

    def classify(self, points: FloatArray) -> tuple[IntArray, FloatArray]:
        """Return the likeliest class of each point, and its probability, both (n,)."""
        logs = self.log_densities(points)
        found = logs.argmax(axis=1)
        chance = np.exp(logs.max(axis=1) - logsumexp(logs, axis=1))
        return found, chance


def fit(
    points: FloatArray,
    classes: int | range,
    seed: int,
    spread: Spread = "full",
    noise: float = 0.0,
) -> Mixture:
    """Return the mixture that describes points best.

    Parameters
    ----------
    points : (n, d) float64, n ≥ 1
    classes : their number, or the numbers among which BIC chooses
    seed : of the starts
    spread : ``full``: each class has a covariance of its own; ``equal``: all are balls
        of one size, as k-means has it
    noise : variance of a coordinate of one point; no class is narrower
    """
    if points.shape[1] == 0:  # nothing to tell them apart by
        return Mixture(np.ones(1), np.zeros((1, 0)), np.zeros((1, 0, 0)))
    narrowest = max(
        noise, FLOOR * float(points.var(axis=0).mean()), 1e-12 * (1 + (points**2).max())
    )
    numbers = range(classes, classes + 1) if isinstance(classes, int) else classes
    best: tuple[float, Mixture] | None = None
    for number in numbers:
        if best is not None and number * (points.shape[1] + 2) > len(points):
            break  # too few points to tell so many classes apart
        found, likelihood = _expectation_maximisation(
            points, number, seed, spread, narrowest
        )
        score = _parameters(found, spread) * np.log(len(points)) - 2 * likelihood
        if best is None or score < best[0]:
            best = (score, found)
    assert best is not None
    return best[1]


def _parameters(found: Mixture, spread: Spread) -> int:
    k, d = found.mean.shape
    of_spread = 1 if spread == "equal" else k * d * (d + 1) // 2
    return int(k - 1 + k * d + of_spread)


def _expectation_maximisation(
    points: FloatArray, number: int, seed: int, spread: Spread, narrowest: float
) -> tuple[Mixture, float]:
    """Return the mixture of so many classes, and its log-likelihood."""
    member = np.eye(number)[_start(points, number, seed)]
    known = -np.inf
    for _ in range(ROUNDS):
        found = _maximised(points, member, narrowest, spread)
        logs = _logs(found, points)
        each = logsumexp(logs, axis=1)
        member = np.exp(logs - each[:, None])
        likelihood = float(each.sum())
        if likelihood - known < ENOUGH * len(points):
            break
        known = likelihood
    return found, likelihood


def _start(points: FloatArray, number: int, seed: int) -> IntArray:
    """Return a class for each point: the best of four seeded k-means."""
    if number == 1:
        return np.zeros(len(points), np.int64)
    least, best = np.inf, np.zeros(len(points), np.int64)
    for turn in range(4):
        rng = np.random.default_rng([seed, number, turn])
        start = _spread_out(points, number, rng)
        try:
            centres, label = kmeans2(points, start, minit="matrix", missing="raise")
        except ClusterError:
            continue  # equal points leave a class empty; the other turns may not
        far = float(((points - centres[label]) ** 2).sum())
        if far < least:
            least, best = far, label.astype(np.int64)
    return best


def _spread_out(
    points: FloatArray, number: int, rng: np.random.Generator
) -> FloatArray:
    """Return points far from each other, as k-means++ chooses them."""
    chosen = [points[rng.integers(len(points))]]
    far = np.full(len(points), np.inf)
    for _ in range(number - 1):
        far = np.minimum(far, ((points - chosen[-1]) ** 2).sum(axis=1))
        total = far.sum()
        chance = far / total if total > 0 else None
        chosen.append(points[rng.choice(len(points), p=chance)])
    return np.array(chosen)


def _logs(found: Mixture, points: FloatArray) -> FloatArray:
    """Return what `Mixture.log_densities` does, faster, but for the last bits."""
    d = points.shape[1]
    out = np.empty((len(points), len(found.share)))
    for k, factor in enumerate(found.factor):
        along = (points - found.mean[k]) @ factor
        volume = np.log(np.diag(factor)).sum() - d / 2 * np.log(2 * np.pi)
        out[:, k] = np.log(found.share[k]) + volume - (along**2).sum(axis=1) / 2
    return out


def _maximised(
    points: FloatArray, member: FloatArray, narrowest: float, spread: Spread
) -> Mixture:
    """Return the mixture for what part ``member (n, k)`` each class has in a point."""
    d = points.shape[1]
    weight = member.sum(axis=0) + 1e-9
    mean = member.T @ points / weight[:, None]
    covariance = np.empty((len(weight), d, d))
    for k in range(len(weight)):
        away = points - mean[k]
        covariance[k] = (member[:, k, None] * away).T @ away / weight[k]
    if spread == "equal":
        trace = np.trace(covariance, axis1=1, axis2=2)
        covariance[:] = np.eye(d) * (weight @ trace / weight.sum() / d)
    variance, axes = np.linalg.eigh(covariance)
    wide = np.maximum(variance, narrowest)[:, None, :] * axes @ axes.transpose(0, 2, 1)
    # cov = L Lᵀ, so its inverse is F Fᵀ with F = L⁻ᵀ, an upper triangle.
    lower = np.linalg.cholesky(wide)
    factor = np.stack([np.triu(np.linalg.inv(one).T) for one in lower])
    return Mixture(weight / weight.sum(), mean, factor)

"""Components of patterns, learnt from some and bettered by more: PCA and NMF.

Patterns are weighted pixel by pixel with one over the root of the mean pattern, which
makes Poisson noise the same everywhere [1]_. PCA is bettered as in [2]_, NMF (by
alternating least squares, one component at a time [3]_) as in [4]_. Both are linear in
the counts, so that a mean of loadings stands for a mean pattern.

References
----------
.. [1] M. R. Keenan, P. G. Kotula, Surf. Interface Anal. 36, 203 (2004),
   doi:10.1002/sia.1657
.. [2] D. A. Ross et al., Int. J. Comput. Vis. 77, 125 (2008),
   doi:10.1007/s11263-007-0075-7
.. [3] A. Cichocki, A.-H. Phan, IEICE Trans. Fundam. E92-A, 708 (2009)
.. [4] J. Mairal et al., J. Mach. Learn. Res. 11, 19 (2010)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from scopeside_processors.kernels.project import project

FloatArray = npt.NDArray[np.float64]
Method = Literal["pca", "nmf"]

SWEEPS = 100
"""Rounds of alternating least squares when components are learnt."""
MARGIN = 1.25
"""A component stands out if it is stronger by this than the strongest of noise."""
_TINY = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """What patterns are made of.

    Attributes
    ----------
    weight
        (p,) float64, of each pixel.
    mean
        (p,) float64, of the weighted patterns; zero for NMF.
    vectors
        (k, p) float64, of the weighted patterns; orthonormal for PCA, ≥ 0 for NMF.
    strength
        (k,) for PCA: singular values; (k, k) for NMF: sum of the products of loadings.
    moment
        (0, p) for PCA; (k, p) for NMF: sum of loadings times patterns.
    seen
        Number of patterns that they were learnt from.
    noise
        What of the weighted patterns, squared, the vectors leave, summed up.
    """

    weight: FloatArray
    mean: FloatArray
    vectors: FloatArray
    strength: FloatArray
    moment: FloatArray
    seen: int
    noise: float

    @property
    def method(self) -> Method:
        """How they were found."""
        return "pca" if self.strength.ndim == 1 else "nmf"

    @property
    def variance(self) -> float:
        """Variance of the noise in a pixel of the weighted patterns.

        Of Poisson noise alone it is 1.
        """
        n, (k, p) = self.seen, self.vectors.shape
        return float(self.noise / max(1, n * p - k * (n + p)))

    @property
    def shown(self) -> FloatArray:
        """The vectors that stand out, (k', p), maybe none; of NMF all.

        Pure noise has no component stronger than the edge of the law of Marchenko and
        Pastur. One that is weaker fits the noise of those that it was learnt from.
        """
        if self.method == "nmf":
            return self.vectors
        n, p = self.seen, self.vectors.shape[1]
        edge = self.variance * (1 + np.sqrt(p / n)) ** 2
        number = int(np.count_nonzero(self.strength**2 / n > MARGIN * edge))
        return self.vectors[:number]

    def loadings(self, patterns: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return how much of each component is in ``patterns (n, p)``, and the rest.

        Returns
        -------
        (n, k) float64 and (n,) float64
            The rest is the squared distance of the weighted pattern from what the
            components make of it.
        """
        vectors = self.shown
        onto = np.ascontiguousarray((vectors * self.weight).T)
        found, distance = project(patterns, onto, self.weight, self.mean)
        if self.method == "pca":
            found = found - vectors @ self.mean
            return found, distance - (found**2).sum(axis=1)
        gram = vectors @ vectors.T
        loads = _not_negative(gram, found)
        inside = np.array([one @ gram @ one for one in loads]).reshape(len(loads))
        return loads, distance - 2 * (loads * found).sum(axis=1) + inside

    def patterns(self, loadings: FloatArray) -> FloatArray:
        """Return the patterns, (n, p), that ``loadings (n, k)`` stand for."""
        made: FloatArray = (self.mean + loadings @ self.shown) / self.weight
        return made

    def bettered(self, patterns: FloatArray) -> Self:
        """Return the components with what ``patterns (n, p)`` add."""
        weighted = patterns * self.weight
        if self.method == "pca":
            return self._bettered_pca(weighted)
        loads, rest = self.loadings(patterns)
        strength = self.strength + loads.T @ loads
        moment = self.moment + loads.T @ weighted
        vectors = _refined(self.vectors.copy(), strength, moment, rounds=5)
        return replace(
            self,
            vectors=vectors,
            strength=strength,
            moment=moment,
            seen=self.seen + len(patterns),
            noise=self.noise + float(rest.sum()),
        )

    def to_values(self) -> dict[str, Any]:
        """Return plain values, for `scopeside.state.pack`."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """Return what `to_values` gave."""
        # Copies: what is unpacked lies anywhere in memory, and the bits of a product
        # may depend on where.
        copies: dict[str, Any] = {
            k: np.array(v) if isinstance(v, np.ndarray) else v
            for k, v in values.items()
        }
        return cls(**copies)

    def _bettered_pca(self, weighted: FloatArray) -> Self:
        n, m = self.seen, len(weighted)
        fresh = weighted.mean(axis=0)
        between = np.sqrt(n * m / (n + m)) * (self.mean - fresh)
        stack = np.vstack(
            [self.strength[:, None] * self.vectors, weighted - fresh, between]
        )
        values, vectors = _leading(stack, len(self.vectors))
        kept = float((values**2).sum())
        return replace(
            self,
            mean=(n * self.mean + m * fresh) / (n + m),
            vectors=vectors,
            strength=values,
            seen=n + m,
            # Turning the axes keeps the sum of squares: what is not kept is noise.
            noise=self.noise + float((stack**2).sum()) - kept,
        )


def learn(patterns: FloatArray, number: int, method: Method, seed: int) -> Components:
    """Return the components of patterns.

    Parameters
    ----------
    patterns : (n, p) float64, counts ≥ 0 (NMF takes negative ones as 0), n ≥ 1
    number : of components; at most a quarter of the patterns
    method : ``pca`` or ``nmf``
    seed : of what NMF begins with
    """
    mean = np.asarray(patterns.mean(axis=0), np.float64)
    # A pixel that has hardly counted says little: its weight is bounded.
    weight = 1 / np.sqrt(np.maximum(mean, max(1e-3 * mean.mean(), _TINY)))
    number = min(number, max(1, len(patterns) // 4), patterns.shape[1])
    weighted = patterns * weight
    if method == "pca":
        middle = np.asarray(weighted.mean(axis=0), np.float64)
        values, vectors = _leading(weighted - middle, number)
        none = np.empty((0, patterns.shape[1]))
        noise = float(((weighted - middle) ** 2).sum() - (values**2).sum())
        return Components(weight, middle, vectors, values, none, len(patterns), noise)
    positive: FloatArray = np.maximum(weighted, 0)
    loads, vectors = _factors(positive, number, seed)
    return Components(
        weight,
        np.zeros_like(mean),
        vectors,
        loads.T @ loads,
        loads.T @ positive,
        len(patterns),
        float(((positive - loads @ vectors) ** 2).sum()),
    )


def transfer(old: Components, new: Components) -> tuple[FloatArray, FloatArray]:
    """Return T (k, m) and s (m,): loadings · T + s are those of the new components.

    What the old ones could not describe is lost; of NMF negative ones become zero.
    """
    if old.method == "pca":
        # Both bear the same weights: `bettered` keeps them.
        turn = old.shown @ new.shown.T
        return turn, new.shown @ (old.mean - new.mean)
    gram: FloatArray = new.vectors @ new.vectors.T
    gram = gram + _TINY * np.trace(gram) * np.eye(len(gram))
    turn = np.asarray(np.linalg.solve(gram, new.vectors @ old.vectors.T).T, np.float64)
    return turn, np.zeros(len(gram))


def _leading(rows: FloatArray, number: int) -> tuple[FloatArray, FloatArray]:
    """Return the largest singular values (k,), and their vectors (k, p)."""
    # There are fewer rows than pixels: their products are a small matrix.
    squares, turns = np.linalg.eigh(rows @ rows.T)
    values = np.sqrt(np.maximum(squares[::-1][:number], 0))
    vectors = turns[:, ::-1][:, :number].T @ rows / np.maximum(values, _TINY)[:, None]
    # A singular vector has no sign of its own: its largest entry is to be positive.
    largest = np.abs(vectors).argmax(axis=1)
    sign = np.sign(vectors[np.arange(len(vectors)), largest])
    return values, vectors * np.where(sign == 0, 1, sign)[:, None]


def _factors(
    patterns: FloatArray, number: int, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Return loadings (n, k) ≥ 0 and vectors (k, p) ≥ 0 of patterns ≥ 0."""
    rng = np.random.default_rng(seed)
    # It begins with means of a few patterns each: never zero where all have counts.
    some = rng.integers(len(patterns), size=(number, max(1, len(patterns) // 8)))
    vectors = patterns[some].mean(axis=1) + _TINY
    loads = np.maximum(patterns @ np.linalg.pinv(vectors), _TINY)
    for _ in range(SWEEPS):
        vectors = _refined(vectors, loads.T @ loads, loads.T @ patterns, rounds=1)
        loads = _refined(
            loads.T.copy(), vectors @ vectors.T, vectors @ patterns.T, rounds=1
        ).T
    length = np.sqrt((vectors**2).sum(axis=1)) + _TINY
    return loads * length, vectors / length[:, None]


def _refined(
    rows: FloatArray, gram: FloatArray, moment: FloatArray, rounds: int
) -> FloatArray:
    """Return ``rows (k, m)`` ≥ 0 nearer to gram · rows = moment, one row at a time."""
    for _ in range(rounds):
        for k in range(len(rows)):
            if gram[k, k] > _TINY:
                step = (moment[k] - gram[k] @ rows) / gram[k, k]
                rows[k] = np.maximum(rows[k] + step, 0)
    return rows


def _not_negative(gram: FloatArray, found: FloatArray) -> FloatArray:
    """Return the loadings ≥ 0 of least squares, (n, k), for projections (n, k)."""
    k = len(gram)
    lower = np.linalg.cholesky(gram + _TINY * np.trace(gram) * np.eye(k))
    targets = np.array([np.linalg.solve(lower, one) for one in found]).reshape(-1, k)
    return np.array([nnls(lower.T, one)[0] for one in targets]).reshape(-1, k)

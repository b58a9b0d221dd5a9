"""Least squares that a few wrong values do not spoil.

Gauss-Newton steps with Levenberg's damping [1]_; each value has Huber's weight [2]_,
with the scale taken from the median of the residuals.

References
----------
.. [1] K. Levenberg, Quarterly of Applied Mathematics 2, 164 (1944),
   doi:10.1090/qam/10666
.. [2] P. J. Huber, Annals of Mathematical Statistics 35, 73 (1964),
   doi:10.1214/aoms/1177703732
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Model = Callable[[FloatArray], tuple[FloatArray, FloatArray, FloatArray]]
"""Parameters (p,) to values (m,), derivatives (m, p) and standard deviations (m,)."""

HUBER = 1.5
"""Residuals beyond so many standard deviations count with less than their square."""
STEPS = 40
_FLAT = 1e-4
"""Nor after one that has made the sum of squares smaller by so little."""
_STUCK = 1e9
"""Damping beyond which no step leads anywhere."""
_MAD = 0.6745
_SMALL = 0.02
"""Of a standard deviation: no further step is made after so small a one."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What a fit has come to.

    Attributes
    ----------
    values
        (p,) the parameters.
    covariance
        (p, p), for residuals as large as they were found to be.
    scale
        How large they were found to be, in the model's standard deviations.
    converged
        Whether the last step was small.
    """

    values: FloatArray
    covariance: FloatArray
    scale: float
    converged: bool

    @property
    def sigma(self) -> FloatArray:
        """(p,) standard deviations of the parameters."""
        return np.sqrt(np.maximum(np.diagonal(self.covariance), 0))


def fit(
    model: Model, data: FloatArray, start: FloatArray, least: float = 0.0
) -> Fit | None:
    """Fit a model to ``data (m,)``; None where that cannot be done.

    Parameters
    ----------
    start : (p,), the parameters to begin with
    least : the scale that residuals have at least, in the model's standard
        deviations, for the weights of those that are large
    """
    values, damping, converged = start.astype(np.float64), 1e-3, False
    found, slope, sigma = model(values)
    for _ in range(STEPS):
        residual = (data - found) / sigma
        weight = _weights(residual, least)
        cost = float(weight @ residual**2)
        even = slope / sigma[:, None]
        weighted = even * weight[:, None]
        normal, right = weighted.T @ even, weighted.T @ residual
        step = _solved(normal + damping * np.diag(np.diagonal(normal)), right)
        if step is None:
            return None
        tried, tried_slope, tried_sigma = model(values + step)
        # Weights and deviations stay: a step is judged by what it was made for.
        after = float(weight @ ((data - tried) / sigma) ** 2)
        if not after <= cost:
            damping *= 10
            if damping > _STUCK or not math.isfinite(after):
                break
            continue
        values, damping = values + step, max(damping / 10, 1e-9)
        found, slope, sigma = tried, tried_slope, tried_sigma
        largest = float(np.abs(step * np.sqrt(np.diagonal(normal))).max())
        small = largest < _SMALL * math.sqrt(cost / len(data))
        if damping < 1 and (small or after > (1 - _FLAT) * cost):
            converged = True
            break
    return _finished(values, data - found, slope, sigma, least, converged=converged)


def _finished(
    values: FloatArray,
    residual: FloatArray,
    slope: FloatArray,
    sigma: FloatArray,
    least: float,
    *,
    converged: bool,
) -> Fit | None:
    residual, even = residual / sigma, slope / sigma[:, None]
    weight = _weights(residual, least)
    inverse = _solved((even * weight[:, None]).T @ even, np.eye(len(values)))
    free = float(weight.sum()) - len(values)
    if inverse is None or free <= 0:
        return None
    scale = float(weight @ residual**2) / free
    return Fit(values, inverse * scale, math.sqrt(scale), converged)


def _weights(residual: FloatArray, least: float) -> FloatArray:
    """Return Huber's weights, for a scale that is taken from the median."""
    size = np.abs(residual)
    scale = max(float(np.median(size)) / _MAD, least)
    limit = HUBER * max(scale, 1e-12 + 1e-9 * float(size.max(initial=0)))
    weight: FloatArray = np.minimum(1.0, limit / np.maximum(size, limit))
    return weight


def _solved(matrix: FloatArray, right: FloatArray) -> FloatArray | None:
    """Return the solution of a symmetric system, None if it has none to speak of."""
    sizes = np.sqrt(np.diagonal(matrix))
    if not (np.isfinite(matrix).all() and (sizes > 0).all()):
        return None
    try:
        even = np.linalg.solve(matrix / np.outer(sizes, sizes), (right.T / sizes).T)
    except np.linalg.LinAlgError:
        return None
    found: FloatArray = (even.T / sizes).T
    return found if np.isfinite(found).all() else None

"""The kinetics of a transformation, fitted to the share of what it makes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import OptimizeWarning, curve_fit

FloatArray = npt.NDArray[np.float64]

FEWEST = 8
"""Points that a fit of three parameters needs."""
_RISE = 0.2
"""What part of the plateau must be reached before anything can be said."""


@dataclass(frozen=True, slots=True, eq=False)
class Kinetics:
    """A fit of the Avrami-Erofeev equation, or the reason why there is none.

    Attributes
    ----------
    k, n, t0
        Rate constant (1/time), exponent, and incubation time.
    covariance
        (3, 3) of k, n, t0, as the points scatter.
    rms
        Of what is left.
    reason
        Empty if there is a fit.
    """

    k: float = np.nan
    n: float = np.nan
    t0: float = np.nan
    covariance: FloatArray | None = None
    rms: float = np.nan
    reason: str = ""


def avrami(t: FloatArray, k: float, n: float, t0: float) -> FloatArray:
    """Return X(t) = 1 - exp(-(k (t - t0))^n), 0 before t0.

    References
    ----------
    .. [1] M. Avrami, J. Chem. Phys. 7, 1103 (1939), doi:10.1063/1.1750380; 8, 212
       (1940), doi:10.1063/1.1750631
    """
    since = np.maximum(k * (t - t0), 0)
    # Beyond 700 the exponential is zero, and the power might overflow.
    found: FloatArray = -np.expm1(-(np.minimum(since, 1e3) ** n))
    return found


def fit_avrami(t: FloatArray, share: FloatArray, plateau: float = 1.0) -> Kinetics:
    """Fit the Avrami-Erofeev equation to ``share (m,)`` at times ``t (m,)``.

    `plateau` is the share when all is over. Least squares with bounds (k > 0,
    0.2 ≤ n ≤ 8, t0 within the times or as long before them), from several starts, the
    best of which counts; no randomness.
    """
    known = np.isfinite(share)
    t, x = t[known], share[known] / plateau
    if len(t) < FEWEST:
        return Kinetics(reason=f"{len(t)} points; a fit needs {FEWEST}")
    top = float(np.sort(x)[-3:].mean())
    if top < _RISE:
        return Kinetics(
            reason=f"the share has reached {top:.2f} of its plateau; a fit "
            f"needs {_RISE:g}"
        )
    best = Kinetics(reason="the fit does not converge")
    for start in _starts(t, x):
        found = _fit(t, x, start)
        if found is not None and not found.rms >= best.rms:
            best = found
    return best


def _starts(t: FloatArray, x: FloatArray) -> list[tuple[float, float, float]]:
    span = float(t[-1] - t[0])
    reached = float(t[np.argmax(x >= min(0.63, 0.9 * float(x.max())))])
    starts = []
    for t0 in (float(t[0]), float(t[0]) - 0.2 * span, (float(t[0]) + reached) / 2):
        k = 1 / max(reached - t0, 0.01 * span)
        starts += [(k, n, t0) for n in (1.0, 2.5, 4.0)]
    return starts


def _fit(
    t: FloatArray, x: FloatArray, start: tuple[float, float, float]
) -> Kinetics | None:
    span = float(t[-1] - t[0])
    low = (1e-4 / span, 0.2, t[0] - span)
    high = (1e4 / span, 8.0, t[-1])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", OptimizeWarning)
            found, covariance = curve_fit(
                avrami, t, x, start, bounds=(low, high), x_scale=(1 / span, 1.0, span)
            )
    except (RuntimeError, OptimizeWarning):
        return None
    rms = float(np.sqrt(np.mean((avrami(t, *found) - x) ** 2)))
    k, n, t0 = found.tolist()
    return Kinetics(k, n, t0, covariance, rms)

"""The law by which a particle grows or dissolves, from its radius against time.

A radius follows r = (K (t - t0))^n: n = 1 where the surface limits (V^⅓ grows along a
line), ½ where diffusion does (V^⅔), ⅓ in coarsening; the same backwards in time,
r = (K (t1 - t))^n, where it dissolves; or it stays. The beginning t0 is never seen: a
particle is found only when it is large enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from scopeside.errors import ShapeError
from scopeside_processors.kernels.growth import fit_power

FloatArray = npt.NDArray[np.float64]
Law = Literal["plateau", "linear", "parabolic", "cubic", "power"]
LAWS: tuple[Law, ...] = get_args(Law)
EXPONENTS: dict[Law, float] = {"linear": 1.0, "parabolic": 1 / 2, "cubic": 1 / 3}
_UNKNOWNS = {"plateau": 1, "linear": 2, "parabolic": 2, "cubic": 2, "power": 3}

FEWEST = 8
"""Radii below which no law is fitted."""


@dataclass(frozen=True, slots=True)
class LawFit:
    """One law, fitted.

    Attributes
    ----------
    law
        Its name.
    exponent, exponent_sigma
        n, and its standard error where it is fitted (`power`).
    rate, rate_low, rate_high
        K, radius^(1/n) per time, positive, with its confidence interval; 0 where the
        radius stays.
    speed, speed_low, speed_high
        dr/dt at the last time, negative where it dissolves, with its confidence
        interval; NaN where the radius stays.
    start
        t0, or t1 where it dissolves: when the radius is 0.
    radius
        At the last time, by the fit.
    chi_square
        Of what is left.
    probability
        Among the laws.
    """

    law: Law
    exponent: float
    exponent_sigma: float
    rate: float
    rate_low: float
    rate_high: float
    speed: float
    speed_low: float
    speed_high: float
    start: float
    radius: float
    chi_square: float
    probability: float


@dataclass(frozen=True, slots=True)
class Growth:
    """All laws, fitted to the same radii.

    Attributes
    ----------
    laws
        By name; empty if there are too few radii.
    dissolving
        Whether the radius shrinks.
    noise
        Standard deviation of a radius about the best law, in units of its given error.
    """

    laws: dict[Law, LawFit]
    dissolving: bool
    noise: float

    @property
    def best(self) -> LawFit | None:
        """The most probable law; None if there are too few radii."""
        if not self.laws:
            return None
        return max(self.laws.values(), key=lambda fit: fit.probability)


def growth_law(
    t: Any, radius: Any, sigma: Any = None, *, level: float = 0.95
) -> Growth:
    """Fit all laws to radii and say how probable each is.

    Parameters
    ----------
    t : (m,), growing
    radius : (m,)
        NaN where it was not seen.
    sigma : (m,) or number, optional
        Standard errors of the radii. Only how they compare matters: how large they are
        is taken from what is left of the fit.
    level
        Confidence of the rates' intervals.

    Returns
    -------
    Growth
        Without laws where there are fewer than 8 radii.

    Raises
    ------
    ShapeError
        If the arrays differ in length or times do not grow.

    Notes
    -----
    Probabilities are weights by the Bayesian information criterion [1]_. Radii measured
    one after another miss in the same direction; so what is left counts as fewer
    points, by its correlation from one to the next.

    References
    ----------
    .. [1] G. Schwarz, Ann. Stat. 6, 461 (1978), doi:10.1214/aos/1176344136
    """
    times, radii, weights = known_radii(t, radius, sigma)
    if len(times) < FEWEST or times[-1] <= times[0]:
        return Growth({}, dissolving=False, noise=np.nan)
    dissolving = _slope(times, radii, weights) < 0
    side = -1.0 if dissolving else 1.0
    since = times - times[0]
    if dissolving:
        since, radii, weights = since[-1] - since[::-1], radii[::-1], weights[::-1]
    origin = times[-1] if dissolving else times[0]
    fits = {law: _fit(law, since, radii, weights) for law in LAWS}
    points = _independent(fits, since, radii, weights)
    chances = _probabilities({law: fit[0] for law, fit in fits.items()}, points)
    best = max(LAWS, key=lambda law: chances[law])
    variance = fits[best][0] / max(len(since) - _UNKNOWNS[best], 1)
    inflation = variance * len(since) / points
    wide = float(ndtri(0.5 + level / 2))
    laws = {
        law: _described(
            law,
            fits[law],
            float(since[-1]),
            inflation=inflation,
            wide=wide,
            side=(side, float(origin)),
            probability=chances[law],
        )
        for law in LAWS
    }
    return Growth(laws, dissolving, float(np.sqrt(variance)))


_Values = tuple[float, FloatArray, FloatArray]


def known_radii(t: Any, radius: Any, sigma: Any) -> tuple[FloatArray, ...]:
    """Return times, radii and weights, 1/σ², where a radius is known.

    Raises
    ------
    ShapeError
        If the arrays differ in length or times do not grow.
    """
    times, radii = np.asarray(t, np.float64), np.asarray(radius, np.float64)
    if times.ndim != 1 or times.shape != radii.shape:
        raise ShapeError(f"radii at times: {radii.shape} at {times.shape}")
    if (np.diff(times) <= 0).any():
        raise ShapeError("times must grow")
    errors = np.broadcast_to(
        np.asarray(1.0 if sigma is None else sigma, np.float64), times.shape
    )
    known = np.isfinite(radii) & (radii >= 0) & np.isfinite(errors) & (errors > 0)
    return times[known], radii[known], 1 / errors[known] ** 2


def _slope(t: FloatArray, r: FloatArray, weights: FloatArray) -> float:
    middle = np.average(t, weights=weights)
    return float((weights * (t - middle) * r).sum())


def _fit(law: Law, t: FloatArray, r: FloatArray, weights: FloatArray) -> _Values:
    """Return χ², (A, u, n) and their covariance for weights that are 1/σ²."""
    if law == "plateau":
        mean = float(np.average(r, weights=weights))
        covariance = np.zeros((3, 3))
        covariance[0, 0] = 1 / weights.sum()
        left = float((weights * (r - mean) ** 2).sum())
        return left, np.array([mean, np.inf, 0.0]), covariance
    free = law == "power"
    # What dissolves comes backwards, as views: one layout, or it is compiled twice.
    t, r, weights = map(np.ascontiguousarray, (t, r, weights))
    chi, at, covariance = fit_power(t, r, weights, EXPONENTS.get(law, 0.5), free)
    return float(chi), at, covariance


def _model(at: FloatArray, t: FloatArray) -> FloatArray:
    if not np.isfinite(at[1]):
        return np.full(len(t), at[0])
    before = np.exp(at[1])
    found: FloatArray = at[0] * ((t + before) / (t[-1] + before)) ** at[2]
    return found


def _independent(
    fits: dict[Law, _Values], t: FloatArray, r: FloatArray, weights: FloatArray
) -> float:
    """Return how many independent radii these are worth."""
    left = np.sqrt(weights) * (r - _model(fits["power"][1], t))
    square = float((left**2).sum())
    if not square > 1e-18:
        return float(len(t))
    common = float((left[1:] * left[:-1]).sum()) / square
    share = (1 - common) / (1 + common)
    return float(len(t) * min(max(share, 0.05), 1.0))


def _probabilities(chi: dict[Law, float], points: float) -> dict[Law, float]:
    least = 1e-12 + min(chi.values())
    criterion = np.array(
        [
            points * np.log((chi[law] + 1e-12) / least)
            + _UNKNOWNS[law] * np.log(max(points, 2.0))
            for law in LAWS
        ]
    )
    shares = np.exp(-0.5 * (criterion - criterion.min()))
    return dict(zip(LAWS, (shares / shares.sum()).tolist(), strict=True))


def _described(
    law: Law,
    fit: _Values,
    span: float,
    *,
    inflation: float,
    wide: float,
    side: tuple[float, float],
    probability: float,
) -> LawFit:
    """Return what a fit means; `side` is the direction of time, and where t is 0."""
    chi, (top, u, n), covariance = fit
    if law == "plateau":
        stays = (0.0, np.nan, 0.0, 0.0, 0.0, 0.0, np.nan, np.nan, np.nan, float(top))
        return LawFit(law, *stays, chi, probability)
    before = float(np.exp(u))
    whole = span + before
    covariance = covariance * inflation
    log_rate = float(np.log(max(top, 1e-12))) / n - np.log(whole)
    # K = A^(1/n) / (t[-1] + e^u), and its logarithm is nearer to normal.
    slopes = np.array(
        [1 / (n * max(top, 1e-12)), -before / whole, -np.log(max(top, 1e-12)) / n**2]
    )
    less, more = _ends(slopes, covariance, wide)
    low, middle, high = np.exp(
        np.clip(log_rate + np.array([less, 0, more]), -200, 200)
    ).tolist()
    direction, origin = side
    last = before if direction < 0 else whole
    radius = float(top * (last / whole) ** n)
    speed = direction * n * radius / last
    # |dr/dt| = n A last^(n - 1) / (t[-1] + e^u)^n, and likewise its logarithm.
    moves = 1.0 if direction < 0 else before / whole  # of log last with u
    turn = (n - 1) * moves - n * before / whole
    slopes = np.array([1 / max(top, 1e-12), turn, 1 / n + np.log(last / whole)])
    ends = [speed * math.exp(by) for by in _ends(slopes, covariance, wide)]
    return LawFit(
        law,
        float(n),
        float(np.sqrt(covariance[2, 2])) if law == "power" else 0.0,
        middle,
        low,
        high,
        float(speed),
        float(min(ends)),
        float(max(ends)),
        float(origin - direction * before),
        radius,
        chi,
        probability,
    )


def _ends(
    slopes: FloatArray, covariance: FloatArray, wide: float
) -> tuple[float, float]:
    """Return by how much the logarithm of a value may be less and more."""
    spread = math.sqrt(max(float(slopes @ covariance @ slopes), 0.0))
    return max(-wide * spread, -200.0), min(wide * spread, 200.0)

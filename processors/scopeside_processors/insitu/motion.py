"""How a particle moves: freely, fractionally, with rests, in a cage, or one way.

Each kind is a law for the steps of a track with localisation errors and blur. Their
largest likelihoods say how probable each is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from scopeside_processors.insitu.diffusion import blur_coefficient
from scopeside_processors.insitu.motion_weights import WEIGHTS
from scopeside_processors.insitu.steps import Steps, steps_of
from scopeside_processors.kernels.increments import POWER, SPRING, search
from scopeside_processors.kernels.resting import search_rest

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Kind = Literal["brownian", "fractional", "ctrw", "confined", "directed", "immobile"]
KINDS: tuple[Kind, ...] = get_args(Kind)

FEWEST = 10
"""Steps below which nothing is said of the kind."""
_ALPHA_RANGE = (0.05, 1.95)
_RATE_RANGE = (0.01, 4.0)
_BESIDE = 0.1
"""How far beside α the fall of the likelihood is looked at."""
_ALPHAS = np.array([0.2, 0.5, 0.8, 1.0, 1.3, 1.7])
_RATES = np.geomspace(0.03, 2.0, 6)
_FREE = np.ones(1)


Fit = tuple[float, float, float, float]
"""Log-likelihood, shape, noise (in units of D times a frame), D (px²/frame)."""


@dataclass(frozen=True, slots=True, eq=False)
class Fits:
    """The best fit of each kind.

    Attributes
    ----------
    brownian, fractional, confined, directed
        Shape is the exponent, of `confined` the relaxation rate, 1/frame.
    ctrw
        Log-likelihood alone.
    steps
        How many they stand on.
    """

    brownian: Fit
    fractional: Fit
    ctrw: float
    confined: Fit
    directed: Fit
    steps: int

    @property
    def gains(self) -> FloatArray:
        """(4,) log-likelihoods of the other kinds less that of Brownian motion."""
        others = self.fractional[0], self.ctrw, self.confined[0], self.directed[0]
        return np.array(others) - self.brownian[0]

    @property
    def radius(self) -> float:
        """Of the disk in which places scatter as in the well that was fitted, px."""
        return 2 * float(np.sqrt(self.confined[3] / self.confined[1]))


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """What is known of the way a particle moves.

    Attributes
    ----------
    alpha, alpha_sigma
        Exponent of the mean square displacement, 2 K t^α, and its standard error.
    coefficient
        K, px²/frame^α along a coordinate: D where α is 1.
    localisation
        Standard deviation of the localisation error, px, from the same fit.
    radius
        Of the disk that a confined particle keeps to, px; NaN where it is free.
    velocity
        Speed of a directed one, px/frame; NaN where it is not.
    probabilities
        By kind; they add up to 1. NaN if there are too few steps.
    steps
        How many it stands on.
    """

    alpha: float
    alpha_sigma: float
    coefficient: float
    localisation: float
    radius: float
    velocity: float
    probabilities: dict[Kind, float]
    steps: int

    @property
    def kind(self) -> Kind | None:
        """The most probable one; None if there are too few steps."""
        if np.isnan(self.probabilities["brownian"]):
            return None
        return max(KINDS, key=lambda kind: self.probabilities[kind])


def motion(trajectory: Any, *, frames: Any = None, exposure: float = 1.0) -> Motion:
    """Return how a particle moves, with the probability of each kind.

    Parameters
    ----------
    trajectory : (n, 2), px
        A row of NaN where it was not seen. Runs between gaps count as independent.
    frames : (n,) integers, optional
        Numbers of the frames, where some are missing.
    exposure
        Part of a frame's time for which the shutter is open.

    Raises
    ------
    ShapeError
        If it is no trajectory.
    ConfigError
        If `exposure` is not between 0 and 1.
    """
    blur_coefficient(exposure)
    steps = steps_of(trajectory, frames)
    columns, runs = steps.runs()
    if len(columns) < FEWEST or not columns[:, :2].any():
        return _unknown(len(columns))
    fits = Fits(*_fits(steps, columns, runs, exposure))
    probabilities = probabilities_of(fits)
    kind = max(KINDS, key=lambda kind: probabilities[kind])
    moved = steps.positions[-1] - steps.positions[0]
    speed = float(np.hypot(*moved)) / int(steps.frames[-1] - steps.frames[0])
    _, alpha, noise, scale = fits.fractional
    return Motion(
        alpha=alpha,
        alpha_sigma=_alpha_sigma(columns, runs, exposure, fits.fractional),
        coefficient=scale,
        localisation=float(np.sqrt(noise * scale)),
        radius=fits.radius if kind == "confined" else np.nan,
        velocity=speed if kind == "directed" else np.nan,
        probabilities=probabilities,
        steps=len(columns),
    )


def fits_of(trajectory: Any, *, frames: Any = None, exposure: float = 1.0) -> Fits:
    """Return the fit of each kind; parameters as of `motion`, of 10 steps or more."""
    steps = steps_of(trajectory, frames)
    return Fits(*_fits(steps, *steps.runs(), exposure))


def probabilities_of(fits: Fits) -> dict[Kind, float]:
    """Return the probability of each kind, all being equally likely beforehand.

    The Bayesian criterion prefers Brownian motion by far too much in short tracks; so
    a multinomial logistic regression on the same likelihoods takes its place
    (`bench/motion_weights.py`).
    """
    scores = features(fits) @ np.array(WEIGHTS)
    shares = np.exp(scores - scores.max())
    return dict(zip(KINDS, (shares / shares.sum()).tolist(), strict=True))


def features(fits: Fits) -> FloatArray:
    """Return what the regression sees: (16,) float64."""
    gain = np.clip(fits.gains, -60, 60)
    alpha = fits.fractional[1] - 1
    rest = np.log(0.1 + min(fits.brownian[2], 1e3))
    noise, rate = min(fits.fractional[2], 25.0), fits.confined[1]
    return np.concatenate(
        [
            [1.0, np.log(fits.steps / 100)],
            gain / 10,
            np.sign(gain) * np.log1p(np.abs(gain)),
            [alpha, max(alpha, 0.0), np.sqrt(noise), np.log(rate)],
            [rest, max(rest, 0.0)],
        ]
    )


def _fits(
    steps: Steps, columns: FloatArray, runs: IntArray, exposure: float
) -> tuple[Fit, Fit, float, Fit, Fit, int]:
    """Return what `Fits` holds."""

    def fit(
        model: int, grid: FloatArray, low: float, high: float, *, directed: bool = False
    ) -> Fit:
        found: Fit = search(columns, runs, model, exposure, directed, grid, low, high)
        return found

    free = fit(POWER, _FREE, 1.0, 1.0)
    square = float((columns[:, :2] ** 2).mean())
    error = free[2] * free[3]
    rests = search_rest(steps.positions, steps.frames, square, error)[0]
    return (
        free,
        fit(POWER, _ALPHAS, *_ALPHA_RANGE),
        float(rests),
        fit(SPRING, _RATES, *_RATE_RANGE),
        fit(POWER, _FREE, 1.0, 1.0, directed=True),
        len(columns),
    )


def _alpha_sigma(
    columns: FloatArray, runs: IntArray, exposure: float, best: Fit
) -> float:
    """Return the standard error of α by how fast the likelihood falls beside it."""
    low, high = _ALPHA_RANGE
    beside = [max(best[1] - _BESIDE, low), min(best[1] + _BESIDE, high)]
    falls = []
    for alpha in beside:
        grid = np.array([alpha])
        there = search(columns, runs, POWER, exposure, False, grid, alpha, alpha)
        distance = alpha - best[1]
        if distance:
            falls.append(2 * max(best[0] - there[0], 0.0) / distance**2)
    curvature = sum(falls) / len(falls)
    return float(min(curvature**-0.5, high - low)) if curvature > 0 else high - low


def _unknown(steps: int) -> Motion:
    nothing = dict.fromkeys(KINDS, np.nan)
    values = dict.fromkeys(
        ("alpha", "alpha_sigma", "coefficient", "localisation", "radius", "velocity"),
        np.nan,
    )
    return Motion(**values, probabilities=nothing, steps=steps)

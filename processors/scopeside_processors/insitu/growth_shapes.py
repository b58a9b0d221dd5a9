"""How a place darkens with time: growth, a sudden step, an embryo; which fits best.

Shapes are fitted to the filtered signal of one place, by linear least squares for the
height, with a baseline that is known as well as the membrane's texture allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_TAU = (4.0, 8.0, 16.0, 32.0)
"""Frames from birth to the smallest radius that counts."""
_EXPONENTS = (1 / 3, 1 / 2, 1.0)
_LARGEST = (1.3, 3.0)
"""Radii at which growth ends, in smallest radii that count."""
_LIVES = (20.0, 40.0, 80.0)
"""Frames from birth to end of an embryo."""
_BEFORE = 24
"""Births so many frames before the first one are tried."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What fits the signal of a place; all as gains in log likelihood over nothing.

    Attributes
    ----------
    constant, growth, step, embryo
        Of the best shape of each kind.
    grows
        Mean likelihood of growth over that of a step, logarithm.
    mean_growth
        Mean likelihood of growth, logarithm.
    age
        Frames since birth, mean over growth shapes.
    tau
        Frames from birth to the smallest radius, likewise.
    """

    constant: float
    growth: float
    step: float
    embryo: float
    grows: float
    mean_growth: float
    age: float
    tau: float


@dataclass(frozen=True, slots=True)
class _Bank:
    shapes: Array
    sums: Array
    squares: Array
    about: Array


def fit(signal: Array, texture: float) -> Fit:
    """Fit all shapes to ``signal (n,)``, in standard deviations of its noise.

    `texture` is the standard deviation of the baseline from place to place.
    """
    growth, step, embryo = _banks(len(signal))
    prior = 1.0 / max(texture, 1e-3) ** 2
    constant = 0.5 * float(signal.sum()) ** 2 / (len(signal) + prior)
    gains = [constant + _gain(bank, signal, prior) for bank in (growth, step, embryo)]
    weights = np.exp(gains[0] - gains[0].max())
    weights /= weights.sum()
    birth, tau = weights @ growth.about
    return Fit(
        constant=constant,
        growth=float(gains[0].max()),
        step=float(gains[1].max()),
        embryo=float(gains[2].max()),
        grows=_log_mean(gains[0]) - _log_mean(gains[1]),
        mean_growth=_log_mean(gains[0]),
        age=len(signal) - 1 - float(birth),
        tau=float(tau),
    )


def _gain(bank: _Bank, signal: Array, prior: float) -> Array:
    """Return what each shape gains in log likelihood, where its height is not < 0."""
    n = len(signal)
    mean = float(signal.sum()) / (n + prior)
    overlap = np.maximum(bank.shapes @ (signal - mean).astype(np.float32), 0.0)
    power = np.maximum(bank.squares - bank.sums**2 / (n + prior), 1e-6)
    gain: Array = 0.5 * overlap.astype(np.float64) ** 2 / power
    return gain


def _log_mean(values: Array) -> float:
    top = float(values.max())
    return top + float(np.log(np.mean(np.exp(values - top))))


def response(radius: Array) -> Array:
    """Return the filtered signal of a sphere; radii in smallest radii that count.

    A sphere's shadow is about a Gaussian with the variance r²/5, its mass goes as r³;
    the filter's width is 0.7 of the smallest radius.
    """
    answer: Array = radius**3 / (0.49 + 0.2 * radius**2)
    return answer


@lru_cache(maxsize=4)
def _banks(n: int) -> tuple[_Bank, _Bank, _Bank]:
    time = np.arange(n)
    growth, embryos = [], []
    for birth in range(-_BEFORE, n - 3, 3):
        age = np.maximum(time - birth, 0)
        for tau in _TAU:
            for exponent in _EXPONENTS:
                free = (age / tau) ** exponent
                growth += [(np.minimum(free, end), birth, tau) for end in _LARGEST]
        for life in _LIVES:
            part = np.clip(age / life, 0, 1)
            embryos.append((0.6 * np.sqrt(4 * part * (1 - part)), birth, life))
    steps = [(np.where(time >= at, 2.0, 0.0), at, 0.0) for at in range(2, n - 2)]
    return _bank(growth), _bank(steps), _bank(embryos)


def _bank(kinds: Sequence[tuple[Array, float, float]]) -> _Bank:
    shapes = response(np.array([radius for radius, _, _ in kinds]))
    shapes = (shapes / np.maximum(shapes.max(axis=1), 1e-9)[:, None]).astype(np.float32)
    about = np.array([(birth, tau) for _, birth, tau in kinds])
    return _Bank(shapes, shapes.sum(axis=1), (shapes**2).sum(axis=1), about)

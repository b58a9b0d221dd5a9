"""The distribution of radii of an ensemble, against the laws of coarsening.

With u = r / ⟨r⟩ ripening tends to one shape whatever it began with: that of Lifshitz,
Slyozov and Wagner where diffusion limits, Wagner's where the reaction at the surface
does. Coalescence and growth by chance make radii log-normal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

FloatArray = npt.NDArray[np.float64]
Shape = Literal["diffusion", "reaction", "lognormal"]
SHAPES: tuple[Shape, ...] = get_args(Shape)
_UNKNOWNS = {"diffusion": 1, "reaction": 1, "lognormal": 2}

FEWEST = 12
"""Radii below which nothing is said of their distribution."""
_GRID = 2000
_DRAWS = 200
"""Ensembles that are drawn for the test of a fit."""


@dataclass(frozen=True, slots=True)
class ShapeFit:
    """One shape of the distribution, fitted.

    Attributes
    ----------
    shape
        Its name.
    scale, width
        Mean radius; of the log-normal one the median, and the standard deviation of
        log r (NaN of the others, which have none).
    log_likelihood
        Of the radii.
    distance, p_value
        Largest distance of the cumulative distributions (Kolmogorov, Smirnov), and how
        often one as large would be seen if the shape were right.
    probability
        Among the shapes.
    """

    shape: Shape
    scale: float
    width: float
    log_likelihood: float
    distance: float
    p_value: float
    probability: float


def coarsening_density(u: Any, shape: Literal["diffusion", "reaction"]) -> FloatArray:
    """Return the density of u = r / ⟨r⟩ in late coarsening.

    References
    ----------
    .. [1] I. M. Lifshitz, V. V. Slyozov, J. Phys. Chem. Solids 19, 35 (1961),
       doi:10.1016/0022-3697(61)90054-3
    .. [2] C. Wagner, Z. Elektrochem. 65, 581 (1961),
       doi:10.1002/bbpc.19610650704
    """
    u = np.asarray(u, np.float64)
    if shape == "diffusion":
        top = 1.5
        inside = (u > 0) & (u < top)
        v = np.where(inside, u, 0.5)
        found = 4 / 9 * v**2 * (3 / (3 + v)) ** (7 / 3)
        found = found * (top / (top - v)) ** (11 / 3) * np.exp(-v / (top - v))
    else:
        # In units of the critical radius, whose 8/9 is the mean.
        v = u * 8 / 9
        inside = (v > 0) & (v < 2)
        v = np.where(inside, v, 0.5)
        found = 64 / 3 * v / (2 - v) ** 5 * np.exp(-3 * v / (2 - v))
    return np.where(inside, found, 0.0)


def size_distribution(radii: Any) -> dict[Shape, ShapeFit]:
    """Fit all shapes to radii and say how well each does.

    Parameters
    ----------
    radii : (n,)
        Of an ensemble at one time; what is not positive is left out.

    Returns
    -------
    By name; empty if there are fewer than 12.

    Notes
    -----
    The p-value is that of ensembles drawn from the fitted shape and fitted themselves
    [1]_, always with the same random numbers. Probabilities are weights by the Bayesian
    information criterion.

    References
    ----------
    .. [1] H. W. Lilliefors, J. Am. Stat. Assoc. 62, 399 (1967),
       doi:10.1080/01621459.1967.10482916
    """
    found = np.asarray(radii, np.float64)
    found = np.sort(found[np.isfinite(found) & (found > 0)])
    if len(found) < FEWEST or found[0] == found[-1]:
        return {}
    fits = {shape: _fit(found, shape) for shape in SHAPES}
    criterion = np.array(
        [_UNKNOWNS[shape] * np.log(len(found)) - 2 * fits[shape][2] for shape in SHAPES]
    )
    shares = np.exp(-0.5 * (criterion - criterion.min()))
    shares /= shares.sum()
    return {
        shape: ShapeFit(shape, *fits[shape], *_test(found, shape), float(share))
        for shape, share in zip(SHAPES, shares, strict=True)
    }


def _fit(radii: FloatArray, shape: Shape) -> tuple[float, float, float]:
    """Return scale, width and log-likelihood."""
    if shape == "lognormal":
        logs = np.log(radii)
        middle, width = float(logs.mean()), float(logs.std())
        likely = -len(logs) * (np.log(width) + 0.5 * np.log(2 * np.pi) + 0.5)
        return float(np.exp(middle)), width, float(likely - logs.sum())
    # A hard upper end: the scale lies where the largest radius is still possible.
    ends = {"diffusion": 1.5, "reaction": 9 / 4}
    least = float(radii[-1]) / ends[shape]
    scales = np.geomspace(
        max(least * 1.002, radii.mean() * 0.7), radii.mean() * 1.6, 240
    )
    density = coarsening_density(radii[None] / scales[:, None], shape)
    likely = np.log(np.maximum(density, 1e-30)).sum(axis=1) - len(radii) * np.log(
        scales
    )
    best = int(np.argmax(likely))
    return float(scales[best]), np.nan, float(likely[best])


def _test(radii: FloatArray, shape: Shape) -> tuple[float, float]:
    """Return the distance from a shape, and its p-value."""
    rng = np.random.default_rng(1961)
    n = len(radii)
    if shape == "lognormal":
        drawn = np.sort(rng.normal(size=(_DRAWS, n)), axis=1)
        logs = np.log(radii)[None]
        standard = [(x - x.mean(1)[:, None]) / x.std(1)[:, None] for x in (logs, drawn)]
        own, others = (_distance(_normal(x)) for x in standard)
    else:
        u, cumulative = _cumulative(shape)
        drawn = np.sort(np.interp(rng.uniform(size=(_DRAWS, n)), cumulative, u), axis=1)
        own, others = (
            _distance(np.interp(x / x.mean(axis=1)[:, None], u, cumulative))
            for x in (radii[None], drawn)
        )
    return float(own[0]), float((1 + (others >= own[0]).sum()) / (1 + _DRAWS))


def _normal(x: FloatArray) -> FloatArray:
    found: FloatArray = ndtr(x)
    return found


def _cumulative(
    shape: Literal["diffusion", "reaction"],
) -> tuple[FloatArray, FloatArray]:
    u = np.linspace(0, 2.25, _GRID)
    density = coarsening_density(u, shape)
    whole = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return u, whole / whole[-1]


def _distance(cumulative: FloatArray) -> FloatArray:
    """Return how far sorted values (m, n) are from even, (m,)."""
    n = cumulative.shape[1]
    steps = np.arange(n + 1) / n
    above = (steps[1:] - cumulative).max(axis=1)
    below = (cumulative - steps[:-1]).max(axis=1)
    found: FloatArray = np.maximum(above, below)
    return found

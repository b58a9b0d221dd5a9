"""The diffusion coefficient of a particle, from a track with localisation errors.

A position in a frame is the mean over the exposure, with an error of its own. Both
change what steps look like: with the blur coefficient R (1/6 for a shutter that is open
all the time) a step over m frames has the variance 2 D Δt (m - 2R) + 2σ² along each
coordinate, and 2 R D Δt - σ² in common with the next one [1]_.

References
----------
.. [1] A. J. Berglund, Phys. Rev. E 82, 011917 (2010), doi:10.1103/PhysRevE.82.011917
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from scopeside.errors import ConfigError
from scopeside_processors.insitu.msd import fit_of_msd
from scopeside_processors.insitu.steps import Steps, steps_of
from scopeside_processors.kernels.brownian import fixed_variance, free_variance

FloatArray = npt.NDArray[np.float64]
Method = Literal["likelihood", "covariance", "msd"]

FEWEST = 3
"""Steps that two unknowns need."""


class Diffusion(float):
    """A diffusion coefficient, as a number that also says how sure it is.

    Attributes
    ----------
    sigma
        Standard error, of the same unit; by the Cramér-Rao bound at what was found.
    interval
        Lower and upper end of the confidence interval.
    localisation
        Standard deviation of the localisation error along a coordinate, px.
    steps
        How many it stands on.
    method
        ``likelihood``, ``covariance`` or ``msd``.
    """

    sigma: float
    interval: tuple[float, float]
    localisation: float
    steps: int
    method: Method

    @classmethod
    def of(
        cls,
        value: float,
        *,
        sigma: float,
        interval: tuple[float, float],
        localisation: float,
        steps: int,
        method: Method,
    ) -> Self:
        """Return a number with what belongs to it."""
        self = cls(value)
        self.sigma, self.interval, self.localisation = sigma, interval, localisation
        self.steps, self.method = steps, method
        return self


def blur_coefficient(exposure: float) -> float:
    """Return R of an even exposure over this part of the frame's time.

    Raises
    ------
    ConfigError
        If it is not between 0 and 1.
    """
    if not 0 <= exposure <= 1:
        raise ConfigError(f"exposure is a part of the frame's time, not {exposure}")
    return exposure / 6


def diffusion(
    trajectory: Any,
    dt: float = 1.0,
    *,
    frames: Any = None,
    exposure: float = 1.0,
    method: Method = "likelihood",
    localisation: float | None = None,
    level: float = 0.95,
) -> Diffusion:
    """Return the diffusion coefficient of a track.

    Parameters
    ----------
    trajectory : (n, 2), px
        Of one particle, without drift; a row of NaN where it was not seen.
    dt
        Time from frame to frame.
    frames : (n,) integers, optional
        Numbers of the frames, where some are missing.
    exposure
        Part of `dt` for which the shutter is open.
    method
        ``likelihood``: the most likely one [1]_; ``covariance``: of steps that follow
        each other, in closed form [2]_; ``msd``: a line through the mean square
        displacements over the best number of lags [3]_. None of them forces σ² to be
        positive, which would make D too small where σ is.
    localisation
        Standard deviation of the localisation error along a coordinate, px, where it
        is known; only the likelihood makes use of it.
    level
        Confidence of the interval.

    Returns
    -------
    Diffusion
        px² per unit of `dt`; NaN if there are fewer than 3 steps.

    Raises
    ------
    ShapeError
        If it is no trajectory.
    ConfigError
        If `dt` is not positive or `exposure` not between 0 and 1.

    References
    ----------
    .. [1] A. J. Berglund, Phys. Rev. E 82, 011917 (2010),
       doi:10.1103/PhysRevE.82.011917
    .. [2] C. L. Vestergaard, P. C. Blainey, H. Flyvbjerg, Phys. Rev. E 89, 022726
       (2014), doi:10.1103/PhysRevE.89.022726
    .. [3] X. Michalet, A. J. Berglund, Phys. Rev. E 85, 061916 (2012),
       doi:10.1103/PhysRevE.85.061916
    """
    if not 0 < dt < np.inf:
        raise ConfigError(f"dt is a time from frame to frame, not {dt}")
    blur = blur_coefficient(exposure)
    steps = steps_of(trajectory, frames)
    if len(steps) < FEWEST:
        return Diffusion.of(
            np.nan,
            sigma=np.nan,
            interval=(np.nan, np.nan),
            localisation=np.nan,
            steps=len(steps),
            method=method,
        )
    known = localisation is not None and method == "likelihood"
    if known:
        d, variance = _with_known_error(steps, blur, float(localisation or 0))
    else:
        d, variance = _ESTIMATES[method](steps, blur)
    spread = bound(steps, max(d, 0.0), max(variance, 0.0), blur, known=known)
    return Diffusion.of(
        d / dt,
        sigma=spread / dt,
        interval=_interval(d / dt, spread / dt, level),
        localisation=float(np.sqrt(max(variance, 0.0))),
        steps=len(steps),
        method=method,
    )


def bound(
    steps: Steps, d: float, variance: float, blur: float, *, known: bool = False
) -> float:
    """Return the Cramér-Rao bound of D's standard error.

    Parameters
    ----------
    d, variance
        D (px²/frame) and σ² (px²) of the particle.
    known
        Whether σ² was known, and not found from the same steps.

    Notes
    -----
    In the sine basis the covariance is diagonal [1]_; with gaps, that of steps of the
    mean length.

    References
    ----------
    .. [1] C. L. Vestergaard, P. C. Blainey, H. Flyvbjerg, Phys. Rev. E 89, 022726
       (2014), doi:10.1103/PhysRevE.89.022726, section III
    """
    n = len(steps)
    wave = 1 - np.cos(np.pi * np.arange(1, n + 1) / (n + 1))
    by_d = 2 * float(steps.lengths.mean()) - 4 * blur * wave
    by_variance = 2 * wave
    power = by_d * d + by_variance * variance
    if not (power > 0).all():
        return 0.0
    # Two coordinates tell the same, so the half of each sum is doubled.
    dd, vv, dv = (
        float((a * b / power**2).sum())
        for a, b in ((by_d, by_d), (by_variance, by_variance), (by_d, by_variance))
    )
    return float(np.sqrt(1 / dd if known else vv / (dd * vv - dv * dv)))


def _interval(value: float, sigma: float, level: float) -> tuple[float, float]:
    """Return an interval in log D, which is nearer to normal, or in D near rest."""
    wide = float(ndtri(0.5 + level / 2)) * sigma
    if value <= 0:
        return 0.0, wide
    factor = float(np.exp(min(wide / value, 50.0)))
    return value / factor, min(value * factor, value + 2 * wide)


def _by_covariance(steps: Steps, blur: float) -> tuple[float, float]:
    """Return D and σ² per frame from neighbouring steps, without bias."""
    moves, lengths = steps.all, steps.lengths
    time = float(lengths.sum())
    square = float((moves**2).sum()) / 2
    common = float((moves[1:] * moves[:-1]).sum()) / 2 / (len(moves) - 1)
    # Σ s² = 2 D (time - 2 R n) + 2 n σ² and s s' = 2 R D - σ².
    d = (square + 2 * len(moves) * common) / (2 * time)
    return d, 2 * blur * d - common


def _most_likely(steps: Steps, blur: float) -> tuple[float, float]:
    """Return the most likely D (px²/frame) and σ² (px²)."""
    lengths = steps.lengths.astype(np.float64)
    d, variance = free_variance(steps.all, lengths, blur)
    return float(d), float(variance)


def _with_known_error(steps: Steps, blur: float, error: float) -> tuple[float, float]:
    """Return the most likely D (px²/frame) where σ is known, and σ²."""
    lengths = steps.lengths.astype(np.float64)
    return float(fixed_variance(steps.all, lengths, blur, error**2)), error**2


_ESTIMATES: Mapping[Method, Callable[[Steps, float], tuple[float, float]]] = {
    "likelihood": _most_likely,
    "covariance": _by_covariance,
    "msd": fit_of_msd,
}

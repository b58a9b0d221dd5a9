"""Peaks of a profile: position, height and width, by least squares."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.optimize import OptimizeWarning, curve_fit

from scopeside import params
from scopeside_processors.stem.references import gaussian

FloatArray = npt.NDArray[np.float64]
Positive = Annotated[float, Field(gt=0)]

COLUMNS = ("position", "height", "fwhm", "eta")


class PeakParams(params.Params):
    """The rings to fit, all together, with a polynomial under them."""

    positions: Annotated[tuple[Positive, ...], Field(min_length=1, max_length=32)]
    """Where the rings are about, in `units`; each may move by `width`."""
    width: Positive
    """Full width at half height that a ring has about, in `units`; the fit may make it
    5 times smaller or larger."""
    shape: Literal["gaussian", "pseudo-voigt"] = "gaussian"
    """The pseudo-Voigt is eta times a Lorentzian and 1 - eta times a Gaussian of the
    same width."""
    degree: int = Field(1, ge=0, le=6)
    """Of the polynomial under the rings."""
    reach: Positive = 3.0
    """Points up to so many widths from a ring are fitted."""


@dataclass(frozen=True, slots=True, eq=False)
class PeakFit:
    """Fitted peaks, or the reason why there are none.

    Attributes
    ----------
    peaks, errors
        (rings, 4) float64: position, height, full width at half height, eta (0 of
        Gaussians); and their standard errors.
    background
        (degree + 1,) coefficients of Legendre polynomials over the points fitted.
    reason
        Empty if there is a fit.
    """

    peaks: FloatArray | None = None
    errors: FloatArray | None = None
    background: FloatArray | None = None
    reason: str = ""


def pseudo_voigt(
    r: FloatArray, position: float, height: float, fwhm: float, eta: float
) -> FloatArray:
    """Return eta · Lorentzian + (1 - eta) · Gaussian of one height and width."""
    lorentzian = height / (1 + 4 * ((r - position) / fwhm) ** 2)
    found: FloatArray = eta * lorentzian + (1 - eta) * gaussian(
        r, position, height, fwhm
    )
    return found


def fit_peaks(
    r: FloatArray, profile: FloatArray, error: FloatArray, wanted: PeakParams
) -> PeakFit:
    """Fit rings to a profile.

    Parameters
    ----------
    r, profile, error : (bins,) middles of the bins, counts per pixel and their standard
        error; bins where the profile is NaN are left out
    """
    rings, voigt = len(wanted.positions), wanted.shape == "pseudo-voigt"
    near = (
        np.abs(r[:, None] - np.array(wanted.positions)) <= wanted.reach * wanted.width
    )
    used = near.any(axis=1) & np.isfinite(profile)
    each = 4 if voigt else 3
    if np.count_nonzero(used) <= each * rings + wanted.degree + 1:
        return PeakFit(reason="fewer points near the rings than parameters")
    x, y, sigma = r[used], profile[used], error[used]
    scaled = 2 * (x - x[0]) / (x[-1] - x[0]) - 1
    under = np.polynomial.legendre.legvander(scaled, wanted.degree)

    def model(_x: FloatArray, *given: float) -> FloatArray:
        numbers = np.array(given[: each * rings]).reshape(rings, each)
        total: FloatArray = under @ np.array(given[each * rings :])
        for one in numbers:
            total = total + (pseudo_voigt if voigt else gaussian)(x, *one)
        return total

    start, low, high = _bounds(x, y, wanted, each)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", OptimizeWarning)
            found, covariance = curve_fit(
                model, x, y, start, sigma, absolute_sigma=True, bounds=(low, high)
            )
    except (RuntimeError, OptimizeWarning) as failure:
        return PeakFit(reason=f"the fit of the rings fails: {failure}"[:120])
    spread = np.sqrt(np.diag(covariance))
    table, errors = np.zeros((rings, 4)), np.zeros((rings, 4))
    table[:, :each] = found[: each * rings].reshape(rings, each)
    errors[:, :each] = spread[: each * rings].reshape(rings, each)
    return PeakFit(table, errors, found[each * rings :])


def _bounds(
    x: FloatArray, y: FloatArray, wanted: PeakParams, each: int
) -> tuple[list[float], list[float], list[float]]:
    """Return where the fit begins, and between what it stays."""
    base, top = float(y.min()), max(float(np.ptp(y)), 1e-12)
    start: list[float] = []
    low: list[float] = []
    high: list[float] = []
    for at in wanted.positions:
        height = max(float(np.interp(at, x, y)) - base, 0.05 * top)
        start += [at, height, wanted.width, 0.5][:each]
        low += [at - wanted.width, 0.0, wanted.width / 5, 0.0][:each]
        high += [at + wanted.width, np.inf, 5 * wanted.width, 1.0][:each]
    start += [base] + [0.0] * wanted.degree
    low += [-np.inf] * (wanted.degree + 1)
    high += [np.inf] * (wanted.degree + 1)
    return start, low, high

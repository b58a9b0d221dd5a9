"""Descan: how the undiffracted beam wanders over the camera while the scan runs.

The pivot of the beam and that of its descan never match quite. The beam then moves on
the camera in proportion to the probe's position: its centre is a plane over the scan.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scopeside_processors.stem.least_squares import Fit, fit

FloatArray = npt.NDArray[np.float64]

FEWEST = 4
"""Places in the scan where the centre is known, at least."""
SIGNIFICANT = 3.0
"""A slope below so many standard deviations is none: a plane is followed far beyond the
first rows, and what is chance there would become pixels elsewhere."""

TOO_FEW = f"the beam was found at fewer than {FEWEST} places of the scan"


@dataclass(frozen=True, slots=True)
class Descan:
    """Where the undiffracted beam is at each position of a scan.

    Attributes
    ----------
    planes
        (2, 3): [y at position (0, 0), per row, per column], then of x; pixels. A slope
        that is not significant is 0.
    sigma
        (2, 3) standard deviations; infinite where a slope could not be measured.
    reason
        Why there is none, else empty; the rest then means nothing.
    """

    planes: FloatArray
    sigma: FloatArray
    reason: str = ""


def fit_descan(places: FloatArray, centres: FloatArray, sigma: FloatArray) -> Descan:
    """Fit planes to the beam's centre at places of a scan.

    Parameters
    ----------
    places : (m, 2), row and column of the scan
    centres : (m, 2), pixels; places where one of them is NaN do not count
    sigma : (m, 2), standard deviations, pixels

    Returns
    -------
    Descan
        A few places where the centre is wrong do not matter (see `least_squares`).
    """
    known = np.isfinite(centres).all(axis=1) & (sigma > 0).all(axis=1)
    nothing = np.full((2, 3), np.nan)
    if known.sum() < FEWEST:
        return Descan(nothing, nothing, TOO_FEW)
    places, centres, sigma = places[known], centres[known], sigma[known]
    planes, errors = np.zeros((2, 3)), np.full((2, 3), math.inf)
    for axis in (0, 1):
        slopes = [k for k in (0, 1) if np.ptp(places[:, k]) > 0]
        found = _plane(places, centres[:, axis], sigma[:, axis], slopes)
        if found is not None:
            errors[axis, [0, *(1 + k for k in slopes)]] = found.sigma
            slopes = [
                k
                for n, k in enumerate(slopes, 1)
                if abs(found.values[n]) > SIGNIFICANT * found.sigma[n]
            ]
            found = _plane(places, centres[:, axis], sigma[:, axis], slopes)
        if found is None:
            return Descan(nothing, nothing, TOO_FEW)
        planes[axis, [0, *(1 + k for k in slopes)]] = found.values
    return Descan(planes, errors)


def _plane(
    places: FloatArray, centre: FloatArray, sigma: FloatArray, slopes: list[int]
) -> Fit | None:
    """Fit a constant, and a slope along each of the axes `slopes`."""
    terms = np.column_stack([np.ones(len(places)), places[:, slopes]])

    def model(p: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        return terms @ p, terms, sigma

    start = np.zeros(terms.shape[1])
    start[0] = np.median(centre)
    return fit(model, centre, start, least=1.0)

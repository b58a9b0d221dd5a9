"""How the scan is turned, and mirrored, against the camera.

A beam that a potential deflects points along its gradient, which has no curl. In the
scan's own axes the deflections therefore have the least curl. With c and d, curl and
divergence of what the camera shows, a turn back by θ leaves the curl
c cos θ + d sin θ: the sum of its squares is least at

    2 θ = atan2(-2 Σ c d, Σ d² - Σ c²),

and at θ + π. Of the two, that is taken which makes the divergence's histogram lean to
the negative side: atoms attract electrons, and are small. This is also LiberTEM's rule
(its `guess_corrections` compares the histogram's ends; here it is the skewness).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

FEWEST = 32
"""Positions with a curl, at least."""
SURE = 5.0
"""Standard deviations by which a choice must stand out from chance."""

TOO_FEW = f"fewer than {FEWEST} positions with neighbours in both directions"
NO_SIGNAL = "the curl does not depend on the rotation: the beam is hardly deflected"
NO_PARITY = "the curl does not tell whether the camera is flipped"


@dataclass(frozen=True, slots=True)
class Rotation:
    """How the scan's axes lie against the camera's.

    Attributes
    ----------
    angle_rad
        In (-π, π], as `scan_rotation_rad` of an acquisition.
    flip
        Whether the camera's rows run the other way.
    sigma
        Standard deviation of the angle, rad.
    sign_is_known
        False: nothing tells the angle from the one 180° away; the one in
        (-π/2, π/2] is given.
    curl
        Rms curl that is left, divided by the largest there is at another angle.
    reason
        Why there is none, else empty; the rest then means nothing.
    """

    angle_rad: float = math.nan
    flip: bool = False
    sigma: float = math.nan
    sign_is_known: bool = False
    curl: float = math.nan
    reason: str = ""


def find_rotation(
    com: FloatArray, step: tuple[float, float] = (1.0, 1.0), *, flip: bool | None = None
) -> Rotation:
    """Return rotation and parity from the centres of mass of a scan.

    Parameters
    ----------
    com : (rows, columns, 2), pixels, row before column; NaN where there is none
    step : from one position to the next, [y, x], in any unit
    flip : the parity, where it is known

    Returns
    -------
    Rotation
        With a reason where the curl does not tell. A constant and a plane (descan)
        in `com` do not matter.
    """
    found = []
    for mirrored in (False, True) if flip is None else (flip,):
        curl, divergence = curl_and_divergence(
            com * [-1.0 if mirrored else 1.0, 1.0], step
        )
        if len(curl) < FEWEST:
            return Rotation(reason=TOO_FEW)
        found.append((*_least(curl, divergence), mirrored, curl, divergence))
    found.sort(key=lambda one: one[0])
    least, most, angle, mirrored, curl, divergence = found[0]
    # Differences over two steps make neighbours alike: half of them count.
    independent = len(curl) / 2
    chance = SURE * math.sqrt(2 / independent)
    if not most - least > chance * (most + least) / 2:
        return Rotation(reason=NO_SIGNAL)
    if flip is None and not found[1][0] - least > chance * found[1][0]:
        return Rotation(reason=NO_PARITY)
    sigma = math.sqrt(least * most / independent) / (most - least)
    one = Rotation(angle, mirrored, sigma, curl=math.sqrt(least / most))
    return _with_sign(one, curl, divergence, independent)


def curl_and_divergence(
    vectors: FloatArray, step: tuple[float, float] = (1.0, 1.0)
) -> tuple[FloatArray, FloatArray]:
    """Return curl and divergence where both can be told, without their means.

    Parameters
    ----------
    vectors : (rows, columns, 2), row before column
    step : from one position to the next, [y, x]

    Returns
    -------
    (m,) each: ∂x/∂row - ∂y/∂column and ∂y/∂row + ∂x/∂column, from the differences of
    both neighbours, at the m positions that have four of them
    """
    if min(vectors.shape[:2]) < 3:
        return np.empty(0), np.empty(0)
    down = (vectors[2:, 1:-1] - vectors[:-2, 1:-1]) / (2 * step[0])
    right = (vectors[1:-1, 2:] - vectors[1:-1, :-2]) / (2 * step[1])
    curl = down[..., 1] - right[..., 0]
    divergence = down[..., 0] + right[..., 1]
    known = np.isfinite(curl) & np.isfinite(divergence)
    if not known.any():
        return np.empty(0), np.empty(0)
    curl, divergence = curl[known], divergence[known]
    return curl - curl.mean(), divergence - divergence.mean()


def _least(curl: FloatArray, divergence: FloatArray) -> tuple[float, float, float]:
    """Return the least and the largest mean square of the curl, and the angle."""
    n = len(curl)
    one, other = float(curl @ curl) / n, float(divergence @ divergence) / n
    mixed = float(curl @ divergence) / n
    middle, swing = (one + other) / 2, math.hypot((one - other) / 2, mixed)
    angle = 0.5 * math.atan2(-2 * mixed, other - one)
    return max(middle - swing, 0.0), middle + swing, angle


def _with_sign(
    found: Rotation, curl: FloatArray, divergence: FloatArray, independent: float
) -> Rotation:
    """Return a rotation, turned by 180° if atoms would otherwise repel electrons."""
    cos, sin = math.cos(found.angle_rad), math.sin(found.angle_rad)
    turned = divergence * cos - curl * sin
    skewness = float(np.mean(turned**3)) / float(np.mean(turned**2)) ** 1.5
    known = abs(skewness) > SURE * math.sqrt(6 / independent)
    angle = found.angle_rad
    if known and skewness > 0:
        angle += math.pi if angle <= 0 else -math.pi
    return replace(found, angle_rad=angle, sign_is_known=known)

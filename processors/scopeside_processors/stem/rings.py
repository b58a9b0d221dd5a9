"""Diffraction rings of known angles: the camera's angle per pixel, and its ellipse.

A scale of trial says where all rings lie. The one is taken at which their profile, on a
background that falls, fits the radial mean of the pattern best. Then centre, stretch
and scale are fitted to the pixels themselves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize

from scopeside_processors.stem.ellipse import Ellipse, radii
from scopeside_processors.stem.least_squares import fit

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

NO_RING = "no ring was found at the known distances"
_WIDTHS = (1.0, 1.5, 2.2, 3.3)
"""Standard deviations of trial of a ring, pixels."""
_FINE = 0.004
"""Step of the trial scale, relative; a ring at 100 px moves by less than its width."""
_POWERS = (0, -1, -2, -3)
"""Of the radius: together they are the background."""
_SURE = 10.0
"""Standard deviations by which the strongest ring stands out."""


@dataclass(frozen=True, slots=True)
class Rings:
    """Rings that were found.

    Attributes
    ----------
    ellipse
        Their centre and stretch.
    rad_per_px
        Angle per pixel, for rings made round.
    width
        Standard deviation of the rings' profile, pixels.
    sigma
        Standard deviations of (row, column, both parts of the stretch, rad_per_px).
    used
        Number of rings on the detector.
    reason
        Why there are none, else empty; the rest then means nothing.
    """

    ellipse: Ellipse
    rad_per_px: float = math.nan
    width: float = math.nan
    sigma: tuple[float, ...] = (math.nan,) * 5
    used: int = 0
    reason: str = ""


def find_rings(
    pattern: FloatArray,
    bad: BoolArray,
    angles: FloatArray,
    centre: tuple[float, float],
    beam: float,
) -> Rings:
    """Return the rings of known angles in a pattern.

    Parameters
    ----------
    pattern : (height, width), counts, finite
    bad : (height, width) bool, pixels that do not count
    angles : (k,), rising, rad
    centre : of the undiffracted beam, pixels
    beam : radius of the undiffracted beam, pixels; rings lie outside it

    Returns
    -------
    Rings
        With a reason where there are none. With a single angle the strongest ring
        is taken for it.
    """
    none = Rings(Ellipse(centre), reason=NO_RING)
    middle, mean, weight = radial_mean(pattern, bad, centre)
    reach = min(*centre, pattern.shape[0] - 1 - centre[0])
    reach = min(reach, pattern.shape[1] - 1 - centre[1])
    held = (middle > 2 * beam + 2) & (middle < reach) & (weight > 0)
    if held.sum() < 3 * len(_POWERS):
        return none
    near = _scale(middle[held], mean[held], weight[held], angles)
    if near is None:
        return none
    at = angles / near[0]
    used = angles[(at > 2 * beam + 2) & (at < reach)]
    return _refined(pattern, bad, used, near, none) if len(used) else none


def radial_mean(
    pattern: FloatArray, bad: BoolArray, centre: tuple[float, float]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the mean counts at each distance from `centre`, in steps of one pixel.

    Returns
    -------
    (n,) each: mean distance of the pixels, their mean counts, their number
    """
    row, column = np.indices(pattern.shape)
    distance = np.hypot(row - centre[0], column - centre[1])[~bad]
    at = distance.astype(np.int64)
    number = np.bincount(at).astype(np.float64)
    safe = np.maximum(number, 1)
    radius = np.bincount(at, distance) / safe
    return radius, np.bincount(at, pattern[~bad]) / safe, number


def _scale(
    radius: FloatArray, mean: FloatArray, number: FloatArray, angles: FloatArray
) -> tuple[float, float] | None:
    """Return angle per pixel and ring width that fit a radial mean best."""
    even = np.sqrt(number / np.maximum(mean, max(1e-3 * float(mean.max()), 1e-30)))
    steep = [(radius / radius[0]) ** k for k in _POWERS]
    below = np.column_stack([*steep, *(-one for one in steep)]) * even[:, None]
    data = mean * even
    flat = optimize.nnls(below, data)[1]
    best, found = flat, None
    lowest, highest = angles[0] / radius[-1], angles[0] / radius[0]
    steps = 1 + int(math.log(highest / lowest) / _FINE)
    for width in _WIDTHS:
        for scale in np.geomspace(lowest, highest, max(steps, 2)):
            rings = _profiles(radius, angles / scale, width)
            rest = optimize.nnls(np.hstack([rings * even[:, None], below]), data)[1]
            if rest < best:
                best, found = rest, (float(scale), width)
    return found if best < 0.8 * flat else None


def _profiles(radius: FloatArray, rings: FloatArray, width: float) -> FloatArray:
    """Return (m, k): a bell curve at each of the radii ``rings (k,)``."""
    curves: FloatArray = np.exp(-0.5 * ((radius[:, None] - rings) / width) ** 2)
    return curves


def _refined(
    pattern: FloatArray,
    bad: BoolArray,
    used: FloatArray,
    near: tuple[float, float],
    none: Rings,
) -> Rings:
    """Fit the rings of the angles ``used (k,)`` to the pixels around them.

    `near` is the angle per pixel, and the width; `none` has the centre, and is what
    is returned where that fails.
    """
    scale, width = near
    row, column = np.indices(pattern.shape).reshape(2, -1).astype(np.float64)
    rho, _ = radii(none.ellipse, row, column)
    low = max(0.5 * used[0], used[0] - 6 * width * scale) / scale
    high = used[-1] / scale + 6 * width
    there = (rho >= low) & (rho <= high) & ~bad.ravel()
    y, x = row[there], column[there]
    data, k = pattern.ravel()[there], len(used)
    floor = max(float(data.mean()) * 0.1, 1e-30)

    def model(p: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        ellipse = Ellipse((p[0], p[1]), (p[2], p[3]))
        radius, by = radii(ellipse, y, x)
        size, spread = math.exp(p[4]), math.exp(min(max(p[5], -1.0), 3.0))
        rings = used / scale * size
        curves = _profiles(radius, rings, spread)
        off = (radius[:, None] - rings) / spread
        steep = (curves * off / spread) @ p[6 : 6 + k]  # falls as the radius grows
        along = (curves * off / spread * rings) @ p[6 : 6 + k]
        wide = (curves * off * off) @ p[6 : 6 + k]
        beneath = np.stack([(radius / low) ** power for power in _POWERS], axis=1)
        values = curves @ p[6 : 6 + k] + beneath @ p[6 + k :]
        bend = beneath @ (p[6 + k :] * _POWERS) / radius
        moved = (bend - steep)[:, None] * by
        slope = np.hstack([moved, along[:, None], wide[:, None], curves, beneath])
        return values, slope, np.sqrt(np.maximum(values, floor))

    start = np.zeros(6 + k + len(_POWERS))
    start[:6] = [*none.ellipse.centre, 0, 0, 0, math.log(width)]
    _, slope, sigma = model(start)
    linear = slope[:, 6:] / sigma[:, None]
    start[6:] = np.linalg.lstsq(linear, data / sigma, rcond=None)[0]
    found = fit(model, data, start)
    if found is None or not found.converged:
        return none
    p, errors = found.values, found.sigma
    spread = math.exp(p[5])
    if not (p[6 : 6 + k] > _SURE * errors[6 : 6 + k]).any() or abs(p[4]) > 0.1:
        return none
    rad_per_px = scale / math.exp(p[4])
    return Rings(
        Ellipse((float(p[0]), float(p[1])), (float(p[2]), float(p[3]))),
        rad_per_px,
        spread,
        (*errors[:4].tolist(), float(rad_per_px * errors[4])),
        k,
    )

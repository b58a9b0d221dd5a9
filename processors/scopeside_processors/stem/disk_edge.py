"""The convergence disk in a pattern: where it lies, how large and how round it is.

A first look (a threshold after Otsu [1]_) says which pixels are the disk. Then a soft
elliptical edge is fitted to the pixels around it,

    I = b(y, x) + a(y, x) · ½ (1 + erf((R - ρ) / (√2 w))),

where ρ is the elliptical radius, b a linear and a a quadratic function: what is inside
the disk, and outside, may be structured on the scale of the disk. Single pixels that
do not fit (hot, dead) hardly count.

References
----------
.. [1] N. Otsu, IEEE Transactions on Systems, Man, and Cybernetics 9, 62 (1979),
   doi:10.1109/TSMC.1979.4310076
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage, special

from scopeside_processors.stem.ellipse import Ellipse, radii
from scopeside_processors.stem.least_squares import Fit, fit

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

SMALLEST_FRAME = 8
"""Pixels; smaller frames hold no edge to be found."""
SMALLEST_RADIUS = 1.5
AROUND = 6.0
"""Pixels on either side of the edge that are fitted, 0.45 R if that is less."""
_SHARPEST = -2.0
"""ln of the least blur of an edge, pixels; a pixel's own is 1/√12."""
_FAINT = 2.0
"""Counts of a pixel in the disk; below, the pattern is blurred before the fit."""
_FLOOR = 0.03
"""Of the disk's counts: what is darker counts as if it scattered so much."""
COVERED = 0.7
"""At least this part of the edge must lie on the detector."""

_LOOKS = ((1.0, True, 0.0), (1.0, False, 0.0), (2.0, True, 1.5), (4.0, True, 3.0))
"""Blur of the first look, pixels; whether its threshold is Otsu's; blur before the fit.
The second parts disks that touch, the others find faint ones."""

NO_COUNTS = "no counts"
NO_EDGE = "no edge of a disk was found"
LEAVES = "the beam leaves the detector"


@dataclass(frozen=True, slots=True)
class Disk:
    """A convergence disk.

    Attributes
    ----------
    ellipse, radius, width
        Where it lies; radius of the circle of equal area; standard deviation of the
        edge's blur. Pixels.
    sigma
        Standard deviations of (row, column, radius, both parts of the stretch).
    reason
        Why there is none, else empty; the rest then means nothing.
    """

    ellipse: Ellipse
    radius: float
    width: float = 0.5
    sigma: tuple[float, ...] = (math.nan,) * 5
    reason: str = ""


def hot_pixels(pattern: FloatArray) -> BoolArray:
    """Return which pixels of ``pattern (height, width)`` stand out by themselves.

    A pixel is hot that has more than three times the counts of the second largest of
    its neighbours, and more than chance could give it (six standard deviations of
    counts). Two neighbours that are hot are found both. What is no number is too.
    """
    broken = ~np.isfinite(pattern)
    ring = np.ones((3, 3), np.bool_)
    ring[1, 1] = False
    known = np.where(broken, 0, pattern)
    beside = ndimage.rank_filter(known, -2, footprint=ring, mode="mirror")
    beside = np.maximum(beside, 0)
    largest = float(known.max())
    unit = 1.0 if largest >= 1 else 1e-4 * largest  # frames that were normalised
    hot: BoolArray = known > 3 * beside + 6 * np.sqrt(unit * (beside + unit))
    return hot | broken


def find_disk(pattern: FloatArray, bad: BoolArray | None = None) -> Disk:
    """Return the disk in a pattern.

    Parameters
    ----------
    pattern : (height, width), counts
    bad : (height, width) bool, pixels that are not looked at; None: `hot_pixels`

    Returns
    -------
    Disk
        With a reason where no disk was found.
    """
    none = Disk(Ellipse((0.0, 0.0)), 0.0, reason=NO_EDGE)
    if min(pattern.shape) < SMALLEST_FRAME:
        return replace(none, reason=f"frames below {SMALLEST_FRAME} pixels")
    bad = hot_pixels(pattern) if bad is None else bad
    clean = mended(pattern, bad)
    if not clean.max() > 0:
        return replace(none, reason=NO_COUNTS)
    found = none
    for blur, otsu, smeared in _LOOKS:
        first = _first_look(clean, blur, otsu=otsu)
        if first is None:
            continue
        if _on_detector(first, pattern.shape) < COVERED:
            found = replace(first, reason=LEAVES)
            continue
        faint = _levels(clean, bad, first)[1] < _FAINT and _whole(clean)
        blurred = max(smeared, 1.5) if faint else smeared
        fitted = _refine_blurred(clean, bad, first, blurred)
        if not fitted.reason:
            return fitted
        found = found if found.reason == LEAVES else fitted
    return found


def refine(
    pattern: FloatArray,
    bad: BoolArray,
    near: Disk,
    *,
    only_centre: bool = False,
    alike: float = 1.0,
) -> Disk:
    """Return the disk that lies within a few pixels of another.

    Parameters
    ----------
    pattern : (height, width), finite
    bad : (height, width) bool, pixels that do not count
    only_centre : radius, roundness and blur stay as they are
    alike : standard deviations are so much larger, as pixels are not independent
    """
    found = near
    for _ in range(3):  # the pixels around the edge are chosen anew after each
        fitted = _fit(pattern, bad, found, only_centre=only_centre, alike=alike)
        if fitted is None:
            return replace(near, reason=NO_EDGE)
        moved = math.dist(fitted.ellipse.centre, found.ellipse.centre)
        moved = max(moved, abs(fitted.radius - found.radius))
        found = fitted
        if not moved < 2 * AROUND:
            return replace(near, reason=NO_EDGE)
        if moved < 0.25:
            break
    return _judged(found, pattern.shape)


def _refine_blurred(
    pattern: FloatArray, bad: BoolArray, near: Disk, blur: float
) -> Disk:
    """Return what `refine` finds once the pattern is blurred, if it is to be."""
    if not blur:
        return refine(pattern, bad, near)
    smooth = ndimage.gaussian_filter(pattern, blur)
    # The square of it is the number of pixels that now tell the same.
    alike = 2 * math.sqrt(math.pi) * blur
    return refine(smooth, bad, replace(near, width=blur), alike=alike)


def mended(pattern: FloatArray, bad: BoolArray) -> FloatArray:
    """Return `pattern` with bad pixels replaced by the median around them."""
    if not bad.any():
        return pattern
    known = np.where(np.isfinite(pattern), pattern, 0)
    around = ndimage.median_filter(known, 5, mode="mirror")
    mended: FloatArray = np.where(bad, around, known)
    return mended


def _first_look(pattern: FloatArray, blur: float, *, otsu: bool) -> Disk | None:
    """Return the connected bright pixels that hold most counts, as a disk."""
    # The root evens out the noise of counts, and tames what is very bright.
    smooth = ndimage.gaussian_filter(np.sqrt(np.maximum(pattern, 0)), blur)
    level = _otsu(smooth) if otsu else 0.6 * float(smooth.max())
    labels, n = ndimage.label(smooth > level)
    if n == 0:
        return None
    counts = ndimage.sum_labels(pattern, labels, np.arange(1, n + 1))
    disk = ndimage.binary_fill_holes(labels == 1 + int(np.argmax(counts)))
    row, column = np.nonzero(disk)
    radius = math.sqrt(len(row) / math.pi)
    if radius < SMALLEST_RADIUS or len(row) > 0.9 * disk.size:
        return None
    return Disk(Ellipse((float(row.mean()), float(column.mean()))), radius)


def _otsu(values: FloatArray) -> float:
    """Return the level that parts values into two classes as unlike as can be."""
    low, high = float(values.min()), float(values.max())
    count, edge = np.histogram(values, 256, (low, high if high > low else low + 1))
    middle = (edge[1:] + edge[:-1]) / 2
    below = np.cumsum(count)
    sums = np.cumsum(count * middle)
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = sums / below - (sums[-1] - sums) / above
        between = np.nan_to_num(below * above * apart**2)
    return float(edge[1 + int(np.argmax(between))])


def _fit(
    pattern: FloatArray,
    bad: BoolArray,
    near: Disk,
    *,
    only_centre: bool,
    alike: float,
) -> Disk | None:
    row, column = _around(near, bad)
    data = pattern[row, column]
    y, x = row.astype(np.float64), column.astype(np.float64)
    inside = _texture(y, x, near)
    n = 2 if only_centre else 6
    shape = np.array([near.radius, *near.ellipse.stretch, math.log(near.width)])
    low, high = _levels(pattern, bad, near)
    floor = max(_FLOOR * high, 1e-30)
    # Whole numbers scatter at least as counts do; of others nothing is known.
    least = 1.0 if _whole(data) else 0.0

    def model(p: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        radius, one, other, width = shape if only_centre else p[2:6]
        width = math.exp(min(max(width, _SHARPEST), 5.0))
        ellipse = Ellipse((p[0], p[1]), (one, other))
        rho, by = radii(ellipse, y, x)
        t = (radius - rho) / width
        edge = 0.5 * (1 + special.erf(t / math.sqrt(2)))
        steep = np.exp(-t * t / 2) / (math.sqrt(2 * math.pi) * width)
        outside, height = inside[:, :3] @ p[n : n + 3], inside @ p[n + 3 :]
        linear = [inside[:, :3], inside * edge[:, None]]
        steep = height * steep
        moved = -steep[:, None] * by
        if not only_centre:
            shaped = [moved[:, :2], steep[:, None], moved[:, 2:]]
            moved = np.hstack([*shaped, (-steep * t * width)[:, None]])
        values = outside + height * edge
        # Counts scatter as their root does; a floor keeps empty pixels in bounds.
        sigma = np.sqrt(np.maximum(values, floor))
        moved = moved[:, :2] if only_centre else moved
        return values, np.hstack([moved, *linear]), sigma

    start = [*near.ellipse.centre, *([] if only_centre else shape)]
    start += [low, 0, 0, high - low, *[0.0] * (inside.shape[1] - 1)]
    if len(data) <= 2 * len(start):
        return None
    found = fit(model, data, np.array(start), least)
    return None if found is None else _disk(found, near, n, alike)


def _disk(found: Fit, near: Disk, n: int, alike: float) -> Disk | None:
    """Return a fit as a disk; None if it does not stand out."""
    p, sigma = found.values, alike * found.sigma
    if not (found.converged and p[n + 3] > 5 * sigma[n + 3]):
        return None
    centre = (float(p[0]), float(p[1]))
    if n == 2:
        whole = (*sigma[:2].tolist(), *near.sigma[2:])
        return replace(near, ellipse=replace(near.ellipse, centre=centre), sigma=whole)
    ellipse = Ellipse(centre, (float(p[3]), float(p[4])))
    width = math.exp(min(max(float(p[5]), _SHARPEST), 5.0))
    return Disk(ellipse, float(p[2]), width, tuple(sigma[:5].tolist()))


def _around(near: Disk, bad: BoolArray) -> tuple[Any, Any]:
    """Return rows and columns of the pixels on either side of the edge."""
    row, column = np.indices(bad.shape).reshape(2, -1).astype(np.float64)
    rho, _ = radii(near.ellipse, row, column)
    reach = max(2.0, min(AROUND, 0.45 * near.radius))
    reach = min(reach + max(0.0, 2 * (near.width - 0.5)), max(2.0, 0.7 * near.radius))
    there = (np.abs(rho.reshape(bad.shape) - near.radius) <= reach) & ~bad
    rows, columns = np.nonzero(there)
    return rows, columns


def _texture(y: FloatArray, x: FloatArray, near: Disk) -> FloatArray:
    """Return 1, y, x, y² - x², y x (m, 5) in units of the radius from the centre."""
    v = (y - near.ellipse.centre[0]) / near.radius
    u = (x - near.ellipse.centre[1]) / near.radius
    return np.stack([np.ones_like(v), v, u, v * v - u * u, v * u], axis=1)


def _levels(pattern: FloatArray, bad: BoolArray, near: Disk) -> tuple[float, float]:
    row, column = _around(near, bad)
    distance = np.hypot(row - near.ellipse.centre[0], column - near.ellipse.centre[1])
    data = pattern[row, column]
    outer, inner = data[distance > near.radius], data[distance <= near.radius]
    if not (len(outer) and len(inner)):
        return 0.0, float(data.max(initial=1.0))
    return float(outer.mean()), float(inner.mean())


def _whole(values: FloatArray) -> bool:
    return bool(np.array_equal(values, np.rint(values)))


def _on_detector(disk: Disk, shape: tuple[int, ...]) -> float:
    """Return which part of a disk's edge lies on the detector."""
    turn = np.linspace(0, 2 * math.pi, 360, endpoint=False)
    y = disk.ellipse.centre[0] + disk.radius * np.sin(turn)
    x = disk.ellipse.centre[1] + disk.radius * np.cos(turn)
    inside = (y > 0) & (y < shape[0] - 1) & (x > 0) & (x < shape[1] - 1)
    return float(inside.mean())


def _judged(disk: Disk, shape: tuple[int, ...]) -> Disk:
    """Return a disk, with a reason if it is none."""
    if _on_detector(disk, shape) < COVERED:
        return replace(disk, reason=LEAVES)
    soft = disk.width > 0.5 * disk.radius or disk.ellipse.ratio > 2
    sure = max(disk.sigma[:3]) < 0.2 * disk.radius
    if soft or not sure or disk.radius < SMALLEST_RADIUS:
        return replace(disk, reason=NO_EDGE)
    return disk

"""Which pixels of a frame are particle, and which particle they are of.

Contrast against the field's own background, smoothed as its noise asks for, cut at
Otsu's threshold [1]_; but never within the noise, so that an empty field stays empty.
The noise is measured on the frame itself, by a filter that sees no content [2]_.

References
----------
.. [1] N. Otsu, IEEE Trans. Syst. Man Cybern. 9, 62 (1979),
   doi:10.1109/TSMC.1979.4310076
.. [2] J. Immerkær, Comput. Vis. Image Underst. 64, 300 (1996),
   doi:10.1006/cviu.1996.0060
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from scopeside_processors.kernels import basins, regions, spots

Array = npt.NDArray[Any]
Float32Array = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int32]

BLOCK = 8
"""Side of the blocks that the background is found in, px."""
_WANTED_NOISE = 0.04
"""Noise of the contrast that smoothing aims at."""
_SMOOTH = (0.7, 4.0)
"""Smoothing that is chosen lies between, px."""
_TOUCHING = np.ones((3, 3), bool)
_CONVEX = 0.97
"""A region that fills so much of its hull is not looked at for cuts."""
_LEAST_LEVEL = 1e-3
"""Background, in parts of its mean, below which there is none to compare with."""
_BINS = 256
_FAR = 4.0
"""Standard deviations beyond which a difference is no noise."""
_STRIDE = 3
"""The field's median is that of every so-manieth row and column."""


@dataclass(frozen=True, slots=True, eq=False)
class Contrast:
    """How much darker, or brighter, than the background a frame is.

    Attributes
    ----------
    relative
        (height, width) float32, smoothed; positive where particles are.
    noise
        Its standard deviation where there is nothing.
    smooth_px
        Standard deviation of the Gaussian that was used.
    """

    relative: Float32Array
    noise: float
    smooth_px: float


def noise_of(image: Array) -> float:
    """Return the standard deviation of white noise in `image` (height, width).

    The second difference of second differences sees neither slopes nor edges that are
    straight. Every fourth row is looked at, and what a few particles add is cut off.
    """
    rows = image[2::4] - 2 * image[1:-1:4] + image[:-2:4]
    both = np.abs(rows[:, 2:] - 2 * rows[:, 1:-1] + rows[:, :-2])
    # A normal deviate of variance 36 σ² has a median of 0.6745 · 6 σ.
    sigma = float(np.median(both[:, ::2])) / (0.6744898 * 6)
    # Counts of a few electrons are no normal deviates: the median of theirs is coarse.
    near = both[both < _FAR * 6 * max(sigma, 1e-30)].astype(np.float64)
    return float(np.sqrt(near @ near / max(len(near), 1))) / 6


def contrast_of(
    frame: Array,
    *,
    offset: float = 0.0,
    sign: float = -1.0,
    background_px: float = 64.0,
    smooth_px: float | None = None,
) -> Contrast | None:
    """Return the contrast of a frame; None where it has no background to speak of.

    Parameters
    ----------
    frame : (height, width) counts
    offset : counts of a dark pixel
    sign : -1 where particles are dark
    background_px : standard deviation of the Gaussian that makes the background
    smooth_px : of the one that takes off noise; None: as the noise asks for
    """
    coarse = np.empty([-(-n // BLOCK) for n in frame.shape], np.float32)
    spots.block_means(frame, BLOCK, coarse)
    coarse -= np.float32(offset)
    level = float(coarse.mean(dtype=np.float64))
    if not level > 0:
        return None
    relative = np.empty(frame.shape, np.float32)
    background = _without_particles(coarse, sign, background_px / BLOCK)
    np.maximum(background, np.float32(_LEAST_LEVEL * level), out=background)
    spots.contrast(frame, offset, sign, background, BLOCK, relative)
    noise = noise_of(relative)
    if smooth_px is None:
        # White noise behind a Gaussian: σ becomes σ / (2 √π s).
        asked = noise / (2 * math.sqrt(math.pi) * _WANTED_NOISE)
        smooth_px = min(max(asked, _SMOOTH[0]), _SMOOTH[1])
    return Contrast(*_smoothed(relative, noise, smooth_px), smooth_px)


def _smoothed(
    relative: Float32Array, noise: float, sigma: float
) -> tuple[Float32Array, float]:
    if not sigma:
        return relative, noise
    half = spots.taps(sigma)
    out = np.empty_like(relative)
    line = np.empty(relative.shape[1] + 2 * len(half), np.float32)
    spots.blur(relative, half, line, out)
    along = float(half[0] ** 2 + 2 * (half[1:].astype(np.float64) ** 2).sum())
    return out, noise * along


def _without_particles(coarse: Float32Array, sign: float, sigma: float) -> Float32Array:
    """Return the wide mean of the blocks, leaving out those that particles cover."""
    blurred = ndimage.gaussian_filter(coarse, sigma, mode="nearest")
    for _ in range(2):
        away = sign * (coarse - blurred)
        middle = float(np.median(away))
        # The side away from particles tells how far blocks scatter without them.
        scatter = float(np.median(np.abs(np.minimum(away - middle, 0))) * 2)
        scatter = max(scatter, 1e-6 * float(np.abs(blurred).max()))
        free = (np.abs(away - middle) < 3 * scatter).astype(np.float32)
        share = ndimage.gaussian_filter(free, sigma, mode="nearest")
        held = ndimage.gaussian_filter(coarse * free, sigma, mode="nearest")
        blurred = np.where(share > 0.02, held / np.maximum(share, 0.02), blurred)
    found: Float32Array = blurred.astype(np.float32)
    return found


def otsu(values: Array) -> float:
    """Return the threshold that parts `values` best; the first one's, if all are equal.

    Raises
    ------
    ValueError
        If there are none.
    """
    low, high = float(values.min()), float(values.max())
    if low == high:
        return low
    scaled = (values.ravel() - low) * ((_BINS - 1e-3) / (high - low))
    count = np.bincount(scaled.astype(np.uint16), minlength=_BINS)
    edges = np.linspace(low, high, _BINS + 1)
    middle = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(count, dtype=np.float64)
    above = below[-1] - below
    moment = np.cumsum(count * middle)
    good = (below > 0) & (above > 0)
    difference = np.zeros(_BINS)
    difference[good] = (
        moment[good] / below[good] - (moment[-1] - moment[good]) / above[good]
    )
    between = below * above * difference**2
    return float(edges[1 + int(between.argmax())])


def threshold_of(found: Contrast, asked: float | str, sigmas: float) -> float:
    """Return the contrast from which on a pixel is particle.

    Parameters
    ----------
    asked : ``otsu``, or a contrast
    sigmas : times the noise, that Otsu's threshold exceeds at least; it is not believed
        either where what lies above it is no more than the tail of what lies below
    """
    if not isinstance(asked, str):
        return float(asked)
    relative = found.relative
    least = sigmas * found.noise
    sample = relative[::_STRIDE, ::_STRIDE]
    middle = float(np.median(sample))
    # Texture scatters too: the side without particles shows how far.
    texture = 1.4826 * (middle - float(np.quantile(sample, 0.25)))
    least = max(least, middle + sigmas * texture)
    return max(otsu(relative), least)


def without_holes(mask: BoolArray, largest: float) -> BoolArray:
    """Return `mask` with its holes filled, those of up to `largest` px."""
    label, number = ndimage.label(~mask)
    if not number:
        return mask
    area = np.bincount(label.ravel(), minlength=number + 1)
    hole = area <= largest
    hole[0] = False
    for side in (label[0], label[-1], label[:, 0], label[:, -1]):
        hole[side] = False
    filled: BoolArray = mask | hole[label]
    return filled


def label_regions(mask: BoolArray, neck: float | None) -> tuple[Labels, int]:
    """Return the labels of connected regions, and their number.

    Parameters
    ----------
    mask : (height, width) bool
    neck : a region is cut where it is narrower than this part of the narrower of the
        two that it joins; None: never
    """
    label, number = ndimage.label(mask, _TOUCHING, np.int32)
    if neck is None or not number:
        return label, number
    _, box, _ = regions.sums(label, np.zeros(mask.shape, np.float32), number)
    hull = regions.hull_areas(label, box)
    area = np.bincount(label.ravel(), minlength=number + 1)[1:]
    for k in np.flatnonzero(area < _CONVEX * hull):
        row0, row1, column0, column1 = box[k]
        inside = slice(row0, row1), slice(column0, column1)
        number = _cut(label[inside], int(k) + 1, number, neck)
    return label, number


def _cut(part: Labels, which: int, number: int, neck: float) -> int:
    """Give the pieces of a region numbers of their own; return the highest."""
    own = part == which
    deep = ndimage.distance_transform_edt(np.pad(own, 1))[1:-1, 1:-1]
    piece, pieces = basins.split(deep.astype(np.float32), neck)
    if pieces < 2:
        return number
    part[own] = np.where(piece[own] == 1, which, number + piece[own] - 1)
    return number + pieces - 1


def kept(label: Labels, number: int, least: float, most: float) -> tuple[Labels, int]:
    """Return the labels of regions of `least` to `most` px, numbered anew from 1."""
    area = np.bincount(label.ravel(), minlength=number + 1)
    good = (area >= least) & (area <= most)
    good[0] = False
    new = np.where(good, np.cumsum(good), 0).astype(np.int32)
    out: Labels = new[label]
    return out, int(good.sum())

"""Which pixels of a frame are particle, and which particle they are of.

Contrast against the field's own background, smoothed as its noise and the particles'
contrast ask for. What noise would not make is a particle (`chance`); its outline lies
at half of its own contrast, where a blurred edge is [1]_, or at one level for the whole
frame, Otsu's [2]_. The noise is measured on the frame, by a filter that sees no content
[3]_, and its texture on the side where no particles are.

References
----------
.. [1] T. W. Ridler & S. Calvard, IEEE Trans. Syst. Man Cybern. 8, 630 (1978),
   doi:10.1109/TSMC.1978.4310039
.. [2] N. Otsu, IEEE Trans. Syst. Man Cybern. 9, 62 (1979),
   doi:10.1109/TSMC.1979.4310076
.. [3] J. Immerkær, Comput. Vis. Image Underst. 64, 300 (1996),
   doi:10.1006/cviu.1996.0060
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from scopeside_processors.insitu.background import background_of
from scopeside_processors.insitu.chance import Noise, height_for, spurious
from scopeside_processors.kernels import basins, depths, label, ratio, regions, spots

Array = npt.NDArray[Any]
Float32Array = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int32]

BLOCK = 8
"""Side of the blocks that the background is found in, px."""
_COARSE, _FINE = 4, 2
"""Sides of the blocks that particles are first looked for in, px."""
_BLUR = 1.0
"""Gaussian behind these, blocks."""
_OF_BLOCKS = math.sqrt(_BLUR**2 + 1 / 12)
"""Gaussian that blocks and blur come to, blocks."""
_WANTED = 6.5
"""Contrast of faint particles over the noise that smoothing aims at."""
_SMOOTH = (0.7, 4.0)
"""Smoothing that is chosen lies between, px."""
_FAINT = 0.25
"""Faint particles: so many of those seen have less contrast."""
_LOW = 3.0
"""Standard deviations above which a pixel may belong to a particle."""
_CONVEX = 0.97
"""A region that fills so much of its hull is not looked at for cuts."""
_LEAST_LEVEL = 1e-3
"""Background, in parts of its mean, below which there is none to compare with."""
_LEAST_NOISE = 3e-3
"""No background is known better, in parts of it."""
_BINS = 256
_FAR = 4.0
"""Standard deviations beyond which a difference is no noise."""
_ROWS = 128
"""Rows that the noise is measured on."""
_SAMPLE = 10_000
"""Pixels that the field's scatter is told from, about."""


@dataclass(frozen=True, slots=True, eq=False)
class Contrast:
    """How much darker, or brighter, than the background a frame is.

    Attributes
    ----------
    relative
        (height, width) float32, smoothed; positive where particles are.
    noise
        What it is where there is nothing, texture included.
    smooth_px
        Standard deviation of the Gaussian that was used.
    """

    relative: Float32Array
    noise: Noise
    smooth_px: float


def noise_of(image: Array) -> float:
    """Return the standard deviation of white noise in `image` (height, width).

    The second difference of second differences sees neither slopes nor edges that are
    straight. Some of the rows are looked at, and what a few particles add is cut off.
    """
    if min(image.shape) < 3:
        return 0.0
    step = max(4, image.shape[0] // _ROWS)
    above, here, below = (
        image[k : len(image) - 2 + k : step].astype(np.float32) for k in range(3)
    )
    rows = above - 2 * here + below
    both = np.abs(rows[:, 2::2] - 2 * rows[:, 1:-1:2] + rows[:, :-2:2])
    # A normal deviate of variance 36 σ² has a median of 0.6745 · 6 σ.
    sigma = float(np.median(both)) / (0.6744898 * 6)
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
    false: float = 1e-3,
) -> Contrast | None:
    """Return the contrast of a frame; None where it has no background to speak of.

    Parameters
    ----------
    frame : (height, width) counts
    offset : counts of a dark pixel
    sign : -1 where particles are dark
    background_px : standard deviation of the Gaussian that makes the background
    smooth_px : of the one that takes off noise; None: as noise and particles ask for
    false : particles that noise may make in a frame, of those looked at for that
    """
    coarse = _blocks(frame, BLOCK)
    coarse -= np.float32(offset)
    level = float(coarse.mean(dtype=np.float64))
    if not level > 0:
        return None
    relative = np.empty(frame.shape, np.float32)
    noise = noise_of(frame)
    background = background_of(coarse, sign, background_px / BLOCK, noise / BLOCK)
    np.maximum(background, np.float32(_LEAST_LEVEL * level), out=background)
    ratio.ratio(frame, offset, sign, background, BLOCK, relative)
    noise /= float(background.mean(dtype=np.float64))
    if smooth_px is None:
        smooth_px = _smoothing(relative, noise, false)
    smooth, white = _smoothed(relative, noise, smooth_px)
    return Contrast(smooth, _noise(smooth, white, smooth_px), smooth_px)


def _noise(smooth: Float32Array, white: float, smooth_px: float) -> Noise:
    """Return the noise of a smoothed contrast: white noise, or texture if it is more.

    The side below 0, where no particles are, tells the texture and how fine it is.
    """
    stride = max(1, math.isqrt(smooth.size // _SAMPLE))
    sample = smooth[::stride, :-1:stride]
    beside = smooth[::stride, 1::stride][:, : sample.shape[1]]
    below = sample < 0
    if not below.any():
        return Noise(max(white, _LEAST_NOISE), max(smooth_px, 0.5))
    scatter = 1.4826 * float(np.median(-sample[below]))
    step = 1.4826 * float(np.median(np.abs(sample - beside)[below]))
    # A difference of neighbours has the variance 2 σ² (1 - exp(-1 / 4 w²)).
    alike = 1 - step**2 / (2 * scatter**2) if scatter else 0.0
    width = math.sqrt(-1 / (4 * math.log(alike))) if 0 < alike < 1 else 0.0
    return Noise(max(white, scatter, _LEAST_NOISE), max(width, smooth_px, 0.5))


def _smoothing(relative: Float32Array, noise: float, false: float) -> float:
    """Return the Gaussian, px, behind which faint particles rise above the noise.

    Blocks show what there is, small ones how dark small particles are; where they show
    nothing the widest is taken.
    """
    fine_blocks = _blocks(relative, _FINE)
    smooth, about = _blurred(_blocks(fine_blocks, _COARSE // _FINE), noise / _COARSE)
    height = height_for(about, smooth.size, false) * about.sigma
    labels = np.empty(smooth.shape, np.int32)
    number = label.label(smooth >= height, label.CORNERS, labels)
    contrast, side = height, _COARSE
    if number:
        side = _FINE
        most = label.heights(labels, smooth, number, 1)[2][1:]
        smooth, about = _blurred(fine_blocks, noise / _FINE)
        times = _COARSE // _FINE
        labels = labels.repeat(times, axis=0).repeat(times, axis=1)
        labels = labels[: smooth.shape[0], : smooth.shape[1]]
        fine = label.heights(labels, smooth, number, 1)[2][1:]
        height = height_for(about, smooth.size, false) * about.sigma
        # The highest of some pixels is about a deviation too high.
        most = np.where(fine >= height, np.maximum(fine - about.sigma, most), most)
        contrast = float(np.quantile(most, _FAINT))
    # White noise behind a Gaussian: σ becomes σ / (2 √π s). What is left in the blocks
    # tells of noise that is not white, and of texture.
    spread = max(noise / (2 * math.sqrt(math.pi)), about.sigma * side * _OF_BLOCKS)
    asked = _WANTED * spread / max(contrast, 1e-30)
    return min(max(asked, _SMOOTH[0]), _SMOOTH[1])


def _blocks(image: Array, side: int) -> Float32Array:
    blocks = np.empty([-(-n // side) for n in image.shape], np.float32)
    spots.block_means(image, side, blocks)
    return blocks


def _blurred(blocks: Float32Array, noise: float) -> tuple[Float32Array, Noise]:
    """Return blocks behind a Gaussian, and their noise."""
    smooth, white = _smoothed(blocks, noise, _BLUR)
    return smooth, _noise(smooth, white, _BLUR)


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


def mask_of(
    found: Contrast, threshold: Literal["half", "otsu"] | float, false: float
) -> tuple[BoolArray, float]:
    """Return which pixels are particle, and the level that they reach at least.

    Parameters
    ----------
    threshold : ``half``: of each particle's own contrast; ``otsu``: one for the frame;
        or a contrast, which is taken as it is
    false : particles that noise may make in a frame, unless a contrast is given
    """
    relative = found.relative
    if not isinstance(threshold, str):
        return relative >= np.float32(threshold), float(threshold)
    level = _LOW * found.noise.sigma
    if threshold == "otsu":
        level = max(otsu(relative), level)
    labels = np.empty(relative.shape, np.int32)
    mask: BoolArray = relative >= np.float32(level)
    number = label.label(mask, label.CORNERS, labels)
    area, plateau, most = label.heights(
        labels, relative, number, math.ceil(2 * found.smooth_px)
    )
    own = np.maximum(plateau / 2, level) if threshold == "half" else plateau * 0 + level
    own[
        spurious(found.noise, relative.size, level, area=area, most=most, false=false)
    ] = np.inf
    label.cut(labels, relative, own.astype(np.float32), mask)
    return mask, level


def label_regions(mask: BoolArray, neck: float | None) -> tuple[Labels, int]:
    """Return the labels of connected regions, and their number.

    Parameters
    ----------
    mask : (height, width) bool
    neck : a region is cut where it is narrower than this part of the narrower of the
        two that it joins; None: never
    """
    labels = np.empty(mask.shape, np.int32)
    number = label.label(mask, label.CORNERS, labels)
    if neck is None or not number:
        return labels, number
    area, box = regions.boxes(labels, number)
    hull = regions.hull_areas(labels, box)
    for k in np.flatnonzero(area < _CONVEX * hull):
        row0, row1, column0, column1 = box[k]
        inside = slice(row0, row1), slice(column0, column1)
        number = _cut(labels[inside], int(k) + 1, number, neck)
    return labels, number


def _cut(part: Labels, which: int, number: int, neck: float) -> int:
    """Give the pieces of a region numbers of their own; return the highest."""
    own = part == which
    piece, pieces = basins.split(depths.depth_of(own), neck)
    if pieces < 2:
        return number
    part[own] = np.where(piece[own] == 1, which, number + piece[own] - 1)
    return number + pieces - 1


def kept(labels: Labels, number: int, least: float, most: float) -> tuple[Labels, int]:
    """Return the labels of regions of `least` to `most` px, numbered anew from 1."""
    area, _ = regions.boxes(labels, number)
    good = np.concatenate([[False], (area >= least) & (area <= most)])
    return labels, label.renumber(labels, good)

"""What is measured of a place that may be a nucleus: numbers without a unit.

Lengths are in smallest radii that count, brightness in standard deviations or relative
to the candidate's own, so that they mean the same at every dose, size and contrast.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside_processors.insitu import growth_shapes
from scopeside_processors.insitu.absorbance import RINGS, Absorbance, Size
from scopeside_processors.kernels import profiles, walks

Array = npt.NDArray[Any]

FILTER = 0.7
"""Width of the Gaussian that matches the smallest nucleus, in its radii."""
REACH = 8.0
"""Half of the side of what is looked at, in smallest radii."""
FRAMES = 64
LEAST = 9
"""Frames below which nothing is said."""
_STEPS = (0.17, 0.4, 0.85)
"""Steps of walks that are tried, smallest radii per frame and axis."""
_WALKED = 6.0
"""Half of the side in which walks are followed, in smallest radii."""
_EDGES = (0.0, 1.0, 2.0, 3.0, 4.3, 6.0, 8.0)
"""Of rings whose change is looked at, in smallest radii."""
_CLEAR = 3.0
"""Standard deviations; a particle that is seen better is followed as if it were not."""
_BLOCK = 8
"""Frames whose mean is compared with that of others."""

NAMES = (
    "score", "since", "filter", "height", "latest", "significance", "rises",
    "walk", "walk_growth", "walk_before", "walk_before_share", "walk_after",
    "walk_8", "walk_16", "walk_32", "walk_wide",
    "moved_8", "moved_24", "moved_all", "offset", "texture",
    "grows", "embryo", "age", "tau", "before",
    "ring_0", "ring_1", "ring_2", "ring_3", "ring_4", "ring_5",
    "lost_near", "gained_near", "sector_least", "sector_most",
    "old_near", "old_far", "old_here",
    "block_0", "block_1", "block_2", "block_3", "block_4", "block_5", "block_6",
    "block_7", "from_top", "radius", "radius_scatter",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """A patch of a movie's last frames around a candidate.

    Attributes
    ----------
    patch
        (n, side, side) float32, standard deviations of the noise; NaN if not seen.
        It is changed by `look`.
    cell, radius
        Width of a cell, and the smallest radius that counts: px.
    unit
        Share of the brightness that one standard deviation is.
    score, since, filter_radius
        Of the proposal: its score, frames since the first one, radius of its filter
        in smallest radii.
    """

    patch: Array
    cell: float
    radius: float
    unit: float
    score: float
    since: int
    filter_radius: float


@dataclass(frozen=True, slots=True)
class Look:
    """What was measured.

    Attributes
    ----------
    values
        (len(NAMES),) float32, in the order of `NAMES`.
    dy, dx
        From the middle of the patch's middle cell to the candidate, px.
    age
        Frames since birth.
    size
        Radius in cells with its scatter.
    rings, baseline
        (RINGS,) float64: log transmission lost now, and before birth.
    """

    values: Array
    dy: float
    dx: float
    age: float
    size: Size
    rings: Array
    baseline: Array


def side_of(radius: float, cell: float) -> int:
    """Return cells on each side of the middle one that are looked at."""
    return max(10, math.ceil(REACH * radius / cell))


def look(place: Place, absorbance: Absorbance) -> Look:
    """Measure a candidate on at least `LEAST` frames."""
    scale, patch = place.radius / place.cell, place.patch
    n, side = patch.shape[0], patch.shape[1]
    profiles.levelled(patch, 4.0 * scale)
    filtered = np.empty_like(patch)
    profiles.smoothed(patch, profiles.gaussian_taps(FILTER * scale), filtered)
    recent = int(np.clip(place.since + 6, 6, 16))
    now = _mean(filtered, n - recent, n)
    y, x = _centre(now, scale)
    signal = np.empty(n)
    profiles.series_at(filtered, y, x, signal)
    texture = _texture(_mean(filtered, 0, n))
    fit = growth_shapes.fit(signal, texture)
    height = max(0.3, float(signal[-recent:].mean()))
    values: dict[str, float] = {
        "score": place.score,
        "since": place.since,
        "filter": place.filter_radius,
        "height": height,
        "latest": float(signal[-4:].mean()) / height,
        "significance": math.sqrt(max(0.0, 2 * (fit.growth - fit.constant))),
        "rises": (float(signal[-4:].mean()) - height) / height,
        "offset": math.hypot(y - side // 2, x - side // 2) / scale,
        "texture": texture,
        "grows": fit.grows,
        "embryo": fit.embryo - fit.growth,
        "age": fit.age,
        "tau": fit.tau,
    }
    values |= _walk(filtered, (y, x), scale, height, fit)
    start = max(0, n - 1 - round(fit.age) - 2)
    values |= _changes(now, _before(filtered, place.since), (y, x), scale, height)
    values |= _blocks(signal, height, start)
    size, rings, baseline = _size(place, absorbance, (y, x), recent, start)
    values |= {
        "radius": size.radius / scale,
        "radius_scatter": size.scatter,
    }
    cell = place.cell
    return Look(
        values=np.array([values[name] for name in NAMES], np.float32),
        dy=(y - side // 2) * cell,
        dx=(x - side // 2) * cell,
        age=fit.age,
        size=size,
        rings=rings,
        baseline=baseline,
    )


def _mean(images: Array, first: int, stop: int) -> Array:
    out = np.empty(images.shape[1:], np.float32)
    profiles.mean_of(images, first, stop, out)
    return out


def _centre(image: Array, scale: float) -> tuple[float, float]:
    """Return the darkest place near the middle, by parabolas through three cells."""
    middle, reach = len(image) // 2, max(2, round(2 * scale))
    near = image[
        middle - reach : middle + reach + 1, middle - reach : middle + reach + 1
    ]
    axis = np.arange(-reach, reach + 1) / scale
    away = axis[:, None] ** 2 + axis[None] ** 2
    i, j = np.divmod(int(np.argmax(near - 0.045 * away)), 2 * reach + 1)
    i, j = int(i) + middle - reach, int(j) + middle - reach
    return (
        i + _top(image[i - 1, j], image[i, j], image[i + 1, j]),
        j + _top(image[i, j - 1], image[i, j], image[i, j + 1]),
    )


def _top(before: float, here: float, after: float) -> float:
    bend = float(before) - 2.0 * float(here) + float(after)
    if bend >= 0:
        return 0.0
    return min(max(0.5 * (float(before) - float(after)) / bend, -0.5), 0.5)


def _texture(image: Array) -> float:
    middle = float(np.median(image))
    return max(0.1, 1.4826 * float(np.median(np.abs(image - middle))))


def _walk(
    filtered: Array,
    place: tuple[float, float],
    scale: float,
    height: float,
    fit: growth_shapes.Fit,
) -> dict[str, float]:
    """Compare walks that end here with growth that began here."""
    n, middle = len(filtered), filtered.shape[1] // 2
    reach = min(middle, round(_WALKED * scale))
    pairs = np.empty((n // 2, 2 * reach + 1, 2 * reach + 1), np.float32)
    profiles.paired(filtered, reach, pairs)
    signal = 0.9 * min(height, _CLEAR) * math.sqrt(2.0)
    ratios = np.empty_like(pairs)
    walks.likeness(pairs, signal, ratios)
    found = np.empty((len(_STEPS), len(pairs), 3))
    y, x = place[0] - middle + reach, place[1] - middle + reach
    for k, step in enumerate(_STEPS):
        taps = walks.step_taps(step * scale * math.sqrt(2.0))
        walks.followed_back(ratios, taps, y, x, 0.7 * scale, found[k])
    top = found[..., 0].max(axis=0)
    mean = top + np.log(np.exp(found[..., 0] - top).mean(axis=0))
    path = found[int(np.argmax(found[:, -1, 0])), :, 1:]
    last, born = len(pairs) - 1, min(len(pairs) - 1, int(fit.age + 4) // 2)
    before, expected = float(mean[last] - mean[born]), 0.5 * signal**2

    def share(k: int) -> float:
        return float(mean[min(k, last)]) / (min(k, last) + 1) / expected

    def moved(k: int) -> float:
        at = path[min(k, last)]
        return math.hypot(at[0] - y, at[1] - x) / scale

    return {
        "walk": share(last),
        "walk_growth": float(mean[last]) - fit.mean_growth,
        "walk_before": before,
        "walk_before_share": before / ((last - born) * expected + 1.0),
        "walk_after": float(mean[born]) - fit.mean_growth,
        "walk_8": share(3),
        "walk_16": share(7),
        "walk_32": share(15),
        "walk_wide": float(found[-1, -1, 0] - found[0, -1, 0]),
        "moved_8": moved(4),
        "moved_24": moved(12),
        "moved_all": moved(last),
    }


def _before(filtered: Array, since: int) -> Array:
    """Return the mean of frames from before the first alarm, and well before."""
    n = len(filtered)
    return _mean(filtered, 0, max(6, n - since - 24) if n > 20 else 6)


def _changes(
    now: Array, old: Array, place: tuple[float, float], scale: float, height: float
) -> dict[str, float]:
    """Compare the surroundings with what they were before."""
    change = (now - old) / np.float32(height)
    radii = np.array(_EDGES) * scale
    rings = np.empty((len(_EDGES) - 1, 2))
    profiles.rings(change, *place, radii, rings)
    near = profiles.around(change, *place, 1.3 * scale, 7.3 * scale)
    ring = profiles.around(change, *place, 2.7 * scale, 6.7 * scale)
    here = np.empty(1)
    profiles.series_at(old[None], *place, here)
    return {
        **{f"ring_{k}": float(rings[k, 0]) for k in range(len(rings))},
        "lost_near": float(near[0]),
        "gained_near": float(ring[1]),
        "sector_least": float(ring[2]),
        "sector_most": float(ring[3]),
        "old_near": profiles.around(old, *place, 0.0, 2.7 * scale)[1] / height,
        "old_far": profiles.around(old, *place, 0.0, 6.7 * scale)[1] / height,
        "old_here": float(here[0]) / height,
    }


def _blocks(signal: Array, height: float, start: int) -> dict[str, float]:
    """Return means over 8 frames, from now back; NaN before the movie began."""
    n = len(signal)
    blocks = np.full(8, np.nan)
    for k in range(min(8, n // _BLOCK)):
        blocks[k] = signal[n - _BLOCK * (k + 1) : n - _BLOCK * k].mean() / height
    before = float(signal[: start - 2].mean()) / height if start > 4 else math.nan
    top = float(np.nanmax(blocks))
    return {
        **{f"block_{k}": float(blocks[k]) for k in range(8)},
        "before": before,
        "from_top": float(blocks[0]) / top if top > 0 else 0.0,
    }


def _size(
    place: Place,
    absorbance: Absorbance,
    at: tuple[float, float],
    recent: int,
    start: int,
) -> tuple[Size, Array, Array]:
    """Return the radius of what appeared, and the rings before and after."""
    n = len(place.patch)
    recent = min(recent, 8)
    rings, variance = log_rings(
        _mean(place.patch, n - recent, n), at, recent, place.unit
    )
    baseline = np.zeros(RINGS)
    if start >= 6:
        first = max(0, start - 24)
        before = _mean(place.patch, first, start)
        baseline, more = log_rings(before, at, start - first, place.unit)
        variance = variance + more
    size = absorbance.size(rings - baseline, variance, place.cell)
    return size, rings, baseline


def log_rings(
    image: Array, at: tuple[float, float], frames: int, unit: float
) -> tuple[Array, Array]:
    """Return log transmission lost in rings about a place, and its variance.

    Parameters
    ----------
    image : (side, side) float32, mean of `frames` frames, standard deviations
    unit : share of the brightness that one standard deviation is
    """
    out = np.empty((RINGS, 2))
    profiles.rings(image, *at, np.arange(RINGS + 1.0), out)
    lost = np.clip(out[:, 0] * unit, -2.0, 0.95)
    variance = 1.5 * unit**2 / (frames * np.maximum(out[:, 1], 0.1))
    return -np.log1p(-lost), variance / (1.0 - lost) ** 2

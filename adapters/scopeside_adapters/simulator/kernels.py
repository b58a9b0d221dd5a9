"""Compiled loops of the simulator: random counts, diffraction disks, particles.

All of them are here because numba's cache looks only at the file of the function it
compiles. Random numbers are a splitmix64 stream that starts from (seed, frame), so a
frame has the same counts whatever came before it [1]_.

Poisson counts are exact and need no rejection. A mean of 3.7 is 3 + 0.7: the whole
part is drawn from an alias table [2]_; the rest advances along a Poisson process of
rate 1 that runs through the frame, and every event it passes is a count. At low dose
the cost is one logarithm an electron and one subtraction a pixel.

References
----------
.. [1] G. L. Steele et al., OOPSLA 2014, doi:10.1145/2660193.2660195
.. [2] A. J. Walker, ACM Trans. Math. Softw. 3, 253 (1977),
   doi:10.1145/355744.355749
"""

# ruff: noqa: PLR0917 - a kernel takes flat arrays by position
from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]
F = TypeVar("F", bound=Callable[..., Any])

LARGEST_MEAN = 128
_OUTCOMES = 256  # P(count > 255) for a mean of 128 is below 1e-20
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31 = np.uint64(27), np.uint64(30), np.uint64(31)
_S11, _S56 = np.uint64(11), np.uint64(56)
_LOW_56 = np.uint64((1 << 56) - 1)


def compiled(function: F) -> F:
    """Compile on first use, keep the result on disk, and run without the GIL."""
    return cast("F", njit(nogil=True, cache=True, error_model="numpy")(function))


@cache
def poisson_tables() -> tuple[Array, Array]:
    """Return alias tables for the means 0 to `LARGEST_MEAN`.

    Returns
    -------
    keep : (LARGEST_MEAN + 1, 256) float64
        Below which an outcome stands.
    alias : (LARGEST_MEAN + 1, 256) int64
        The outcome in its place.
    """
    log_factorial = np.array([math.lgamma(k + 1) for k in range(_OUTCOMES)])
    keep = np.ones((LARGEST_MEAN + 1, _OUTCOMES))
    alias = np.zeros((LARGEST_MEAN + 1, _OUTCOMES), np.int64)
    for mean in range(1, LARGEST_MEAN + 1):
        log_p = np.arange(_OUTCOMES) * math.log(mean) - mean - log_factorial
        keep[mean], alias[mean] = _alias_table(np.exp(log_p))
    return keep, alias


def _alias_table(probability: Array) -> tuple[Array, Array]:
    share = probability / probability.sum() * len(probability)
    alias = np.arange(len(share))
    small = [k for k, s in enumerate(share) if s < 1]
    large = [k for k, s in enumerate(share) if s >= 1]
    while small and large:
        poor, rich = small.pop(), large[-1]
        alias[poor] = rich
        share[rich] -= 1 - share[poor]
        if share[rich] < 1:
            small.append(large.pop())
    return share, alias


@compiled
def mixed(value: Any) -> Any:
    """Return 64 bits in which every bit of `value` has a say."""
    value = (value ^ (value >> _S30)) * _MIX_1
    value = (value ^ (value >> _S27)) * _MIX_2
    return value ^ (value >> _S31)


@compiled
def _next(state: Array) -> Any:
    state[0] += _GOLDEN
    return mixed(state[0])


@compiled
def _exponential(state: Array) -> Any:
    return -math.log(1.0 - (_next(state) >> _S11) * 2.0**-53)


@compiled
def _whole(mean: int, state: Array, keep: Array, alias: Array) -> Any:
    """Draw from Poisson(mean) for a whole `mean`."""
    bits = _next(state)
    outcome = np.int64(bits >> _S56)
    if (bits & _LOW_56) * 2.0**-56 < keep[mean, outcome]:
        return outcome
    return alias[mean, outcome]


@compiled
def draw_counts(
    expected: Array,
    seed: Any,
    frame: int,
    tables: tuple[Array, Array],
    largest: int,
    out: Array,
) -> None:
    """Fill `out` with Poisson counts around `expected`, at most `largest` each."""
    keep, alias = tables
    state = np.empty(1, np.uint64)
    state[0] = mixed(mixed(seed) ^ (np.uint64(frame) * _GOLDEN))
    gap = _exponential(state)
    height, width = expected.shape
    for y in range(height):
        for x in range(width):
            mean = expected[y, x]
            count = np.int64(0)
            while mean >= LARGEST_MEAN:
                count += _whole(LARGEST_MEAN, state, keep, alias)
                mean -= LARGEST_MEAN
            if mean >= 1.0:
                count += _whole(int(mean), state, keep, alias)
                mean -= int(mean)
            gap -= mean
            while gap < 0.0:
                count += 1
                gap += _exponential(state)
            out[y, x] = min(count, largest)


@compiled
def add_profile(
    expected: Array, y0: float, x0: float, weight: float, profile: Array, reach: float
) -> None:
    """Add `weight` times a radial profile centred on (y0, x0).

    `profile` is sampled evenly over the squared radius from 0 to `reach` squared
    (squared: no root per pixel), and is 0 from there on.
    """
    height, width = expected.shape
    scale = (len(profile) - 1) / (reach * reach)
    last = float(len(profile) - 1)
    for y in range(max(0, math.ceil(y0 - reach)), min(height, int(y0 + reach) + 1)):
        dy2 = (y - y0) * (y - y0)
        half = math.sqrt(max(0.0, reach * reach - dy2))
        for x in range(max(0, math.ceil(x0 - half)), min(width, int(x0 + half) + 1)):
            at = (dy2 + (x - x0) * (x - x0)) * scale
            if at < last:
                k = int(at)
                low = profile[k]
                expected[y, x] += weight * (low + (at - k) * (profile[k + 1] - low))


@compiled
def add_pattern(
    expected: Array,
    centres: Array,
    weights: Array,
    diffuse: float,
    disk: tuple[Array, float],
    halo: tuple[Array, float],
) -> None:
    """Set `expected` to disks at `centres` over a halo around the first of them."""
    expected[:] = 0.0
    if diffuse > 0.0:
        add_profile(expected, centres[0, 0], centres[0, 1], diffuse, halo[0], halo[1])
    for k in range(len(weights)):
        if weights[k] > 0.0:
            add_profile(
                expected, centres[k, 0], centres[k, 1], weights[k], disk[0], disk[1]
            )


@compiled
def draw_patterns(
    centres: Array,
    weights: Array,
    diffuse: Array,
    disk: tuple[Array, float],
    halo: tuple[Array, float],
    seed: Any,
    index: Array,
    tables: tuple[Array, Array],
    largest: int,
    out: Array,
) -> None:
    """Fill `out` (n, h, w) with noisy patterns, one for each row of the arguments."""
    expected = np.empty(out.shape[1:])
    for n in range(len(index)):
        add_pattern(expected, centres[n], weights[n], diffuse[n], disk, halo)
        draw_counts(expected, seed, index[n], tables, largest, out[n])


@compiled
def set_liquid(
    expected: Array, level: float, waves: Array, origin: Array, zoom: float
) -> None:
    """Set `expected` to `level` times a sum of plane waves around 1.

    Each row of `waves` is (amplitude, ky, kx, phase) in radians per specimen pixel;
    pixel (y, x) lies at `origin` + (y, x) / `zoom` of the specimen. The waves are
    separated into rows and columns: two products a wave and pixel, no sine.
    """
    height, width = expected.shape
    expected[:] = level
    column_sine, column_cosine = np.empty(width), np.empty(width)
    for k in range(len(waves)):
        amplitude, ky, kx, phase = waves[k]
        for x in range(width):
            angle = kx * (origin[1] + x / zoom)
            column_sine[x], column_cosine[x] = math.sin(angle), math.cos(angle)
        for y in range(height):
            angle = ky * (origin[0] + y / zoom) + phase
            a = level * amplitude * math.sin(angle)
            b = level * amplitude * math.cos(angle)
            for x in range(width):
                expected[y, x] += a * column_cosine[x] + b * column_sine[x]


@compiled
def absorb(
    expected: Array, y0: float, x0: float, radius: float, contrast: float, edge: float
) -> None:
    """Multiply `expected` by the transmission of a soft-edged disk at (y0, x0)."""
    height, width = expected.shape
    reach = radius + 4.0 * edge
    inside = max(0.0, radius - 4.0 * edge)
    for y in range(max(0, math.ceil(y0 - reach)), min(height, int(y0 + reach) + 1)):
        dy2 = (y - y0) * (y - y0)
        for x in range(max(0, math.ceil(x0 - reach)), min(width, int(x0 + reach) + 1)):
            r2 = dy2 + (x - x0) * (x - x0)
            if r2 <= inside * inside:
                expected[y, x] *= 1.0 - contrast
            elif r2 < reach * reach:
                inner = (math.sqrt(r2) - radius) / (edge * math.sqrt(2.0))
                expected[y, x] *= 1.0 - contrast * 0.5 * math.erfc(inner)

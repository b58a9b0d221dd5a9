"""An image that is larger than a screen, one number for each n × n pixels of it.

The mean of those that were seen: a fringe finer than a block leaves its mean level and
no other fringe, as every nth pixel would, and a single bright pixel keeps its counts.
Where numbers are names, as of classes, a mean says nothing: there it is the middle one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

_BAND = 1 << 18
"""Pixels that are worked on at once: they stay near the core."""
_EXACT = 2
"""Bytes of whole numbers whose sums over a block are near enough in float32."""


def means(pixels: Pixels, mask: Mask | None, n: int) -> npt.NDArray[np.float32]:
    """Return the mean of each block of n × n pixels; at the far edges of fewer.

    Parameters
    ----------
    pixels : (rows, columns) or (rows, columns, k), numbers or bool
    mask : (rows, columns), True where there is a value; None: everywhere

    Returns
    -------
    (⌈rows / n⌉, ⌈columns / n⌉, …) float32; NaN where nothing was seen. Pixels that are
    not in `mask`, or NaN, are left out.
    """
    rows, columns, *rest = pixels.shape
    found = np.empty((-(-rows // n), -(-columns // n), *rest), np.float32)
    band = max(1, _BAND // (n * columns * max(1, *rest, 1)))
    for first in range(0, len(found), band):
        there = slice(first * n, (first + band) * n)
        part = None if mask is None else mask[there]
        _means(pixels[there], part, n, found[first : first + band])
    return found


def middles(pixels: Pixels, n: int) -> Pixels:
    """Return the pixel in the middle of each block; at the far edges the last there is.

    Parameters
    ----------
    pixels : (rows, columns, …)
    """
    rows, columns = (
        np.minimum(np.arange(0, size, n) + n // 2, size - 1)
        for size in pixels.shape[:2]
    )
    found: Pixels = pixels[rows[:, None], columns]
    return found


def _means(pixels: Pixels, mask: Mask | None, n: int, out: Pixels) -> None:
    seen = _seen(pixels, mask)
    counts: Pixels
    if seen is None:
        sums = _sums(pixels, n)
        tall, wide = (_sizes(size, n) for size in pixels.shape[:2])
        counts = (tall[:, None] * wide).reshape(*sums.shape[:2], *[1] * (sums.ndim - 2))
    else:
        sums = _sums(np.where(seen, pixels, pixels.dtype.type(0)), n)
        counts = _sums(seen, n)
        counts[counts == 0] = np.nan
    with np.errstate(over="ignore", invalid="ignore"):  # beyond f4 is infinite there
        np.divide(sums, counts, out=out, casting="unsafe")


def _seen(pixels: Pixels, mask: Mask | None) -> Mask | None:
    """Return which numbers count, in the shape of `pixels`; None: all."""
    if mask is not None and pixels.ndim > mask.ndim:
        mask = np.broadcast_to(mask[..., None], pixels.shape)
    if pixels.dtype.kind == "f":
        known = ~np.isnan(pixels)
        mask = known if mask is None else known & mask
    return None if mask is None or bool(mask.all()) else mask


def _sums(values: Pixels, n: int) -> Pixels:
    """Return the sum of each block, float32 where that is near enough, else float64."""
    small = values.dtype.itemsize <= _EXACT or values.dtype == np.float32
    dtype = np.float32 if small else np.float64
    rows, columns, *rest = values.shape
    by_rows = np.zeros((-(-rows // n), columns, *rest), dtype)
    for k in range(min(n, rows)):
        part = values[k::n]
        by_rows[: len(part)] += part
    sums = np.zeros((len(by_rows), -(-columns // n), *rest), dtype)
    for k in range(min(n, columns)):
        part = by_rows[:, k::n]
        sums[:, : part.shape[1]] += part
    return sums


def _sizes(size: int, n: int) -> npt.NDArray[np.int64]:
    """Return how many pixels each block has along a side of `size` pixels."""
    return np.minimum(n, size - np.arange(0, size, n))

"""A look at a sparse scan: what is missing is filled in, smoothly. It is no data.

Positions that were not visited get the values of a thin plate through those that were:
the solution of the biharmonic equation (as in [1]_), which passes smoothly over gaps
and makes planes of planes. Gaps wider than 2 · `REACH` positions stay empty: what would
stand there is made up.

References
----------
.. [1] S. B. Damelin and N. S. Hoang, International Journal of Mathematics and
   Mathematical Sciences 2018, 3950312, doi:10.1155/2018/3950312
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from scopeside_processors.kernels.inpaint import bend_least

Array = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]

REACH = 8
"""Positions from which a gap is closed on either side."""
TOLERANCE = 1e-4
STEPS = 200
"""Steps of each scale at most: they bound the time of a picture."""
_SMALLEST = 8


def inpaint(
    image: Array,
    mask: BoolArray,
    reach: int = REACH,
    tolerance: float = TOLERANCE,
    steps: int = STEPS,
) -> Array:
    """Return an image whose gaps are filled in.

    Parameters
    ----------
    image : (rows, columns), integers or floats
    mask : (rows, columns) bool, True where a value was measured
    reach : gaps up to 2 · reach wide are closed, positions
    tolerance, steps : see `kernels.inpaint.bend_least`

    Returns
    -------
    (rows, columns) float64 (of float images, their dtype)
        Measured values as they are; NaN where a gap is too wide, or where nothing was
        measured. A measured NaN is no measured value.
    """
    mask = mask & np.isfinite(image) if image.dtype.kind == "f" else mask
    dtype = image.dtype if image.dtype.kind == "f" else np.dtype(np.float64)
    there = closed(mask, reach)
    free = there & ~mask
    if not free.any():
        return np.where(mask, image, np.nan).astype(dtype)
    # About its middle, so that rounding is as small as the contrast.
    middle = float(np.median(image[mask]))
    known = np.where(mask, image, middle).astype(np.float64) - middle
    filled = _filled(known, mask, there, tolerance, steps) + middle
    found = np.where(free, filled, np.nan).astype(dtype)
    found[mask] = image[mask]
    return found


def closed(mask: BoolArray, reach: int) -> BoolArray:
    """Return `mask` with gaps up to 2 · reach wide closed.

    It does not grow beyond what was measured (a closing with a disk), as if the image
    were mirrored at its borders: near one it goes on up to it.
    """
    if mask.all() or not mask.any():
        return mask
    beyond = 2 * reach + 1
    mirrored = np.pad(mask, beyond, mode="symmetric")
    grown = ndimage.distance_transform_edt(~mirrored) <= reach
    if grown.all():
        return np.ones_like(mask)
    kept = ndimage.distance_transform_edt(grown) > reach
    inside: BoolArray = kept[beyond:-beyond, beyond:-beyond]
    return inside | mask


def _filled(
    known: FloatArray, mask: BoolArray, there: BoolArray, tolerance: float, steps: int
) -> FloatArray:
    """Fill in on half the scale, where wide gaps are narrow, then refine.

    `known` is 0 where `mask` is False.
    """
    filled = known.copy()
    if min(known.shape) >= _SMALLEST and not mask.all():
        number = _halved(mask.astype(np.float64))
        mean = _halved(known) / np.maximum(number, 1)
        small = _filled(
            mean, number > 0, _halved(there.astype(np.float64)) > 0, tolerance, steps
        )
        rough = _doubled(small, known.shape)
        filled = np.where(mask, known, rough)
    bend_least(filled, there & ~mask, there, tolerance, steps)
    return filled


def _halved(image: FloatArray) -> FloatArray:
    """Return the sums over squares of 2 × 2; an odd last row or column is alone."""
    rows, columns = image.shape
    padded = np.pad(image, ((0, rows % 2), (0, columns % 2)))
    halved: FloatArray = padded.reshape(-(-rows // 2), 2, -(-columns // 2), 2).sum(
        axis=(1, 3)
    )
    return halved


def _doubled(image: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Return an image of twice the size, linear in between."""
    for axis in (0, 1):
        before, after = np.roll(image, 1, axis), np.roll(image, -1, axis)
        first = [slice(None)] * 2
        first[axis] = slice(0, 1)
        before[tuple(first)] = image[tuple(first)]
        last = [slice(None)] * 2
        last[axis] = slice(-1, None)
        after[tuple(last)] = image[tuple(last)]
        pair = [0.75 * image + 0.25 * before, 0.75 * image + 0.25 * after]
        twice = list(image.shape)
        twice[axis] *= 2
        image = np.stack(pair, axis + 1).reshape(twice)
    return image[: shape[0], : shape[1]]

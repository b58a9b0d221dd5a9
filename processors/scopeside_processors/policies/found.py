"""Places in a result: rows of a table, or spots of an image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from scopeside.control.policy import Seen
from scopeside.result import Result

FloatArray = npt.NDArray[np.float64]

_NORMAL = 1.4826
"""Standard deviations of a normal distribution in its median absolute deviation."""


def is_last(seen: Seen) -> bool:
    """Whether no later value of this quantity comes from its acquisition."""
    frames = seen.acquisition.frames
    return seen.final or (frames is not None and seen.result.frame >= frames - 1)


def places_in(
    result: Result, rank: str | None, sigmas: float
) -> tuple[FloatArray, FloatArray]:
    """Return (n, 2) places (y, x), px, and (n,) ranks: the higher, the sooner.

    Parameters
    ----------
    rank
        Column of a table that ranks its rows; None: the first row is the first.
    sigmas
        Spots of an image are its local maxima that lie so many standard deviations
        above the median; they are ranked by height.
    """
    data = np.asarray(result.data)
    if data.ndim != 2 or data.dtype.kind not in "iufb":
        return np.empty((0, 2)), np.empty(0)
    if result.kind == "table":
        places, ranks = _rows(result, data.astype(np.float64), rank)
    else:
        places, ranks = _spots(result, data.astype(np.float64), sigmas)
    good = np.isfinite(places).all(axis=1) & np.isfinite(ranks)
    return places[good], ranks[good]


def apart(places: FloatArray, from_these: FloatArray, distance: float) -> list[int]:
    """Return which places lie so far from all those before them and `from_these`."""
    kept: list[int] = []
    near = from_these
    for k, place in enumerate(places):
        if not len(near) or np.hypot(*(near - place).T).min() >= distance:
            kept.append(k)
            near = np.concatenate([near.reshape(-1, 2), place[None]])
    return kept


def _rows(
    result: Result, table: FloatArray, rank: str | None
) -> tuple[FloatArray, FloatArray]:
    columns = list(result.meta.get("columns", ()))
    wanted = ["y", "x"] if rank is None else ["y", "x", rank]
    if len(columns) != table.shape[1] or any(name not in columns for name in wanted):
        return np.empty((0, 2)), np.empty(0)
    places = table[:, [columns.index("y"), columns.index("x")]]
    if rank is None:
        return places, -np.arange(len(table), dtype=np.float64)
    return places, table[:, columns.index(rank)]


def _spots(
    result: Result, image: FloatArray, sigmas: float
) -> tuple[FloatArray, FloatArray]:
    seen = np.isfinite(image)
    if result.mask is not None and result.mask.shape == image.shape:
        seen &= result.mask
    if not seen.any():
        return np.empty((0, 2)), np.empty(0)
    level = float(np.median(image[seen]))
    noise = _NORMAL * float(np.median(np.abs(image[seen] - level)))
    flat = np.where(seen, image, -np.inf)
    highest = flat == ndimage.maximum_filter(
        flat, size=3, mode="constant", cval=-np.inf
    )
    found = np.argwhere(highest & seen & (flat > level + sigmas * noise))
    return found.astype(np.float64), image[tuple(found.T)]

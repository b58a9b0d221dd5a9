"""The pixels that count for the centre of mass."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from scopeside.errors import ConfigError
from scopeside_processors.kernels import com as kernels
from scopeside_processors.stem.dead import Dead, DeadPixels, dead_of
from scopeside_processors.stem.detectors import Detector, Point, Shape
from scopeside_processors.stem.layout import pixels_of, stamp_of


def region_of(
    mask: Detector | None, shape: Shape, centre: Point | None, dead: Dead = None
) -> kernels.Region:
    """Return the pixels that count: those of `mask`, or all, that are not dead.

    Raises
    ------
    ConfigError
        If there is no such pixel in frames of ``shape (height, width)``, or a file is
        of no use.
    """
    pixels = dead_of(dead, shape)
    if mask is None:
        return pixels.living
    return _masked(mask, shape, centre, pixels, stamp_of("mask", mask))


@lru_cache(maxsize=16)
def held_by(region: kernels.Region, shape: Shape) -> npt.NDArray[np.bool_]:
    """Return the pixels of a region, (height, width)."""
    return kernels.held_by(region, shape)


@lru_cache(maxsize=16)
def _masked(
    mask: Detector,
    shape: Shape,
    centre: Point | None,
    dead: DeadPixels,
    _file: tuple[int, int],
) -> kernels.Region:
    held = pixels_of("mask", mask, shape, centre)
    if held.dtype != np.bool_:
        raise ConfigError(
            f"mask.mask: {mask.mask} holds weights; for com a pixel counts or does "
            "not: 1 or 0"
        )
    held = held & ~dead.held
    if not held.any():
        raise ConfigError("mask: no pixel left, all of its pixels are dead")
    return kernels.region_of(held)

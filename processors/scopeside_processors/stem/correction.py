"""What counts are corrected by before they are summed: dark image, gain, dead pixels.

A pixel of a frame is (count - dark) times gain. A sum with weights is then

    sum of weight · gain · count - sum of weight · gain · dark,

so a frame is read once, as it came, and the last term is worked out once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.errors import ConfigError
from scopeside_processors.kernels.virtual import Weights, sum_weighted
from scopeside_processors.stem.dead import (
    Dead,
    DeadPixels,
    Stamp,
    dead_of,
    stamp_of_file,
)
from scopeside_processors.stem.detectors import Shape, load_image

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Correction:
    """What the counts of frames of one shape are corrected by.

    Attributes
    ----------
    dead
        The pixels that are left out.
    dark, gain
        (height, width) float64, counts and a factor; None: 0 and 1.
    """

    dead: DeadPixels
    dark: FloatArray | None = None
    gain: FloatArray | None = None

    @property
    def weighs(self) -> bool:
        """Whether sums are of corrected counts, float64."""
        return self.dark is not None or self.gain is not None

    def of(self, held: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return what a pixel counts of a detector that holds ``held (height, width)``.

        bool as `held` is, or float64 with a gain or a dark image; 0 where it is dead.
        """
        found = np.where(self.dead.held, np.zeros((), held.dtype), held)
        if not self.weighs:
            return found
        return found * (1.0 if self.gain is None else self.gain)

    def offset(self, weights: Weights) -> FloatArray:
        """Return what the dark image adds up to over each region, (regions,) counts."""
        if self.dark is None:
            return np.zeros(len(weights.bounds) - 1)
        found: FloatArray = sum_weighted(self.dark[None], weights)[0]
        return found


def correction_of(
    dead: Dead, dark: Path | None, gain: Path | None, shape: Shape
) -> Correction:
    """Return the correction of frames of ``shape (height, width)``.

    The same object for the same files, as long as they do not change.

    Raises
    ------
    ConfigError
        If a file is of no use; the message names the key.
    """
    stamps = stamp_of_file("dark", dark), stamp_of_file("gain", gain)
    return _correction(dead_of(dead, shape), dark, gain, shape, stamps)


@lru_cache(maxsize=16)
def _correction(
    dead: DeadPixels,
    dark: Path | None,
    gain: Path | None,
    shape: Shape,
    _files: tuple[Stamp, Stamp],
) -> Correction:
    return Correction(dead, _image("dark", dark, shape), _image("gain", gain, shape))


def _image(key: str, path: Path | None, shape: Shape) -> FloatArray | None:
    if path is None:
        return None
    try:
        return load_image(path, shape, key).astype(np.float64)
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from error

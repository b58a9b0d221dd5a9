"""Finds round particles in single frames of a movie, down to what noise allows.

The frame is divided by its smooth background, so that dose, beam profile and flicker
drop out. What stands still in the specimen and is no particle - the membrane's texture,
the pattern of the detector's gain - is learnt where no particle is, and taken off.
Matched filters at a few radii follow; a Gaussian of sigma 0.55 times the radius has 98
to 99 % of the signal-to-noise ratio of the projected sphere. Their heights are in units
of the noise, which is measured in each frame from the median absolute deviation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from scopeside_processors.kernels import spots as kernels

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

SIGMA_OF_RADIUS = 0.55
"""The Gaussian that fits a projected sphere best, by its radius."""

_BLOCK = 8
_SMOOTH = 2.0
"""Background: means of blocks, blurred by so many blocks."""
_MOST = 8192
"""Maxima of a frame that are kept."""
_MEMORY = 200.0
"""Frames over which what stands still is averaged."""


@dataclass(frozen=True, slots=True, eq=False)
class Spots:
    """What was found in a frame.

    Attributes
    ----------
    places : (n, 2) float64, px in the frame
    snr : (n,) height of the matched filter in units of its noise
    radius : (n,) px, of the sphere whose matched filter fits best
    sigma : (n,) px, standard deviation of each coordinate
    """

    places: FloatArray
    snr: FloatArray
    radius: FloatArray
    sigma: FloatArray

    def __len__(self) -> int:
        return len(self.places)


class SpotFinder:
    """Finds particles in frame after frame, and learns what is none.

    Parameters
    ----------
    shape : of the frames
    radii : (smallest, largest) of the particles, px
    least_snr : lowest height of what is kept
    sign : -1 where particles are dark, 1 where they are bright
    offset : counts of a dark pixel
    """

    def __init__(
        self,
        shape: tuple[int, int],
        radii: tuple[float, float],
        least_snr: float,
        sign: int = -1,
        offset: float = 0.0,
    ) -> None:
        self._shape, self._least, self._sign, self._offset = (
            shape, least_snr, sign, offset,
        )  # fmt: skip
        self._radii = _radii(*radii)
        self._sigmas = SIGMA_OF_RADIUS * self._radii
        steps = np.sqrt(np.diff(self._sigmas**2, prepend=0.0))
        self._taps = [kernels.taps(float(s)) for s in steps]
        blocks = tuple(math.ceil(n / _BLOCK) for n in shape)
        self._coarse = np.empty(blocks, np.float32)
        self._image = np.empty(shape, np.float32)
        self.responses = np.empty((len(self._radii), *shape), np.float32)
        self._line = np.empty(shape[1] + 2 * max(map(len, self._taps)), np.float32)
        self._found = np.empty((_MOST, 4))
        self._before: Array | None = None
        self._settles = 8.0
        self.independent = 1.0
        self.still = np.zeros(shape, np.float32)
        self.weight = np.zeros(shape, np.float32)

    def find(self, frame: Array) -> Spots | None:
        """Return the particles in `frame`; None where it has no background."""
        if not self._normalise(frame):
            return None
        self.scale = self._filter()
        margin = 2
        n = kernels.peaks(self.responses, self.scale, self._least, margin, self._found)
        found = self._found[:n]
        last = len(self._radii) - 1
        radius = np.exp(
            np.interp(found[:, 3], np.arange(last + 1), np.log(self._radii))
        )
        snr = found[:, 2].copy()
        sigma = np.sqrt(2.0) * SIGMA_OF_RADIUS * radius / snr
        return Spots(found[:, :2].copy(), snr, radius, np.maximum(sigma, 0.05))

    def _normalise(self, frame: Array) -> bool:
        kernels.block_means(frame, _BLOCK, self._coarse)
        coarse = ndimage.gaussian_filter(
            self._coarse - np.float32(self._offset), _SMOOTH, mode="nearest"
        )
        middle = float(np.median(coarse))
        if not middle > 0:
            return False
        np.maximum(coarse, np.float32(0.05 * middle), out=coarse)
        kernels.contrast(frame, self._offset, self._sign, coarse, _BLOCK, self._image)
        part = self._image[::4]
        steps = np.abs(np.diff(part, axis=1))
        self.noise = float(1.2533 / math.sqrt(2) * steps.mean())
        kernels.mend(self._image, self.noise)
        return True

    def _filter(self) -> Array:
        """Blur what moves; return the factors that make the noise of each 1."""
        share = self.weight / (self.weight + self._settle())
        image = self._image - share * self.still
        source = image
        for half, out in zip(self._taps, self.responses, strict=True):
            kernels.blur(source, half, self._line, out)
            source = out
        spread = np.array([_spread(r) for r in self.responses])
        self._judge(spread, float(share[::8, ::8].mean()))
        return (1 / spread).astype(np.float32)

    def _judge(self, spread: FloatArray, share: float) -> None:
        """Learn how much of the spread stands still, and is yet to be learnt."""
        part = self.responses[:, ::4, ::4].copy()
        noise = self.noise / (2 * math.sqrt(math.pi) * self._sigmas)
        if self._before is not None:
            noise = np.array(
                [_mad(a - b) for a, b in zip(part, self._before, strict=True)]
            ) / math.sqrt(2)
        self._before = part
        still = np.maximum(spread**2 - noise**2, 1e-4 * spread**2)
        self.independent = float(np.clip((noise**2 / spread**2).mean(), 0.05, 1))
        if share < 0.7:
            ratio = float((noise**2 * (1 - share) ** 2 / still).mean())
            ratio = min(max(ratio, 1.0), 30.0)
            self._settles += 0.3 * (ratio - self._settles)

    def _settle(self) -> float:
        import os

        return self._settles * float(os.environ.get("SETX", "1"))

    def learn(self, places: FloatArray, radius: FloatArray) -> None:
        """Take the frame's contents for still, except around particles at `places`."""
        free = np.ones(self._shape, np.bool_)
        cover(free, places, radius)
        share = np.where(free, 1 / (self.weight + 1), 0).astype(np.float32)
        self.still += share * (self._image - self.still)
        self.weight += free
        np.minimum(self.weight, np.float32(_MEMORY), out=self.weight)


def cover(free: Array, places: FloatArray, radius: FloatArray) -> None:
    """Set `free` False in disks."""
    height, width = free.shape
    for (y, x), r in zip(places, radius, strict=True):
        y0, y1 = max(0, math.floor(y - r)), min(height, math.ceil(y + r) + 1)
        x0, x1 = max(0, math.floor(x - r)), min(width, math.ceil(x + r) + 1)
        if y0 < y1 and x0 < x1:
            dy, dx = np.ogrid[y0 - y : y1 - y, x0 - x : x1 - x]
            free[y0:y1, x0:x1] &= dy * dy + dx * dx > r * r


def _radii(smallest: float, largest: float) -> FloatArray:
    """Return radii whose matched filters lose a few per cent between them."""
    count = max(2, math.ceil(math.log(largest / smallest) / math.log(1.6)) + 1)
    return np.geomspace(smallest, largest, count)


def _spread(image: Array) -> float:
    """Return the standard deviation of the noise, robustly."""
    part = image[::4, ::4]
    return _mad(part) + 1e-12


def _mad(values: Array) -> float:
    return float(1.4826 * np.median(np.abs(values - np.median(values))))

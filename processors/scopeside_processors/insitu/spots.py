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

from scopeside_processors.kernels import binning
from scopeside_processors.kernels import spots as kernels

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

SIGMA_OF_RADIUS = 0.55
"""The Gaussian that fits a projected sphere best, by its radius."""

_NARROWEST = 0.75
"""Pixels that the narrowest matched filter has at least after binning."""
_BACKGROUND = 16.0
"""Pixels over which the background is smoothed, at least."""
_SMOOTH = 2.0
"""Blocks of which the background is made, in one of these."""
_SETTLE = 50.0
"""Frames after which half of what seems to stand still is believed. The texture could
be known earlier; but weak particles that move slowly must not be taken for it."""
_SPARSE = 3
"""Noise is measured at every third pixel of the images, each way."""
_MOST = 8192
"""Maxima of a frame that are kept."""
_MEMORY = 250.0
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

    Frames are binned as far as the smallest matched filter allows.

    Parameters
    ----------
    shape : of the frames
    radii : (smallest, largest) of the particles, px
    least_snr : lowest height of what is kept
    sign : -1 where particles are dark, 1 where they are bright
    offset : counts of a dark pixel

    Attributes
    ----------
    bin
        px of a frame to one of the images, each way.
    responses : (k, rows, columns) float32
        Matched filters of the last frame.
    scale : (k,) float32
        Factors that make their noise 1.
    independent
        Share of the variance in them that is new in each frame.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        radii: tuple[float, float],
        least_snr: float,
        sign: int = -1,
        offset: float = 0.0,
    ) -> None:
        self._least, self._sign = least_snr, sign
        self.radii = _radii(*radii)
        self.bin = max(1, int(SIGMA_OF_RADIUS * radii[0] / _NARROWEST))
        self.bin = min(self.bin, *shape)
        self._offset = offset * self.bin**2
        self._sigmas = SIGMA_OF_RADIUS * self.radii / self.bin
        # Binning has blurred already, as much as a box does.
        wide = np.maximum(self._sigmas**2 - (self.bin**2 - 1) / (12 * self.bin**2), 0.2)
        self._blurs = np.sqrt(wide)
        steps = np.sqrt(np.diff(wide, prepend=0))
        self._taps = [kernels.taps(float(s)) for s in steps]
        self.shape = shape[0] // self.bin, shape[1] // self.bin
        background = max(_BACKGROUND, 2.5 * radii[1])
        self._block = max(1, math.ceil(background / _SMOOTH / self.bin))
        self._coarse = np.empty(
            [math.ceil(n / self._block) for n in self.shape], np.float32
        )
        self._binned = np.empty(self.shape, np.float32)
        self._image = np.empty(self.shape, np.float32)
        self._moving = np.empty(self.shape, np.float32)
        self.responses = np.empty((len(self.radii), *self.shape), np.float32)
        most = 2 * max(map(len, self._taps))
        self._line = np.empty(self.shape[1] + most, np.float32)
        self._found = np.empty((_MOST, 4))
        self.scale = np.ones(len(self.radii), np.float32)
        self.independent = 1.0
        self._before: Array | None = None
        self._frames = 0
        self._ground = Ground(self.shape)

    def find(self, frame: Array, drift: tuple[float, float] = (0.0, 0.0)) -> Spots:
        """Return the particles in `frame`, whose content has moved by `drift` px."""
        self._normalise(frame)
        self._ground.follow((drift[0] / self.bin, drift[1] / self.bin))
        self._ground.take_off(self._image, self._moving)
        source = self._moving
        for half, out in zip(self._taps, self.responses, strict=True):
            kernels.blur(source, half, self._line, out)
            source = out
        self._measure_noise()
        n = kernels.peaks(self.responses, self.scale, self._least, 1, self._found)
        found = self._found[:n]
        numbers = np.arange(len(self.radii))
        radius = np.exp(np.interp(found[:, 3], numbers, np.log(self.radii)))
        snr = found[:, 2].copy()
        sigma = math.sqrt(2) * SIGMA_OF_RADIUS * radius / snr
        places = (found[:, :2] + 0.5) * self.bin - 0.5
        return Spots(places, snr, radius, np.maximum(sigma, 0.05))

    def heights(self, places: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return (n,) the heights at `places` (n, 2) px, and the radii they fit."""
        at = np.rint((places + 0.5) / self.bin - 0.5).astype(np.int64)
        at = np.clip(at, 0, np.array(self.shape) - 1)
        found = self.responses[:, at[:, 0], at[:, 1]] * self.scale[:, None]
        return found.max(axis=0).astype(np.float64), self.radii[found.argmax(axis=0)]

    def flanks(self, snr: FloatArray, radius: FloatArray) -> FloatArray:
        """Return (n,) px up to which particles are higher than the noise."""
        width = SIGMA_OF_RADIUS**2 * (radius**2 + self.radii[-1] ** 2)
        return np.asarray(np.sqrt(2 * width * np.log(np.maximum(snr, 1.5))) + 2)

    def learn(self, places: FloatArray, radius: FloatArray) -> None:
        """Take the frame's contents for still, except around particles at `places`."""
        free = np.ones(self.shape, np.bool_)
        at = (places + 0.5) / self.bin - 0.5
        kernels.cover(at, radius / self.bin, False, free)
        self._ground.take_in(self._image, free)

    @property
    def turned(self) -> tuple[int, int]:
        """How far the last frame's content has moved, in whole pixels of the images."""
        return self._ground.turned

    def forget(self) -> None:
        """Begin anew: the content is not that of before."""
        self._ground = Ground(self.shape)
        self._before, self._frames = None, 0

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        return {
            "before": self._before,
            "ground": self._ground.state(),
            "independent": self.independent,
            "frames": self._frames,
        }

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        before = state["before"]
        self._before = None if before is None else before.copy()
        self._ground.take_over(state["ground"])
        self.independent, self._frames = state["independent"], state["frames"]

    def _normalise(self, frame: Array) -> None:
        """Put the contrast of `frame` into the image."""
        if self.bin > 1:
            binning.binned(frame, self.bin, self._binned)
        else:
            self._binned[:] = frame
        kernels.block_means(self._binned, self._block, self._coarse)
        coarse = self._coarse - np.float32(self._offset)
        ndimage.gaussian_filter(coarse, _SMOOTH, mode="nearest", output=coarse)
        middle = max(float(np.median(coarse)), 1e-6)
        np.maximum(coarse, np.float32(0.05 * middle), out=coarse)
        kernels.contrast(
            self._binned, self._offset, self._sign, coarse, self._block, self._image
        )
        bends = np.abs(np.diff(self._image[::4], n=2, axis=1))
        noise = math.sqrt(math.pi / 12) * float(bends.mean(dtype=np.float64))
        self._noise = noise
        kernels.mend(self._image, noise)

    def _measure_noise(self) -> None:
        """Measure the noise of the responses, and how much of it is new."""
        part = self.responses[:, ::_SPARSE, ::_SPARSE].copy()
        spread = np.array([_below(one) for one in part]) + 1e-9
        noise = self._noise / (2 * math.sqrt(math.pi) * self._blurs)
        if self._before is not None:
            steps = zip(part, self._before, strict=True)
            noise = np.array([_mad(a - b) for a, b in steps]) / math.sqrt(2)
        self._before = part
        self.scale = (1 / spread).astype(np.float32)
        independent = float(np.clip((noise**2 / spread**2).mean(), 0.05, 1))
        self._frames += 1
        share = max(1 / self._frames, 0.05)
        self.independent += share * (independent - self.independent)


class Ground:
    """What stands still in the specimen: the mean of where no particle is.

    Its pixels stay where they are in the specimen, and turn round the frame as that
    drifts; parts of a pixel are interpolated.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._still = np.zeros(shape, np.float32)
        self._weight = np.zeros(shape, np.float32)
        self._at = (0, 0)
        self._part = (0.0, 0.0)
        self.turned = (0, 0)

    def follow(self, drift: tuple[float, float]) -> None:
        """Lie where the specimen lies in a frame, `drift` in pixels."""
        at = math.ceil(drift[0]), math.ceil(drift[1])
        self._part = at[0] - drift[0], at[1] - drift[1]
        self.turned = at[0] - self._at[0], at[1] - self._at[1]
        self._at = at
        if self.turned != (0, 0):
            turn(self._still, self.turned, 0.0)
            turn(self._weight, self.turned, 0.0)

    def take_off(self, image: Array, out: Array) -> None:
        """Fill `out` with `image` less what stands still, as far as that is known."""
        kernels.take_off(image, self._still, self._weight, _SETTLE, self._part, out)

    def take_in(self, image: Array, free: Array) -> None:
        """Learn from `image` where it is `free`."""
        kernels.take_in(image, free, self._still, self._weight, _MEMORY, self._part)

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        return {
            "still": self._still,
            "weight": self._weight.astype(np.uint8),
            "at": list(self._at),
        }

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._still = state["still"].copy()
        self._weight = state["weight"].astype(np.float32)
        self._at = tuple(state["at"])


def turn(image: Array, by: tuple[int, int], empty: float) -> None:
    """Move the contents of `image` (rows, columns), `empty` where none comes from."""
    height, width = image.shape
    dy, dx = min(max(by[0], -height), height), min(max(by[1], -width), width)
    moved = np.full_like(image, empty)
    moved[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = image[
        max(-dy, 0) : height - max(dy, 0), max(-dx, 0) : width - max(dx, 0)
    ]
    image[:] = moved


def _radii(smallest: float, largest: float) -> FloatArray:
    """Return radii whose matched filters lose a few per cent between them."""
    count = max(2, math.ceil(math.log(largest / smallest) / math.log(1.6)) + 1)
    return np.geomspace(smallest, largest, count)


def _below(values: Array) -> float:
    """Return the standard deviation by the lower half, where no particle is."""
    flat = values.ravel()
    low, middle = len(flat) * 16 // 100, len(flat) // 2
    found = np.partition(flat, (low, middle))
    return float(found[middle] - found[low]) / 0.9945


def _mad(values: Array) -> float:
    """Return the standard deviation of what has its middle at 0, robustly."""
    flat = np.abs(values.ravel())
    middle = len(flat) // 2
    return 1.4826 * float(np.partition(flat, middle)[middle])

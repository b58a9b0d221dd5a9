"""Finds how far the content of a frame has moved against a running template.

With the power of the noise in each ring of frequencies the weighted cross-correlation
of a frame with the template is the logarithm of a likelihood, in nats (`template`). A
random walk that may jump is the prior (`walk`); where both together are highest the
content lies, and how they curve there says how well that is known. Where blocks of the
frame pull it to and fro by more than noise explains, it is known less well by that much
(the sandwich covariance of P. J. Huber, Proc. 5th Berkeley Symp. 1, 221 (1967)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from scopeside_processors.insitu.band import Band
from scopeside_processors.insitu.fixtures import Rectangle, covered, cut_out
from scopeside_processors.insitu.hot_pixels import HotPixels
from scopeside_processors.insitu.template import Template
from scopeside_processors.insitu.walk import Walk
from scopeside_processors.kernels import binning, contrast
from scopeside_processors.kernels.virtual import as_stored

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

_HOT = 5.0
"""Standard deviations above the mean from where on a pixel may be hot."""
_SIDE = 1024
"""Pixels that the shorter side of a frame keeps; larger ones are binned. What that
loses is finer than what most frames hold above their noise."""
_FEW = 256
"""One pixel in so many may stand out at most."""
_BLOCKS = 32
"""Blocks along each side whose means make the surroundings of a pixel."""
_AROUND = 1.0
"""Standard deviation of the Gaussian that smooths them, blocks."""

ENOUGH = 20.0
"""Evidence in nats that a template must hold to be missed."""
_HALF = 0.5
"""A match below this, for sure, is none."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Where the content of a frame lies.

    Attributes
    ----------
    shift
        (2,) float64 (dy, dx), px from where it lay in the template.
    covariance
        (2, 2) float64, px².
    lock
        Probability that the content lies there and nowhere else, 0 to 1.
    jumped
        Whether it moved further than the walk so far explains.
    match
        How much of the template the frame shows: 1 all, 0 nothing.
    evidence
        What a perfect match would come to, nats: the template's content in one frame.
    settled
        How far the template itself can be trusted, 0 to 1: it stands on few frames at
        first, whose own places are as uncertain as this one's.
    """

    shift: FloatArray
    covariance: FloatArray
    lock: float
    jumped: bool
    match: float
    evidence: float
    settled: float

    @property
    def missed(self) -> bool:
        """Whether the frame surely does not show what the template holds."""
        if self.evidence < ENOUGH:
            return False
        return self.match + 2 / math.sqrt(self.evidence) < _HALF


class Registration:
    """Registers frames (height, width), one after another, with what went before.

    Parameters
    ----------
    shape : (height, width) of a frame, px
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._size = max(1, min(shape) // _SIDE)
        shape = (max(1, shape[0] // self._size), max(1, shape[1] // self._size))
        self._bins = np.empty(shape, np.float32) if self._size > 1 else None
        self._band = Band(shape)
        self._room = np.empty(shape, np.float32)
        blocks = (max(1, min(_BLOCKS, n // 4)) for n in shape)
        self._blocks = np.empty(tuple(blocks), np.float32)
        self.ignored: tuple[Rectangle, ...] = ()
        """What stays on the detector and is no content, px of the frame."""
        self._found = np.zeros(max(1, shape[0] * shape[1] // _FEW), np.int64)
        self._hot = HotPixels()
        self.reset()

    def reset(self) -> None:
        """Forget the template and the walk."""
        self._template = Template(self._band)
        self.walk = Walk()

    def register(self, frame: Array, mean: float, missing: int = 0) -> Estimate:
        """Return where the content of `frame` lies, and take it into the template.

        Parameters
        ----------
        frame : (height, width) counts, finite
        mean : of the frame, counts per pixel, above zero
        missing : frames between the one before and this one that were not seen
        """
        template = self._template
        if self.ignored:
            frame = covered(frame, self.ignored)
        if self._bins is not None:
            frame = binning.binned(frame, self._size, self._bins)
            mean *= self._size**2
        spectrum = self._spectrum(frame, mean)
        if not template.frames:
            template.begin(spectrum, mean)
            still = np.zeros(2), np.zeros((2, 2))
            return Estimate(*still, 1.0, False, 1.0, 0.0, template.settled)
        product, evidence = template.compare(spectrum, mean)
        self.walk.wait(1 + missing)
        peak = self._band.peak(product, self.walk)
        found = self.walk.step(peak, evidence)
        settled, lock = template.settled, found.lock
        template.take(spectrum, mean, found.shift, lock)
        return Estimate(
            found.shift * self._size,
            found.covariance * (self._size**2 * max(1.0, template.discord)),
            lock,
            found.jumped,
            peak.height / evidence if evidence > 0 else 0.0,
            evidence,
            settled,
        )

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        return {
            "template": self._template.state(),
            "walk": self.walk.state(),
            "hot": self._hot.state(),
        }

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._template.take_over(state["template"])
        self.walk.take_over(state["walk"])
        self._hot.take_over(state["hot"])

    def _spectrum(self, frame: Array, mean: float) -> Array:
        """Return the spectrum of the contrast of a frame against its surroundings."""
        spread = float(frame[::4, ::4].std(dtype=np.float64))
        stored = as_stored(frame)
        rows, columns = self._band.tapers
        contrast.block_means(stored, self._blocks)
        around = ndimage.gaussian_filter(self._blocks, _AROUND, mode="nearest")
        found = contrast.contrast(
            stored, mean, _HOT * spread, around, rows, columns, self._room, self._found
        )
        hot = self._hot.take(self._found[:found])
        contrast.cool(stored, mean, rows, columns, hot, self._room)
        cut_out(self._room, self.ignored, self._size)
        return self._band.cut(self._room)

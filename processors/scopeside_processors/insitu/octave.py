"""Evidence for one size of nucleus: a matched filter and averages over time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside_processors.insitu.alarm_rate import level_for
from scopeside_processors.kernels import sequential

Array = npt.NDArray[Any]

FRAMES = (2.0, 6.0, 18.0, 54.0)
"""Frames that each average stands on; its share of the new frame is 1 over it."""
_WIDTH = 0.6
"""Of the Gaussian that matches a sphere's shadow, in radii."""
_BLOCK = 4.0
"""Blocks that make up the surroundings, in widths of the Gaussian."""
_BRIGHT = 0.2
"""Surroundings count as at most so much brighter than those of four times their size,
in standard deviations: next to what brightens nothing seems to darken."""
_MOST = 6.0
"""No frame counts for more than so many standard deviations."""
_SAMPLES = 48
"""Scatter is measured on a grid of so many cells each way."""
_SETTLE = 1.0 / 16.0
_OFTEN = 32
"""Frames in which the scatter of each average is measured in every frame."""


class Octave:
    """Averages what a filter of one radius finds, and scores it.

    Attributes
    ----------
    score
        (rows, columns) float32: the best average of each cell over the level that noise
        alone crosses at the rate that was asked for.
    """

    def __init__(self, shape: tuple[int, int], radius: float, rate: float) -> None:
        """Make one for `radius` in cells; `rate` of false alarms per frame."""
        width = _WIDTH * radius
        self._taps = sequential.gaussian_taps(width)
        self._share = float((2 * self._taps.sum() - self._taps[0]) ** 2)
        self._margin = math.ceil(2 * width)
        self._size = max(2, round(_BLOCK * width))
        rows, columns = (-(-n // self._size) for n in shape)
        self._around = np.zeros((rows, columns), np.float32)
        self._smooth = np.zeros_like(self._around)
        self._wide = np.zeros((-(-rows // 4), -(-columns // 4)), np.float32)
        self._found = np.zeros(shape, np.float32)
        self.score = np.zeros(shape, np.float32)
        self.averages = np.zeros((len(FRAMES), *shape), np.float32)
        self._shares = np.array([1.0 / n for n in FRAMES], np.float32)
        self._cells = shape[0] * shape[1] / (4 * math.pi * width**2)
        self.allow(rate)
        self.noise = 1.0
        self.scatter = np.zeros(len(FRAMES))
        self._frames = 0

    def allow(self, rate: float) -> None:
        """Let noise alone raise `rate` alarms per frame from now on."""
        each = rate / len(FRAMES)
        self.levels = np.array([level_for(each, self._cells, 1.0 / n) for n in FRAMES])
        """Of each average, in its standard deviations: a score of 1."""

    def take(self, residual: Array, seen: Array, usual: float, least: float) -> None:
        """Take in a residual (rows, columns) float32; see `sequential.accumulated`."""
        self._filter(residual)
        known = self._sample(seen) >= 0.5 * usual
        share = max(_SETTLE, 1.0 / (self._frames + 1))
        self.noise += share * (self._scatter_of(self._found, known) - self.noise)
        self._frames += 1
        self._score(seen, usual, least)
        for k in self._due():
            now = self._scatter_of(self.averages[k], known)
            self.scatter[k] += min(1.0, 4 * share) * (now - self.scatter[k])

    def _due(self) -> range:
        """Return of which averages the scatter is measured now: in turn, once known."""
        number = len(FRAMES)
        if self._frames <= _OFTEN:
            return range(number)
        turn = self._frames % number
        return range(turn, turn + 1)

    def cut(self, top: int, bottom: int, left: int, stop: int) -> None:
        """Let nothing count that is too near to the edge of what was seen."""
        m = self._margin
        self.score[: top + m] = 0
        self.score[max(bottom - m, 0) :] = 0
        self.score[:, : left + m] = 0
        self.score[:, max(stop - m, 0) :] = 0

    def _score(self, seen: Array, usual: float, least: float) -> None:
        a = self._shares.astype(np.float64)
        grown = 1.0 - (1.0 - a) ** (2.0 * self._frames)
        scatter = np.maximum(self.scatter, np.sqrt(a / (2.0 - a) * grown))
        weights = 1.0 / (self.levels * scatter)
        sequential.accumulated(
            self._found,
            1.0 / max(self.noise, 1e-3),
            _MOST,
            self._shares,
            weights.astype(np.float32),
            (-3.0 * scatter).astype(np.float32),
            seen,
            usual,
            least,
            self.averages,
            self.score,
        )

    def _filter(self, residual: Array) -> None:
        sequential.blocks(residual, self._size, 4.0, self._around)
        sequential.smoothed(self._around, self._smooth)
        sequential.blocks(self._around, 4, 4.0, self._wide)
        wide = np.zeros_like(self._wide)
        sequential.smoothed(self._wide, wide)
        sequential.raised(self._smooth, wide, 4, _BRIGHT)
        sequential.filtered(
            residual, self._taps, self._smooth, self._size, self._share, self._found
        )

    def age(self, y: int, x: int) -> float:
        """Return for how many frames a cell has been as it is, from its averages.

        Of a step T frames ago an average over n frames has taken 1 - exp(-T / n).
        """
        values = self.averages[:, y, x].astype(np.float64)
        best = int(np.argmax(values / np.maximum(self.scatter, 1e-6)))
        height = max(float(values[: best + 1].max()), 1e-6)
        k = min(best + 1, len(FRAMES) - 1)
        taken = min(max(float(values[k]) / height, 0.02), 0.95)
        return -FRAMES[k] * math.log1p(-taken)

    def clear(self) -> None:
        """Forget all evidence."""
        self.averages[:] = 0
        self.score[:] = 0
        self.scatter[:] = 0
        self.noise, self._frames = 1.0, 0

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        return {
            "averages": self.averages,
            "score": self.score,
            "noise": self.noise,
            "scatter": self.scatter,
            "frames": self._frames,
        }

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.averages[:] = state["averages"]
        self.score[:] = state["score"]
        self.scatter[:] = state["scatter"]
        self.noise, self._frames = state["noise"], state["frames"]

    @staticmethod
    def _sample(image: Array) -> Array:
        height, width = image.shape
        return image[:: max(1, height // _SAMPLES), :: max(1, width // _SAMPLES)]

    def _scatter_of(self, image: Array, known: Array) -> float:
        """Return the standard deviation of the bulk of `image`."""
        values = np.abs(self._sample(image)[known])
        middle = len(values) // 2
        if not len(values):
            return 0.0
        return 1.4826 * float(np.partition(values, middle)[middle])

"""How content moves from frame to frame: a random walk that may jump.

A scalar Kalman filter whose step variance follows what is seen. With a small
probability a frame is anywhere (a jump); which of both it was, and how surely, is
decided by the evidence for each, by Laplace's method.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scopeside_processors.insitu.band import Peak

FloatArray = npt.NDArray[np.float64]

_JUMPS = 1e-3
"""Probability of a jump from one frame to the next."""
_STEP = 0.1
"""Variance of a step at the start, px²."""
_LEAST, _MOST = 0.003, 4.0
"""Bounds of the variance of a step, px²."""
_LEARN = 0.03
"""Weight of a new step in that variance."""


@dataclass(frozen=True, slots=True)
class Step:
    """Where a frame is found; see `registration.Estimate`."""

    shift: FloatArray
    covariance: FloatArray
    lock: float
    jumped: bool


class Walk:
    """Place of the content and how well it is known."""

    def __init__(self) -> None:
        self.place = np.zeros(2)
        self._covariance = np.zeros((2, 2))
        self._step = _STEP
        self._frames = 0
        self._waited = 1

    def wait(self, frames: int) -> None:
        """Let so many steps pass."""
        self._waited = frames

    @property
    def variance(self) -> float:
        """Of the place now, before the frame is looked at, px²."""
        return float(np.trace(self._covariance)) / 2 + self._waited * self._step

    def price(self, area: float) -> float:
        """Return by how many nats evidence must be better for a jump to be believed."""
        jumps = 1 - (1 - _JUMPS) ** min(self._waited, 1000)
        return math.log(area / (2 * math.pi * self.variance * jumps))

    def step(self, peak: Peak) -> Step:
        """Decide between a step and a jump, and go there."""
        variance = self.variance
        price = max(self.price(peak.area), 0.0)
        place, height, curve = peak.near
        distance = place - self.place
        pulled = curve + np.eye(2) / variance
        near = height - float(distance @ distance) / (2 * variance)
        near += math.log(2 * math.pi) - _half_log_det(pulled)
        far_place, far_height, far_curve = peak.far
        far = far_height + math.log(2 * math.pi) - _half_log_det(far_curve) - price
        rest = peak.elsewhere - price
        top = max(near, far, rest)
        parts = [math.exp(v - top) for v in (near, far, rest)]
        apart = float(np.hypot(*(far_place - place)))
        same = apart**2 < 4 * (variance + 1 / max(_weakest(far_curve), 1e-9))
        jumped = parts[1] > parts[0] and _weakest(far_curve) > 0
        whole = parts[0] + max(parts[2], 0 if same and not jumped else parts[1])
        lock = min(1.0, parts[1 if jumped else 0] / whole)
        if jumped:
            self.place, self._covariance = far_place, _inverse(far_curve)
        else:
            self.place, self._covariance = place, _inverse(pulled)
            self._learn(distance, variance)
        self._frames += 1
        return Step(self.place.copy(), self._covariance.copy(), lock, jumped)

    def skip(self) -> Step:
        """Go on without a frame: the place stays, and is known less well."""
        self._covariance = self._covariance + self._waited * self._step * np.eye(2)
        return Step(self.place.copy(), self._covariance.copy(), 1.0, jumped=False)

    def _learn(self, distance: FloatArray, variance: float) -> None:
        """Let the variance of a step follow how far the place was pulled."""
        left = float(np.trace(self._covariance)) / 2
        gain = 1 - left / variance
        if self._frames < 8 or gain < 0.05:
            return
        seen = float(distance @ distance) / 2
        excess = seen - gain * variance
        self._step += _LEARN * excess / gain / self._waited
        self._step = min(max(self._step, _LEAST), _MOST)

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        return {
            "place": self.place,
            "covariance": self._covariance,
            "step": self._step,
            "frames": self._frames,
        }

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.place = np.array(state["place"])
        self._covariance = np.array(state["covariance"])
        self._step = state["step"]
        self._frames = state["frames"]


def _weakest(curve: FloatArray) -> float:
    return float(np.linalg.eigvalsh(curve)[0])


def _half_log_det(curve: FloatArray) -> float:
    """Return ln √det; a place that is known to less than 10 px counts as that."""
    return 0.5 * float(np.log(np.maximum(np.linalg.eigvalsh(curve), 0.01)).sum())


def _inverse(curve: FloatArray) -> FloatArray:
    values, axes = np.linalg.eigh(curve)
    found: FloatArray = (axes / np.maximum(values, 0.01)) @ axes.T
    return found

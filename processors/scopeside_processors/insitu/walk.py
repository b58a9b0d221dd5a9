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
_ABSENT = 1e-3
"""Probability that a frame does not show the content."""
_ENOUGH, _EXTRA = 0.3, 6.0
"""Share of the content that is enough to know it by, as some of it may have changed;
and nats more, with which that is half where the content is weak."""
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

    def step(self, peak: Peak, evidence: float) -> Step:
        """Decide between a step, a jump, and a frame without the content; go there.

        Parameters
        ----------
        peak : what the correlation says
        evidence : what it would come to if the frame showed all of the content, nats
        """
        variance = self.variance
        place, height, curve = peak.near
        distance = place - self.place
        pulled = curve + np.eye(2) / variance
        near = height - float(distance @ distance) / (2 * variance)
        near += math.log(2 * math.pi) - _half_log_det(pulled)
        price = max(self.price(peak.area), 0.0)
        far = peak.far[1] + math.log(2 * math.pi) - _half_log_det(peak.far[2]) - price
        absent = math.log(2 * math.pi * variance * _ABSENT) + _half(evidence)
        beside = [peak.elsewhere - price, absent]
        if far > max(near, absent) and _weakest(peak.far[2]) > 0:
            lock = _share(far, [near, *beside])
            self.place, self._covariance = peak.far[0], _inverse(peak.far[2])
            return self._found(lock, jumped=True)
        if absent > near:
            self._covariance = variance * np.eye(2)
            return self._found(_share(near, beside), jumped=False)
        if not self._same(peak):
            beside.append(far)
        self.place, self._covariance = place, _inverse(pulled)
        self._learn(distance, variance)
        return self._found(_share(near, beside), jumped=False)

    def _same(self, peak: Peak) -> bool:
        """Return whether both summits are one."""
        apart = float(np.hypot(*(peak.far[0] - peak.near[0])))
        spread = self.variance + 1 / max(_weakest(peak.far[2]), 1e-9)
        return apart**2 < 4 * spread

    def _found(self, lock: float, *, jumped: bool) -> Step:
        self._frames += 1
        return Step(self.place.copy(), self._covariance.copy(), lock, jumped)

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


def _half(evidence: float) -> float:
    """Return by what a frame without the content is likelier than one with all, nats.

    It would be half the evidence if content never changed.
    """
    return min(evidence / 2, _ENOUGH * evidence + _EXTRA)


def _share(of: float, others: list[float]) -> float:
    """Return the probability of one of several, given logarithms of the evidence."""
    top = max(of, *others)
    mine = math.exp(of - top)
    return mine / (mine + sum(math.exp(v - top) for v in others))


def _weakest(curve: FloatArray) -> float:
    return float(np.linalg.eigvalsh(curve)[0])


def _half_log_det(curve: FloatArray) -> float:
    """Return ln √det; a place that is known to less than 10 px counts as that."""
    return 0.5 * float(np.log(np.maximum(np.linalg.eigvalsh(curve), 0.01)).sum())


def _inverse(curve: FloatArray) -> FloatArray:
    values, axes = np.linalg.eigh(curve)
    found: FloatArray = (axes / np.maximum(values, 0.01)) @ axes.T
    return found

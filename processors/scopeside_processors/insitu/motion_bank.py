"""A bank of Kalman filters for each track, one for each way in which it may move.

A particle may rest, diffuse slowly or fast, or be carried along; which of it, a bank of
filters with fixed process noise finds out (multiple models [1]_): each keeps its own
estimate, and their weights follow from how well they foretold the places. Axes are
independent and alike, so that covariances are three numbers. A filter that has fallen
behind starts anew from the mean of the bank.

Where several detections may be the particle, or none, the update is the mean over what
each would bring, by its probability (probabilistic data association [2]_).

References
----------
.. [1] H. A. P. Blom and Y. Bar-Shalom, IEEE Trans. Autom. Control 33, 780 (1988),
   doi:10.1109/9.1299
.. [2] Y. Bar-Shalom, F. Daum and J. Huang, IEEE Control Systems 29(6), 82 (2009),
   doi:10.1109/MCS.2009.934469
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_SWITCH = 0.02
"""Share of the weights that is spread evenly with each frame: motion may change."""
_WIDTH = 1.5
"""Pixels over which what stands still looks the same."""
_BEHIND = 0.01
"""Weight below which a filter starts anew from the mean."""


@dataclass(frozen=True, slots=True, eq=False)
class Models:
    """How tracks may move: (m,) each.

    Attributes
    ----------
    step : px, root mean square step in each axis of a random walk, 0: none
    accelerate : px per frame and frame, random change of the velocity, 0: no velocity
    """

    step: FloatArray
    accelerate: FloatArray

    @classmethod
    def up_to(cls, largest: float) -> Self:
        """Return random walks up to `largest`, px per frame, and two that drive on."""
        steps = np.geomspace(min(0.1, largest / 4), largest, 5)
        return cls(
            np.append(steps, [0.05, 0.2]),
            np.append(np.zeros(5), [0.02 * largest, 0.1 * largest]),
        )

    def __len__(self) -> int:
        return len(self.step)


@dataclass(slots=True, eq=False)
class Bank:
    """Estimates of n tracks by m models.

    Attributes
    ----------
    place, velocity : (n, m, 2) px, px per frame
    var, cross, speed_var : (n, m) px², of place, of both, of velocity
    weight : (n, m) probability of each model
    """

    place: FloatArray
    velocity: FloatArray
    var: FloatArray
    cross: FloatArray
    speed_var: FloatArray
    weight: FloatArray

    @classmethod
    def new(cls, places: FloatArray, sigma: FloatArray, models: Models) -> Self:
        """Return tracks that begin at `places` (n, 2) with errors `sigma` (n,), px."""
        n, m = len(places), len(models)
        drives = models.accelerate > 0
        speed = np.where(drives, models.step[:5].max() ** 2, 0.0)
        return cls(
            np.repeat(places[:, None], m, axis=1),
            np.zeros((n, m, 2)),
            np.repeat(sigma[:, None] ** 2, m, axis=1),
            np.zeros((n, m)),
            np.repeat(speed[None], n, axis=0),
            np.full((n, m), 1 / m),
        )

    def __len__(self) -> int:
        return len(self.place)

    def take(self, which: Any) -> Bank:
        """Return the tracks that `which` picks."""
        return Bank(*(getattr(self, f.name)[which] for f in fields(self)))

    def joined(self, other: Bank) -> Bank:
        """Return the tracks of both."""
        return Bank(
            *(
                np.concatenate([getattr(self, f.name), getattr(other, f.name)])
                for f in fields(self)
            )
        )

    def predict(self, models: Models, frames: int) -> None:
        """Move on by a number of frames."""
        dt = float(frames)
        noise = models.accelerate**2
        self.place += self.velocity * dt
        self.var += (
            2 * dt * self.cross
            + dt * dt * self.speed_var
            + models.step**2 * dt
            + noise * dt**3 / 3
        )
        self.cross += dt * self.speed_var + noise * dt**2 / 2
        self.speed_var += noise * dt
        keep = (1 - _SWITCH) ** dt
        self.weight *= keep
        self.weight += (1 - keep) / len(models)

    def mean(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return places (n, 2), velocities (n, 2) and variances (n,) of the mixture."""
        weight = self.weight[..., None]
        place = (weight * self.place).sum(axis=1)
        velocity = (weight * self.velocity).sum(axis=1)
        apart = ((self.place - place[:, None]) ** 2).mean(axis=2)
        return place, velocity, (self.weight * (self.var + apart)).sum(axis=1)

    def reach(self, times: float) -> FloatArray:
        """Return (n,) px from the mean within which the track is expected."""
        place, _, _ = self.mean()
        apart = np.hypot(*np.moveaxis(self.place - place[:, None], 2, 0))
        found: FloatArray = (apart + times * np.sqrt(self.var)).max(axis=1)
        return found

    def likelihood(
        self, track: IntArray, places: FloatArray, sigma: FloatArray
    ) -> FloatArray:
        """Return (p, m) 1/px²: how probable a place was for a track, by each model."""
        spread = self.var[track] + sigma[:, None] ** 2
        away = ((places[:, None] - self.place[track]) ** 2).sum(axis=2)
        found: FloatArray = np.exp(-0.5 * away / spread) / (2 * math.pi * spread)
        return found

    def update(
        self,
        track: IntArray,
        places: FloatArray,
        sigma: FloatArray,
        ratio: FloatArray,
        missed: FloatArray,
    ) -> FloatArray:
        """Take in what was seen, and return (n,) the likelihood ratio of all of it.

        Parameters
        ----------
        track : (p,) the track of each pair
        places, sigma : (p, 2), (p,) px of its detection
        ratio : (p, m) likelihood of the detection by each model, over that of clutter
        missed : (n,) probability that the particle is not seen
        """
        n = len(self)
        total = missed[:, None] + _sum(track, ratio, n)
        share = ratio / total[track]  # (p, m)
        spread = self.var[track] + sigma[:, None] ** 2
        gain, turn = self.var[track] / spread, self.cross[track] / spread
        away = places[:, None] - self.place[track]
        step, swerve = gain[..., None] * away, turn[..., None] * away
        moved = _sum(track, share[..., None] * step, n)
        turned = _sum(track, share[..., None] * swerve, n)
        mean_square = _sum(track, share * (step**2).mean(axis=2), n)
        both = _sum(track, share * (step * swerve).mean(axis=2), n)
        turned_square = _sum(track, share * (swerve**2).mean(axis=2), n)
        self.speed_var += (
            turned_square
            - (turned**2).mean(axis=2)
            - _sum(track, share * turn * self.cross[track], n)
        )
        self.cross += (
            both
            - (moved * turned).mean(axis=2)
            - _sum(track, share * gain * self.cross[track], n)
        )
        self.var += (
            mean_square
            - (moved**2).mean(axis=2)
            - _sum(track, share * gain * self.var[track], n)
        )
        self.place += moved
        self.velocity += turned
        evidence: FloatArray = (self.weight * total).sum(axis=1)
        self.weight *= total / evidence[:, None]
        self._catch_up()
        return evidence

    def _catch_up(self) -> None:
        """Have filters that fell behind start anew from the mean."""
        place, velocity, var = self.mean()
        behind = self.weight < _BEHIND
        self.place = np.where(behind[..., None], place[:, None], self.place)
        self.var = np.where(behind, var[:, None], self.var)
        drives = behind & (self.speed_var > 0)
        self.velocity = np.where(drives[..., None], velocity[:, None], self.velocity)
        self.cross = np.where(behind, 0, self.cross)


def news(independent: float, step: FloatArray) -> FloatArray:
    """Return which share of a frame's evidence is new, for a particle with a `step`.

    Parameters
    ----------
    independent : share of the variance of what looks like particles that is noise; the
        rest stands still, as texture does
    step : px per frame, any shape

    The slower a particle is, the longer it sees the same of what stands still, and the
    less does another look at it tell.
    """
    same = np.maximum(1.0, (_WIDTH / step) ** 2)
    return independent / (independent + (1 - independent) * same)


def _sum(track: IntArray, values: FloatArray, n: int) -> FloatArray:
    """Return the sums of `values` (p, …) by track, (n, …)."""
    out = np.zeros((n, *values.shape[1:]))
    np.add.at(out, track, values)
    return out

"""How far the specimen lies from where it was, from tilt to tilt.

A flat specimen that is tilted is foreshortened across the tilt axis by the cosine of
its tilt. So a picture at one tilt is made to look like the next by stretching it across
the axis by the ratio of the cosines [1]_, and then correlated with it.

.. [1] R. Guckenberger, Ultramicroscopy 9, 167 (1982),
   doi:10.1016/0304-3991(82)90239-2
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage

from scopeside_processors.insitu.registration import Registration

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]

_NEIGHBOURS = 2
"""Pictures of the nearest tilts that a new one is compared with."""
_KEPT = 4
"""Pictures that are kept: both ends of a series that grows to both sides."""
_LOST = 0.5
"""A lock below this is none."""
_LEAST_GAIN = 25.0
"""Nats by which a picture must be likelier where it is found than anywhere."""
_SHARE = 0.25
"""What part of the usual gain a picture of the same thing has at least."""
_STEPS = 100
"""Steps of the walk of a movie that go by from tilt to tilt: a few px."""


@dataclass(frozen=True, slots=True, eq=False)
class Tilted:
    """A picture of a tilted specimen, and where it lies.

    Attributes
    ----------
    picture : (height, width) float32
    tilt_deg : of the specimen
    drift, covariance : (2,) and (2, 2) float64, px and px², of this picture
    gain : how much likelier it was there than anywhere, nats; 0 for the first
    """

    picture: Float32Array
    tilt_deg: float
    drift: FloatArray
    covariance: FloatArray
    gain: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Where a picture lies.

    Attributes
    ----------
    drift, covariance : (2,) and (2, 2) float64, px and px², since the first
    confidence : probability that it lies within 1 px of there, 0 to 1
    gain : how much likelier it is there than anywhere, nats; 0 for the first
    found : whether it was found on those before
    """

    drift: FloatArray
    covariance: FloatArray
    confidence: float
    gain: float
    found: bool


def stretched(one: Tilted, tilt_deg: float, axis_deg: float) -> Float32Array:
    """Return a picture as it would look at another tilt, drift taken off.

    Parameters
    ----------
    one : the picture
    tilt_deg : the other tilt
    axis_deg : direction of the tilt axis, from that of the columns to that of the rows
        (0 along a row, 90 down a column); it goes through the middle of the frame
        when there is no drift

    Returns
    -------
    (height, width) float32
        Straight lines between pixels; the mean where the picture has none.
    """
    angle = math.radians(axis_deg)
    across = np.array([math.cos(angle), -math.sin(angle)])
    ratio = math.cos(math.radians(one.tilt_deg)) / math.cos(math.radians(tilt_deg))
    matrix = np.eye(2) + (ratio - 1) * np.outer(across, across)
    middle = (np.array(one.picture.shape) - 1) / 2
    offset = middle - matrix @ middle + one.drift
    found: Float32Array = scipy.ndimage.affine_transform(
        one.picture,
        matrix,
        offset,
        order=1,
        mode="constant",
        cval=float(one.picture.mean(dtype=np.float64)),
    )
    return found


class TiltFollower:
    """Places pictures of a tilt series on those of the nearest tilts before."""

    def __init__(self, shape: tuple[int, int], axis_deg: float) -> None:
        self._shape, self._axis = shape, axis_deg
        self._kept: list[Tilted] = []

    def place(self, picture: Float32Array, tilt_deg: float) -> Placed:
        """Return where a picture lies, and keep it.

        Parameters
        ----------
        picture : (height, width) float32, counts above zero on average
        tilt_deg : its tilt
        """
        if not self._kept:
            found = Placed(np.zeros(2), np.zeros((2, 2)), 1.0, 0.0, found=True)
        else:
            found = self._compared(picture, tilt_deg)
        if found.found:
            self._keep(
                Tilted(picture, tilt_deg, found.drift, found.covariance, found.gain)
            )
        return found

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        return {
            "kept": [
                [one.picture, one.tilt_deg, one.drift, one.covariance, one.gain]
                for one in self._kept
            ],
        }

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._kept = [Tilted(*one) for one in state["kept"]]

    def _compared(self, picture: Float32Array, tilt_deg: float) -> Placed:
        """Return where a picture lies on those of the nearest tilts.

        With the picture as the template, as its noise is that of the camera, which
        stretching and averaging have taken from the others. A picture of something
        else is told by how little it gains from where it is found.
        """
        nearest = self._nearest(tilt_deg)
        others = [stretched(one, tilt_deg, self._axis) for one in nearest]
        other: Float32Array = np.stack(others).mean(axis=0)
        registration = Registration(self._shape)
        registration.register(picture, float(picture.mean(dtype=np.float64)))
        mean = float(other.mean(dtype=np.float64))
        seen = registration.register(other, mean, _STEPS)
        gain = seen.match * seen.evidence
        usual = [one.gain for one in self._kept if one.gain > 0]
        least = _SHARE * float(np.median(usual)) if usual else 0.0
        # What those are wrong by, this one is too.
        before = np.stack([one.covariance for one in nearest]).mean(axis=0)
        covariance = seen.covariance + before
        variance = max(float(np.linalg.eigvalsh(covariance)[1]), 1e-9)
        return Placed(
            -seen.shift,
            covariance,
            seen.lock * (1 - math.exp(-0.5 / variance)),
            gain,
            found=seen.lock >= _LOST and gain >= max(least, _LEAST_GAIN),
        )

    def _nearest(self, tilt_deg: float) -> list[Tilted]:
        by_tilt = sorted(self._kept, key=lambda one: abs(one.tilt_deg - tilt_deg))
        return by_tilt[:_NEIGHBOURS]

    def _keep(self, new: Tilted) -> None:
        """Keep the pictures at the ends of the range of tilts."""
        by_tilt = sorted([*self._kept, new], key=lambda one: one.tilt_deg)
        half = _KEPT // 2
        ends = by_tilt if len(by_tilt) <= _KEPT else by_tilt[:half] + by_tilt[-half:]
        self._kept = ends

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

from scopeside_processors.insitu.registration import Estimate, Registration

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]

_NEIGHBOURS = 2
"""Pictures of the nearest tilts that a new one is compared with."""
_KEPT = 4
"""Pictures that are kept: both ends of a series that grows to both sides."""
_LOST = 0.5
"""A lock or a match below this is none."""
_APART = 1.5
"""Where there and back lead to different places: that many px."""
_VAGUE = 4.0
"""Variance of a place from where on it is not known, px²."""
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
    """

    picture: Float32Array
    tilt_deg: float
    drift: FloatArray
    covariance: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Where a picture lies.

    Attributes
    ----------
    drift, covariance : (2,) and (2, 2) float64, px and px², since the first
    confidence : probability that it lies within 1 px of there, 0 to 1
    found : whether it was found on those before
    """

    drift: FloatArray
    covariance: FloatArray
    confidence: float
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
            found = Placed(np.zeros(2), np.zeros((2, 2)), 1.0, found=True)
        else:
            found = self._compared(picture, tilt_deg)
        if found.found:
            self._keep(Tilted(picture, tilt_deg, found.drift, found.covariance))
        return found

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        return {
            "kept": [
                [one.picture, one.tilt_deg, one.drift, one.covariance]
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
        else is told by the way back: it does not match them, or lies elsewhere.
        """
        nearest = self._nearest(tilt_deg)
        others = [stretched(one, tilt_deg, self._axis) for one in nearest]
        other: Float32Array = np.stack(others).mean(axis=0)
        seen = self._registered(picture, other)
        back = self._registered(other, picture)
        # What those are wrong by, this one is too.
        before = np.stack([one.covariance for one in nearest]).mean(axis=0)
        covariance = seen.covariance + before
        variance = max(float(np.linalg.eigvalsh(covariance)[1]), 1e-9)
        apart = float(np.abs(seen.shift + back.shift).max())
        return Placed(
            -seen.shift,
            covariance,
            seen.lock * (1 - math.exp(-0.5 / variance)),
            found=apart < _APART + 2 * math.sqrt(variance)
            and _shows(seen)
            and _shows(back)
            and float(seen.covariance.max()) < _VAGUE,
        )

    def _registered(self, one: Float32Array, other: Float32Array) -> Estimate:
        """Return where the content of `other` lies from where it lies in `one`."""
        registration = Registration(self._shape)
        for picture, steps in ((one, 0), (other, _STEPS)):
            mean = float(picture.mean(dtype=np.float64))
            found = registration.register(picture, mean, steps)
        return found

    def _nearest(self, tilt_deg: float) -> list[Tilted]:
        by_tilt = sorted(self._kept, key=lambda one: abs(one.tilt_deg - tilt_deg))
        return by_tilt[:_NEIGHBOURS]

    def _keep(self, new: Tilted) -> None:
        """Keep the pictures at the ends of the range of tilts."""
        by_tilt = sorted([*self._kept, new], key=lambda one: one.tilt_deg)
        half = _KEPT // 2
        ends = by_tilt if len(by_tilt) <= _KEPT else by_tilt[:half] + by_tilt[-half:]
        self._kept = ends


def _shows(found: Estimate) -> bool:
    """Return whether a picture shows what it was compared with, for all one knows."""
    if not found.evidence > 0:
        return False
    most = found.match + 2 / math.sqrt(found.evidence)
    return min(found.lock, most) >= _LOST

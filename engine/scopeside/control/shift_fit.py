"""How content moves with an actuator, fitted to the places it was seen at. No I/O.

Each visit of a position gives one mean place of the content. Its model::

    place = origin + drift * time + matrix @ actuator

Drift of the specimen is a term of its own, linear in time, so that it does not spoil
the matrix. Least squares; the scatter of the places about the model says how uncertain
the matrix is, unless they say themselves that they are less certain than that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

LEAST_DOF = 4
"""Visits, beyond those that determine the model, that a fit needs."""
LARGEST_UNCERTAINTY = 0.05
"""Of the matrix, relative to the smallest motion that it gives."""
LARGEST_RESIDUAL = 0.15
"""Of a place, relative to the motion by one step."""
LARGEST_CONDITION = 5.0
"""Content moves at most so many times more along one direction than along another."""


@dataclass(frozen=True, slots=True)
class Visit:
    """What was seen while the actuator stood still.

    Attributes
    ----------
    actuator
        (x, y) as read back, m.
    place
        Mean (x, y) of the content, m on the specimen, along the picture's axes.
    covariance
        (2, 2) of `place`, as the frames say themselves, m².
    t_s
        Mean time of its frames.
    segment
        Places of different segments have different origins.
    """

    actuator: FloatArray
    place: FloatArray
    covariance: FloatArray
    t_s: float
    segment: str = ""


@dataclass(frozen=True, slots=True)
class ShiftFit:
    """What was found.

    Attributes
    ----------
    matrix
        (2, 2), content per actuator: [[xx, xy], [yx, yy]].
    covariance
        (4, 4) of xx, xy, yx, yy.
    drift_m_per_s
        (x, y) of the content.
    residual_m
        Root mean square distance of the places from the model, m on the specimen.
    dof
        Visits beyond those that determine the model.
    """

    matrix: FloatArray
    covariance: FloatArray
    drift_m_per_s: FloatArray
    residual_m: float
    dof: int
    visits: int

    @property
    def mirrored(self) -> bool:
        """Whether the picture is a mirror image of the actuator's axes."""
        return float(np.linalg.det(self.matrix)) < 0

    @property
    def scales(self) -> tuple[float, float]:
        """Largest and smallest motion of the content, m per m of the actuator."""
        large, small = np.linalg.svd(self.matrix, compute_uv=False)
        return float(large), float(small)

    @property
    def rotation_rad(self) -> float:
        """By how much the picture is turned from x to y, its mirror taken out."""
        return _rotation(self.matrix)

    @property
    def rotation_sigma_rad(self) -> float:
        """Standard deviation of the rotation."""
        return self._sigma(_rotation)

    @property
    def relative_sigma(self) -> float:
        """Largest standard deviation of a motion, relative to the smallest motion."""
        spread = math.sqrt(max(float(np.linalg.eigvalsh(self.covariance)[-1]), 0.0))
        small = self.scales[1]
        return spread / small if small > 0 else math.inf

    def _sigma(self, value: Callable[[FloatArray], float]) -> float:
        """Return the standard deviation of a function of the matrix, to first order."""
        gradient = np.empty(4)
        step = 1e-6 * max(float(np.abs(self.matrix).max()), 1e-12)
        for k in range(4):
            by = np.zeros(4)
            by[k] = step
            above, below = (value(self.matrix + s * by.reshape(2, 2)) for s in (1, -1))
            gradient[k] = math.remainder(above - below, 2 * math.pi) / (2 * step)
        return math.sqrt(max(float(gradient @ self.covariance @ gradient), 0.0))


def fit(visits: Sequence[Visit], step_m: float) -> ShiftFit | None:
    """Return the best matrix and drift; None if the visits do not determine them.

    Parameters
    ----------
    step_m
        How far the actuator was moved; keeps the numbers of one size.
    """
    moved = np.array([one.actuator for one in visits]).reshape(-1, 2)
    places = np.array([one.place for one in visits]).reshape(-1, 2)
    times = np.array([one.t_s for one in visits])
    segments = sorted({one.segment for one in visits})
    dof = len(visits) - 3 - len(segments)
    if dof < 1:
        return None
    times = times - times.mean()
    span_s = float(np.abs(times).max()) or 1.0
    origins = np.array([[one.segment == s for s in segments] for one in visits])
    moved = (moved - moved.mean(axis=0)) / step_m
    design = np.column_stack([moved, times / span_s, origins.astype(np.float64)])
    found, _, rank, _ = np.linalg.lstsq(design, places, rcond=1e-9)
    if rank < design.shape[1]:
        return None
    left = places - design @ found
    spread = _spread(left, dof, visits)
    inverse = np.linalg.inv(design.T @ design)
    covariance = np.kron(spread, inverse[:2, :2]) / step_m**2
    return ShiftFit(
        matrix=found[:2].T / step_m,
        covariance=np.asarray(covariance, np.float64),
        drift_m_per_s=found[2] / span_s,
        residual_m=float(np.sqrt(np.mean(np.sum(left**2, axis=1)))),
        dof=dof,
        visits=len(visits),
    )


def objections(found: ShiftFit | None, step_m: float) -> list[str]:
    """Return why a fit is of no use, one sentence each; none if it is good."""
    if found is None or found.dof < LEAST_DOF:
        return ["too few positions could be seen: more repeats are needed"]
    large, small = found.scales
    said = []
    if found.relative_sigma > LARGEST_UNCERTAINTY:
        said.append(
            f"the matrix is uncertain by {found.relative_sigma:.1%} "
            f"({LARGEST_UNCERTAINTY:.0%} at most): a larger step, more frames, or more "
            "repeats are needed"
        )
    if found.residual_m > LARGEST_RESIDUAL * step_m * small:
        said.append(
            f"places lie {found.residual_m:.3g} m from where the matrix puts them; one "
            f"step moves content by {step_m * small:.3g} m. The actuator does not come "
            "back to where it was, the specimen does not drift steadily, or frames "
            "were taken while it moved (a longer settle)"
        )
    if large > LARGEST_CONDITION * small:
        said.append(
            f"content moves by {large:.3g} m per m in one direction and by {small:.3g} "
            "in another: this actuator cannot move the picture to all sides"
        )
    return said


def _spread(left: FloatArray, dof: int, visits: Sequence[Visit]) -> FloatArray:
    """Return the (2, 2) covariance of a place.

    That of few residuals is itself uncertain: widened as Student's distribution is.
    """
    seen: FloatArray = left.T @ left / dof * (dof / (dof - 2) if dof > 2 else 3.0)
    said: FloatArray = np.mean([one.covariance for one in visits], axis=0)
    return seen if np.trace(seen) >= np.trace(said) else said


def _rotation(matrix: FloatArray) -> float:
    upright = matrix if np.linalg.det(matrix) >= 0 else matrix @ np.diag([1.0, -1.0])
    (xx, xy), (yx, yy) = upright.tolist()
    return math.atan2(yx - xy, xx + yy)

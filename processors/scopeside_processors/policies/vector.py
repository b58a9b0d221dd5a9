"""A result ``drift.drift``, checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.result import Result

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Vector:
    """How far content has moved.

    Attributes
    ----------
    px
        (dy, dx), px.
    sigma_px
        Standard deviation along one axis; 0 where nobody says.
    confidence
        0 to 1.
    segment
        (number of the segment, its first frame): vectors can be compared within one.
    """

    frame: int
    px: FloatArray
    sigma_px: float
    confidence: float
    segment: tuple[int, int]


def vector_of(result: Result) -> Vector | None:
    """Return the vector of a result, None where it is not usable."""
    px = np.asarray(result.data, np.float64) if _is_pair(result.data) else None
    if not result.valid or px is None or not np.isfinite(px).all():
        return None
    meta = result.meta
    segment = meta.get("segment", 0)
    return Vector(
        result.frame,
        px,
        _sigma(meta.get("covariance")),
        _confidence(meta),
        (segment if isinstance(segment, int) else 0, result.first),
    )


def _is_pair(data: Any) -> bool:
    return np.shape(data) == (2,) and np.asarray(data).dtype.kind in "iuf"


def _confidence(meta: Mapping[str, Any]) -> float:
    """Return what a result says of itself; what says nothing is not to be trusted."""
    said = meta.get("confidence")
    if not isinstance(said, int | float) or not 0 <= said <= 1:
        return 0.0
    return float(said)


def _sigma(covariance: Any) -> float:
    if np.shape(covariance) != (2, 2):
        return 0.0
    variance = float(np.trace(np.asarray(covariance, np.float64))) / 2
    return math.sqrt(variance) if 0 <= variance < math.inf else math.inf

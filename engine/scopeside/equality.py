"""When two values are the same: by their bits, as tests of laws need it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt


def equal(one: Any, other: Any) -> bool:
    """Whether two values have the same bits; one NaN is as good as another."""
    numbers = np.ndarray | np.generic | float
    if isinstance(one, numbers) or isinstance(other, numbers):
        one, other = np.asarray(one), np.asarray(other)
        alike = one.dtype == other.dtype and one.shape == other.shape
        return bool(alike and _bits(one) == _bits(other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(
            equal(one[key], other[key]) for key in one
        )
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)


def _bits(values: npt.NDArray[Any]) -> bytes:
    if values.dtype.kind in "fc":
        values = np.where(np.isnan(values), np.nan, values)
    return values.tobytes()

"""Numbers, series and tables as rows of plain numbers with names and units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.result import Result

FloatArray = npt.NDArray[np.float64]

DIGITS = 6
_SHORT = 4
"""Values of a series that are as many numbers beside each other: a vector."""


def rows_of(result: Result) -> FloatArray:
    """Return the values as (rows, columns) float64, NaN where there is none."""
    data = np.asarray(result.data)
    if np.iscomplexobj(data):
        data = np.abs(data)
    values = data.astype(np.float64)  # a copy
    if result.mask is not None:
        values[~result.mask] = np.nan
    if values.ndim == 1:
        shape = (1, -1) if _is_vector(result, len(values)) else (-1, 1)
        return values.reshape(shape)
    if values.ndim == 0:
        return values.reshape(1, 1)
    # Not -1: numpy cannot tell how many columns a table without rows has.
    return values.reshape(len(values), math.prod(values.shape[1:]))


def heads_of(result: Result, columns: int) -> list[tuple[str, str]]:
    """Return name and unit of each column, as the result's ``meta`` or axes say."""
    names = _texts(result.meta.get("columns"), columns)
    units = _texts(result.meta.get("units"), columns)
    if names is None:
        axis = result.axes[-1] if result.axes else ""
        if columns == 1:
            names = [result.name]
        elif len(axis) == columns:  # yx: y and x
            names = list(axis)
        else:
            names = [f"{axis or 'column'} {k}" for k in range(columns)]
    return list(zip(names, units or [result.units] * columns, strict=True))


def rounded(values: FloatArray) -> list[float | None]:
    """Return numbers to `DIGITS` significant digits, None for what is no number."""
    return [
        float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None
        for value in values.tolist()
    ]


def is_cells(result: Result) -> bool:
    """Whether a result is made of numbers that can be shown so."""
    data = result.data
    if result.kind == "scalar" and not isinstance(data, np.ndarray):
        return isinstance(data, int | float)
    known = isinstance(data, np.ndarray) and data.dtype.kind in "biufc"
    return known and result.kind in ("scalar", "series", "table") and data.ndim <= 2


def _is_vector(result: Result, n: int) -> bool:
    named = _texts(result.meta.get("columns"), n) is not None
    letters = bool(result.axes) and len(result.axes[0]) == n <= _SHORT
    return named or letters


def _texts(value: Any, n: int) -> list[str] | None:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != n:
        return None
    return [str(one) for one in value]

"""A result as columns of a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.result import Result


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes
    ----------
    values
        (n,) numbers, or texts.
    there
        (n,) bool: False where there is no value; None: all are there.
    """

    name: str
    unit: str
    values: npt.NDArray[Any] | Sequence[str]
    there: npt.NDArray[np.bool_] | None = None


def table_of(result: Result) -> list[Column]:
    """Return the columns of a table, series, number or event; none of another kind."""
    data = result.data
    if isinstance(data, Mapping):
        values = [_text(value) for value in data.values()]
        return [
            Column("key", "", [str(k) for k in data]),
            Column("value", "", values),
        ]
    if result.kind == "image":
        return []
    if not isinstance(data, np.ndarray):
        return [Column(result.name, result.units, np.atleast_1d(np.asarray(data)))]
    if data.ndim > 2:
        return []
    return _of_array(result, data)


def _of_array(result: Result, data: npt.NDArray[Any]) -> list[Column]:
    columns = result.meta.get("columns")
    mask = result.mask
    if data.ndim < 2:
        letters = len(_axis(result, 0, "")) == data.size  # yx: y and x
        named = letters or (isinstance(columns, list) and len(columns) == data.size)
        shape = (1, -1) if named else (-1, 1)
        data = data.reshape(shape)
        mask = None if mask is None else mask.reshape(shape)
    names, units = _heads(result, data.shape[1])
    first = []
    if result.kind == "series" and len(data) > 1:
        first = [Column(_axis(result, 0, "row"), "", np.arange(len(data)))]
    if np.iscomplexobj(data):
        data = np.stack([data.real, data.imag], axis=2).reshape(len(data), -1)
        names = [f"{name}_{part}" for name in names for part in ("real", "imag")]
        units = [unit for unit in units for _ in range(2)]
        mask = None if mask is None else np.repeat(mask, 2, axis=1)
    return first + [
        Column(name, unit, data[:, k], None if mask is None else mask[:, k])
        for k, (name, unit) in enumerate(zip(names, units, strict=True))
    ]


def _heads(result: Result, n: int) -> tuple[list[str], list[str]]:
    """Return names and units of `n` columns."""
    names = result.meta.get("columns")
    if not isinstance(names, list) or len(names) != n:
        axis = _axis(result, np.ndim(result.data) - 1, result.name)
        if n == 1:
            names = [result.name]
        elif len(axis) == n:
            names = list(axis)
        else:
            names = [f"{axis}_{k}" for k in range(n)]
    units = result.meta.get("units")
    if not isinstance(units, list) or len(units) != n:
        units = [result.units] * n
    return [str(name) for name in names], [str(unit) for unit in units]


def _axis(result: Result, number: int, otherwise: str) -> str:
    return result.axes[number] if len(result.axes) > number else otherwise


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)

"""What a rule reads from a result, by a name that a person writes into a file.

``confidence`` a key of an event; ``position.0`` an entry in it; ``meta.confidence``
what belongs to a result; ``cumulative_e_per_A2`` the column of a table of one row, and
``radius_px.max`` of one of many; ``mean``, ``max``, ``min`` of an array or its
``length`` as a vector; ``1`` or ``12.40`` an element of it; nothing: the number itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.errors import ConfigError
from scopeside.messages import unknown
from scopeside.result import Result

Array = npt.NDArray[Any]

REDUCTIONS: Mapping[str, Callable[[Array], Any]] = {
    "mean": np.mean,
    "max": np.max,
    "min": np.min,
    "length": np.linalg.norm,
}
"""What is made of many values; `length` is that of a vector."""


def value_in(result: Result, key: str) -> Any:
    """Return what a result has under a name, None where it is not known.

    A number comes back as float. A value that is masked, or NaN, is not known; a
    reduction stands on those that are, the length of a vector on all of them.

    Raises
    ------
    ConfigError
        If no result of this kind has it: a table without that column, an array without
        that element.
    """
    head, _, rest = key.partition(".")
    if head == "meta":
        return _plain(_within(result.meta, rest))
    if isinstance(result.data, Mapping):
        return _plain(_within(result.data, key))
    if not isinstance(result.data, np.ndarray):
        if key:
            raise ConfigError(f"{result.name} is a {result.kind} without {key!r}")
        return _plain(result.data)
    known = np.ma.MaskedArray(result.data, mask=_unknown(result))
    if result.kind == "table":
        return _column(result, known, head, rest)
    return _of_array(result.name, known, key)


def number_in(result: Result, key: str) -> float | None:
    """Return a number that a result has under a name, None where it is not known.

    Raises
    ------
    ConfigError
        As `value_in`.
    """
    value = value_in(result, key)
    return value if type(value) is float else None


def _within(table: Mapping[str, Any], key: str) -> Any:
    found: Any = table
    for part in key.split("."):
        if isinstance(found, Mapping):
            found = found.get(part)
        elif isinstance(found, list | tuple | np.ndarray) and part.isdecimal():
            found = found[int(part)] if int(part) < len(found) else None
        else:
            return None
    return found


def _unknown(result: Result) -> Any:
    """Return where a value is not known; a plain False where all of them are."""
    unknown_at: Any = np.False_ if result.mask is None else ~result.mask
    if result.data.dtype.kind == "f":
        return unknown_at | ~np.isfinite(result.data)
    return unknown_at


def _column(
    result: Result, known: np.ma.MaskedArray[Any, Any], name: str, how: str
) -> float | None:
    columns = list(result.meta.get("columns", ()))
    if name not in columns or known.ndim != 2:
        raise ConfigError(f"{result.name}: {unknown('column', name, columns)}")
    column = known[:, columns.index(name)]
    if how:
        return _of_array(f"{result.name}.{name}", column, how)
    if len(column) > 1:
        ways = ", ".join(f"{name}.{one}" for one in REDUCTIONS)
        raise ConfigError(f"{result.name} has {len(column)} rows; choose: {ways}")
    return _number(column[0]) if len(column) else None


def _of_array(what: str, known: np.ma.MaskedArray[Any, Any], key: str) -> float | None:
    if key in REDUCTIONS:
        if key == "length" and known.count() < known.size:
            return None
        return _number(REDUCTIONS[key](known.compressed())) if known.count() else None
    if not key and known.size == 1:
        return _number(known.reshape(-1)[0])
    parts = key.split(".")
    if len(parts) != known.ndim or not all(part.isdecimal() for part in parts):
        allowed = [*REDUCTIONS, ".".join(["0"] * known.ndim)]
        raise ConfigError(f"{what}: {unknown('value', key, allowed)}")
    at = tuple(int(part) for part in parts)
    if any(k >= n for k, n in zip(at, known.shape, strict=True)):
        raise ConfigError(f"{what} of shape {known.shape} has no element {key}")
    return _number(known[at])


def _number(value: Any) -> float | None:
    """Return a number as float, NaN and masked as None."""
    return None if value is np.ma.masked else _finite(float(value))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _plain(value: Any) -> Any:
    """Return numbers as float, those that are not finite as None, all else as it is."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _finite(float(value))
    return value

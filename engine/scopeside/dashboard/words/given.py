"""Reads values of which any part may be missing: another version may have said them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

EMPTY: Mapping[str, Any] = {}


def table(value: Any, *path: str) -> Mapping[str, Any]:
    """Return the table at the end of a path, an empty one if there is none."""
    found = at(value, *path)
    return found if isinstance(found, Mapping) else EMPTY


def tables(value: Any, *path: str) -> list[Mapping[str, Any]]:
    """Return the tables of a list at the end of a path."""
    found = at(value, *path)
    if not isinstance(found, list | tuple):
        return []
    return [one for one in found if isinstance(one, Mapping)]


def number(value: Any, *path: str, default: float = 0.0) -> float:
    """Return the number at the end of a path, `default` if there is none."""
    found = at(value, *path)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return default
    try:
        return float(found) if math.isfinite(found) else default
    except OverflowError:
        return default


def count(value: Any, *path: str) -> int:
    """Return the whole number at the end of a path, 0 if there is none."""
    return int(number(value, *path))


def text(value: Any, *path: str) -> str:
    """Return the text at the end of a path, "" if there is none."""
    found = at(value, *path)
    return found if isinstance(found, str) else ""


def at(value: Any, *path: str) -> Any:
    """Return what stands at the end of a path, None if it does not go so far."""
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value

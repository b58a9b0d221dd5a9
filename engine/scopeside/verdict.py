"""Says which law is broken: when two values are not the same, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.result import Result

_MESSAGES = {
    "written": "frames are left as they were: process() has written into them",
    "cut": "how frames are cut into batches does not matter",
    "empty": "an empty batch changes nothing",
    "gap": "gaps between frames are survived",
    "asking": "asking for results changes nothing",
    "snapshot": "restore(snapshot()) is invisible",
    "merge": "two halves merged equal the whole, in any order",
    "parts": "parts merged in order equal the whole",
    "change": "a change is made at its frame, and kept by snapshots and merges",
    "device": "CPU and GPU agree",
    "events": "events bring what the frames made of them bring",
    "packed": "packed frames bring what the frames in them bring",
}


def hold(kept: bool, law: str, detail: str = "") -> None:
    """Raise an AssertionError that names the law unless it is `kept`."""
    if not kept:
        raise AssertionError(f"law: {_MESSAGES[law]}{detail and f' ({detail})'}")


def same(
    expected: Sequence[Result], found: Sequence[Result], law: str, detail: str = ""
) -> None:
    """Hold that two lists of results are the same in every field."""
    names = [result.name for result in expected], [result.name for result in found]
    hold(names[0] == names[1], law, f"{names[0]} became {names[1]}")
    for one, other in zip(expected, found, strict=True):
        for field in Result.__slots__:
            if not equal(getattr(one, field), getattr(other, field)):
                where = f"{one.name}.{field} {detail}".strip()
                was = repr(getattr(one, field))[:60], repr(getattr(other, field))[:60]
                hold(kept=False, law=law, detail=f"{where}: {was[0]} and {was[1]}")


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

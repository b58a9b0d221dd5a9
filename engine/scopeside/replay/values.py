"""Where two results differ, in plain words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

SHOWN = 200


def first_difference(recorded: Path, found: Path) -> str:
    """Return where two files of results differ; empty if their values are the same.

    Parameters
    ----------
    recorded, found
        Files that hold ``data``, and ``mask`` where not all of it stands on frames.
    """
    if not recorded.is_file():
        return f"the recorded values are not there to be compared: no {recorded}"
    try:
        before, now = _arrays(recorded), _arrays(found)
    except (OSError, ValueError) as error:
        return f"the values cannot be compared: {error}"
    for name in ("data", "mask"):
        if (name in before) != (name in now):
            which = "the recorded" if name in before else "the new"
            return f"only {which} one has a {name}"
        if name in before and (said := _differ(name, before[name], now[name])):
            return said
    return ""


def _arrays(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in ("data", "mask") if name in file}


def _differ(name: str, before: Any, now: Any) -> str:
    """Return where two arrays differ first, and how many values do."""
    if before.dtype.kind == "U" or now.dtype.kind == "U":
        return _differ_as_text(str(before), str(now))
    if before.shape != now.shape or before.dtype != now.dtype:
        return (
            f"{name} was {before.shape} {before.dtype} and is {now.shape} {now.dtype}"
        )
    # Bit by bit, as the digest is made: NaN equals NaN, and -0 does not equal 0.
    raw = [np.ascontiguousarray(a).reshape(-1).view(np.uint8) for a in (before, now)]
    size = before.dtype.itemsize
    (places,) = np.nonzero((raw[0] != raw[1]).reshape(-1, size).any(axis=1))
    if not len(places):
        return ""
    at = np.unravel_index(int(places[0]), before.shape) if before.shape else ()
    where = f"[{', '.join(str(int(k)) for k in at)}]" if at else ""
    said = (
        f"{name}{where} was {before[at]} and is {now[at]}; {len(places)} of "
        f"{before.size} values differ"
    )
    return said + _by_how_much(before, now)


def _by_how_much(before: Any, now: Any) -> str:
    if before.dtype.kind not in "fiu":
        return ""
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(before.astype(np.float64) - now.astype(np.float64))
    most = np.nanmax(apart) if np.isfinite(apart).any() else np.nan
    return f", by {most:.3g} at most"


def _differ_as_text(before: str, now: str) -> str:
    if before == now:
        return ""
    try:
        said = difference_of(json.loads(before), json.loads(now))
    except ValueError:
        said = ""
    return said or f"was {before:.{SHOWN}} and is {now:.{SHOWN}}"


def difference_of(before: Any, now: Any, where: str = "") -> str:
    """Return where two plain values differ first, empty if they do not."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in [*before, *(key for key in now if key not in before)]:
            place = f"{where}.{key}" if where else str(key)
            if key not in before:
                return f"{place} was not there and is {_short(now[key])}"
            if key not in now:
                return f"{place} was {_short(before[key])} and is not there"
            if said := difference_of(before[key], now[key], place):
                return said
        return ""
    if isinstance(before, list) and isinstance(now, list):
        for k, (one, other) in enumerate(zip(before, now, strict=False)):
            if said := difference_of(one, other, f"{where}[{k}]"):
                return said
        if len(before) != len(now):
            return f"{where or 'it'} had {len(before)} entries and has {len(now)}"
        return ""
    same = type(before) is type(now) and repr(before) == repr(now)
    return "" if same else f"{where or 'it'} was {_short(before)} and is {_short(now)}"


def _short(value: Any) -> str:
    return f"{value!r:.{SHOWN}}"

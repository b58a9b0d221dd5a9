"""Which part of a recording is asked for: times from its beginning, or its events."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from scopeside.errors import ConfigError

_EVENT = re.compile(r"event:(\d{1,9})")


class Part(NamedTuple):
    """Batches `first` to `end` (exclusive) of a recording, in order of receipt."""

    first: int
    end: int
    whole: bool


def checked(place: Any) -> Any:
    """Return a place in a recording if it is one.

    Raises
    ------
    ValueError
        If it is neither a time nor an event.
    """
    if isinstance(place, str):
        if not _EVENT.fullmatch(place):
            raise ValueError("expected seconds from the beginning, or 'event:N'")
    elif place is not None and not place >= 0:
        raise ValueError("expected 0 or more seconds from the beginning")
    return place


def place_of(text: str | None) -> float | str | None:
    """Return the place that a person has written: ``12.5`` or ``event:3``.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    if text is None or text.startswith("event:"):
        found: float | str | None = text
    else:
        try:
            found = float(text)
        except ValueError:
            found = "?"
    try:
        checked(found)
    except ValueError as error:
        raise ConfigError(f"found {text!r:.40}; {error}") from error
    return found


def part_of(
    batches: npt.NDArray[np.void],
    events_ns: Sequence[int],
    since: float | str | None,
    until: float | str | None,
) -> Part:
    """Return the batches that hold a frame between two places.

    Parameters
    ----------
    batches : (n,) of `scopeside.runs.form.ENTRY`
    events_ns
        Where what was kept around each event begins, in order.
    since, until
        Seconds after the first frame, or ``event:N``, from 0; None: all.

    Raises
    ------
    ConfigError
        If there is no such event, or nothing between the two.
    """
    if not len(batches):
        return Part(0, 0, whole=True)
    began_ns = int(batches["t_first_ns"].min())
    a, b = 0, len(batches)
    if since is not None:
        (found,) = np.nonzero(batches["t_last_ns"] >= _time(since, began_ns, events_ns))
        a = int(found[0]) if len(found) else b
    if until is not None:
        (found,) = np.nonzero(
            batches["t_first_ns"] <= _time(until, began_ns, events_ns)
        )
        b = int(found[-1]) + 1 if len(found) else 0
    if a >= b:
        lasts_s = (int(batches["t_last_ns"].max()) - began_ns) / 1e9
        raise ConfigError(
            f"no frame lies between {since or 0} and {until or 'the end'}: the "
            f"recording lasts {lasts_s:.3f} s"
        )
    return Part(a, b, whole=(a, b) == (0, len(batches)))


def _time(place: float | str, began_ns: int, events_ns: Sequence[int]) -> int:
    """Return the time of a place, ns since 1970 UTC."""
    if not isinstance(place, str):
        return began_ns + round(place * 1e9)
    number = int(place.partition(":")[2])
    if number >= len(events_ns):
        known = f"{len(events_ns)} events, counted from 0" if events_ns else "no events"
        raise ConfigError(f"{place}: the recording has {known}")
    return events_ns[number]

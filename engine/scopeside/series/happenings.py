"""Which events are kept of an experiment: the last news of each, bounded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scopeside.result import Result

MOST = 200
"""Events that are kept; beyond, the one without news for longest goes."""
MEETINGS = ("coalescence", "attachment", "split", "identities_lost")
FOLLOWED = ("nucleation", "change_point", *MEETINGS)
"""Names of the events that the page marks."""


class Happenings:
    """Events of all acquisitions."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], Result] = {}

    def __iter__(self) -> Iterator[Result]:
        return iter(self._kept.values())

    def take(self, result: Result) -> None:
        """Take an event whose ``meta`` says whose it is; others are left out.

        What is told of a nucleus again takes the place of what was told before; one
        that was rejected is let go.
        """
        if result.name not in FOLLOWED or not result.valid:
            return
        key: tuple[Any, ...] = (
            *(result.meta.get(name) for name in ("acq", "chain", "processor")),
            result.name,
            result.data["id"] if result.name == "nucleation" else result.frame,
        )
        if result.name not in ("nucleation", "identities_lost"):
            key = (*key, str(result.data.get("id") or result.data.get("parents")))
        self._kept.pop(key, None)
        if result.name == "nucleation" and result.data["status"] == "rejected":
            return
        self._kept[key] = result
        if len(self._kept) > MOST:
            del self._kept[next(iter(self._kept))]

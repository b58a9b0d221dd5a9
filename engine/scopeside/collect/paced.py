"""Results for those who look at them: ten times a second, not as often as can be.

Whoever subscribes to topics that begin with `MARK` gets whole results only, each name
at most every `EVERY_S`, and every event at once. A page that paints ten times a second
so costs the collector ten publications, however fast the frames come.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from scopeside.result import Result

if TYPE_CHECKING:
    from scopeside.collect.collector import Held

MARK = b"%"
"""What the topics of paced results begin with."""
EVERY_S = 0.09
"""A little less than a tenth, so that whoever paints at 10 Hz finds a new one."""
SHARE = 3
"""Publishing pauses for so many times what it took."""

Told = tuple[str, Result]
"""A processor by name, and what it says."""


class Paced:
    """Which chains have something new, and when it is time to say so.

    Parameters
    ----------
    publish
        Sends results of a chain under paced topics.
    """

    def __init__(self, publish: Callable[[Held, str, Iterable[Told]], None]) -> None:
        self._publish = publish
        self._new: dict[str, set[str]] = {}
        self._due = 0.0

    def add(self, held: Held, chain: str, fresh: Sequence[Told]) -> None:
        """Take note that a chain has something new; pass its events on at once."""
        self._new.setdefault(held.acquisition.id, set()).add(chain)
        events = [named for named in fresh if named[1].kind == "event"]
        if events:
            self._publish(held, chain, events)

    def wait_s(self) -> float | None:
        """Return when there is something to do; None: never, as it is."""
        return max(0.0, self._due - time.monotonic()) if self._new else None

    def publish_if_due(self, held: Mapping[str, Held]) -> None:
        """Publish what is new, if it is time."""
        began = time.monotonic()
        if self._new and began >= self._due:
            self.publish(held)
            now = time.monotonic()
            self._due = max(began + EVERY_S, now + SHARE * (now - began))

    def publish(self, held: Mapping[str, Held]) -> None:
        """Publish what is new, now."""
        new, self._new = self._new, {}
        for name, chains in new.items():
            if (one := held.get(name)) is None:
                continue
            for chain in sorted(chains):
                found = one.masters[chain].results()
                self._publish(one, chain, (n for n in found if _is_state(n[1])))


def _is_state(result: Result) -> bool:
    """Whether a result says how things are: a value, or why there is none."""
    return result.kind != "event" or not result.valid

"""Reading a run while it is written, and finding a place in it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from scopeside.errors import RunError
from scopeside.packed import AnyBatch
from scopeside.runs.lock import held

if TYPE_CHECKING:
    from scopeside.runs.run import Run

LOOK_S = 0.02
"""How often it is looked whether more has come."""
GRACE_S = 10.0
"""A recorder that has died is replaced within this time, or never."""


def follow(run: Run, timeout_s: float | None, start: int) -> Iterator[AnyBatch]:
    """Yield batches from `start` on until the run is closed (see `Run.follow`)."""
    silence = Silence(run, timeout_s)
    while True:
        # Asked before it is looked: what came before the end is then always seen.
        ended = not run.growing
        new = run.batch_entries[start:]
        for entry in new:
            yield run.batch(entry)
        start += len(new)
        if ended and not len(new):
            return
        if not run.refresh() and not ended:
            silence.check(time.monotonic())
            time.sleep(LOOK_S)
        else:
            silence.broken(time.monotonic())


class Silence:
    """How long nothing has come, and when that is too long."""

    def __init__(self, run: Run, timeout_s: float | None) -> None:
        self._run = run
        self._timeout_s = timeout_s
        self._since = self._alive = time.monotonic()

    def broken(self, now: float) -> None:
        """Take that something has come."""
        self._since = self._alive = now

    def check(self, now: float) -> None:
        """Raise if it has lasted too long.

        Raises
        ------
        RunError
        """
        if self._timeout_s is not None and now - self._since > self._timeout_s:
            raise RunError(
                f"{self._run.folder} is not closed, and nothing has come for "
                f"{self._timeout_s:g} s"
            )
        if held(self._run.folder) is not False:
            self._alive = now
        elif now - self._alive > GRACE_S:
            raise RunError(
                f"{self._run.folder} is not closed, and nobody writes it any more: "
                "its recorder was killed; 'scopeside runs recover' mends it"
            )


def seek(run: Run, *, t_ns: int | None, event: int | None, frame: int | None) -> int:
    """Return the first batch that reaches a time, event or frame (see `Run.seek`).

    Raises
    ------
    RunError
    """
    asked = [one for one in (t_ns, event, frame) if one is not None]
    if len(asked) != 1:
        raise RunError("seek to a time, an event or a frame: one of them")
    batches = run.batch_entries
    if event is not None:
        events = run.events
        if not 0 <= event < len(events):
            raise RunError(f"{run.folder} has no event {event}: {len(events)} in all")
        t_ns = events[event][0]
    if frame is not None:
        reached = (batches["first"] <= frame) & (frame <= batches["last"])
        what = f"frame {frame}"
    else:
        reached = batches["t_last_ns"] >= t_ns
        what = f"the time {t_ns} ns"
    found = np.flatnonzero(reached)
    if not len(found):
        raise RunError(f"{run.folder} does not reach {what}")
    return int(found[0])

"""Which frames are to be kept, where not all are.

With ``mode = "on_event"`` every batch goes into the spool, which then is a ring; the
oldest waits there until it is known whether an event is near it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from scopeside.record.cut import cut
from scopeside.record.settings import RecordSettings
from scopeside.record.windows import Keeper
from scopeside.runs.message import BatchMessage


class Gate:
    """Decides on the oldest batch of the ring, from what the collector has told."""

    def __init__(self, settings: RecordSettings) -> None:
        self._around_ns = [
            round(seconds * 1e9)
            for seconds in (settings.before_s, settings.after_s, settings.late_s)
        ]
        self._keepers: dict[str, Keeper] = {}
        self._told: set[str] = set()

    def hear(self, header: Mapping[str, Any]) -> None:
        """Take the collector's EVENTS."""
        keeper = self._keeper(header["acq"])
        keeper.know(header["events"], header["upto_ns"], header["final"])

    def kept(self, acquisition: str, batch: BatchMessage) -> BatchMessage | None:
        """Return what is to be written of a batch; None: it cannot be said yet.

        A batch that is kept as a whole is returned as it is; of one that is not wanted
        a message with ``n == 0``.
        """
        times = np.frombuffer(batch.parts[2], "<i8")
        verdict = self._keeper(acquisition).verdict(times)
        if verdict is None or verdict.all():
            return None if verdict is None else batch
        return cut(batch, verdict) if verdict.any() else batch._replace(n=0)

    def news(self) -> list[str]:
        """Return what the operator should know, once."""
        doubted = [
            name
            for name, keeper in self._keepers.items()
            if keeper.doubted and name not in self._told
        ]
        self._told.update(doubted)
        return [
            f"{name}: frames without a time stamp, or whose clock was set back, are "
            "recorded: it cannot be known what they surround"
            for name in doubted
        ]

    def windows(self, acquisition: str) -> list[list[Any]]:
        """Return [from, to, labels] of what is kept of an acquisition, ns."""
        return [
            [one.from_ns, one.to_ns, list(one.labels)]
            for one in self._keeper(acquisition).windows
        ]

    def forget(self, acquisition: str) -> None:
        """Forget an acquisition whose run is closed."""
        self._keepers.pop(acquisition, None)
        self._told.discard(acquisition)

    def _keeper(self, acquisition: str) -> Keeper:
        if acquisition not in self._keepers:
            self._keepers[acquisition] = Keeper(*self._around_ns)
        return self._keepers[acquisition]

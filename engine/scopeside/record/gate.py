"""Which frames are to be kept, where not all are.

With ``mode = "on_event"`` every batch goes into the spool, which then is a ring; the
oldest waits there until a gate has made up its mind.
"""

from __future__ import annotations

from typing import Protocol

from scopeside.runs.message import BatchMessage


class Gate(Protocol):
    """Decides on the oldest batch of the ring."""

    def kept(self, acquisition: str, batch: BatchMessage) -> BatchMessage | None:
        """Return what is to be written of a batch; None: it cannot be said yet.

        A batch that is kept as a whole is returned as it is; of one that is not wanted
        a message with ``n == 0``.
        """
        ...

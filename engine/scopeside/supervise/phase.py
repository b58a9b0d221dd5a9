"""What the engine as a whole is doing."""

from __future__ import annotations

from enum import Enum


class Phase(Enum):
    """From the start of the processes to the end of the last one."""

    STARTING = "starting"
    RUNNING = "running"
    RECOVERING = "recovering"  # the adapter died; workers finish what they hold
    DRAINING = "draining"
    ENDING = "ending"
    ENDED = "ended"
